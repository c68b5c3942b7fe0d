use std::fmt;

/// What is wrong with a setting or a rule, and the cure, for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, and where: `access.threshold is 2, but must be above 0 and at most 1 (similarity)`.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Fault {
    /// A fault that says `message`, with `help` as its cure.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }

    /// Says in front where it is: `within("door 'front'")` gives "door 'front': …".
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
