//! One error type: what failed, on what, and what to do about it, in words for a person.

use std::fmt;

/// The result of anything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, on what, and what the reader can do about it.
#[derive(Debug)]
pub struct Error {
    message: String,
    help: Option<String>,
}

impl Error {
    /// An error that says `message`, without a full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Puts the place before the message.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// What the reader can do about it, where that is known.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Turns a foreign error into ours by saying what was being done.
pub trait Context<T> {
    /// Puts what `place` says before the error.
    fn context<M: Into<String>>(self, place: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context<M: Into<String>>(self, place: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| Error::new(format!("{}: {error}", place().into())))
    }
}
