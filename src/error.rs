//! One error type for the whole crate, and one table that says what each kind means to a person at a terminal and to a
//! client of the REST API.

use std::fmt;

/// The result of anything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($(#[doc = $doc:literal] $name:ident => $code:literal, $http:literal, $exit:literal;)+) => {
        /// What went wrong, as far as a caller can act on it.
        ///
        /// Each kind has a stable code (what the REST API calls `error.code`), an HTTP status and an exit status of the
        /// command line (those of `sysexits.h`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = $doc] $name,)+ }

        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &[Kind] = &[$(Kind::$name,)+];

            /// The stable name, as it stands in `error.code`.
            pub const fn code(self) -> &'static str { match self { $(Kind::$name => $code,)+ } }

            /// What it means, in a sentence or two.
            pub fn meaning(self) -> &'static str { match self { $(Kind::$name => $doc.trim_ascii(),)+ } }

            /// The HTTP status that the REST API answers with.
            pub const fn http_status(self) -> u16 { match self { $(Kind::$name => $http,)+ } }

            /// The exit status of the command line.
            pub const fn exit_status(self) -> u8 { match self { $(Kind::$name => $exit,)+ } }
        }
    };
}

kinds! {
    /// A field that must be there is not.
    MissingField => "missing_field", 400, 64;
    /// A field is out of its range or of the wrong type.
    InvalidField => "invalid_field", 400, 64;
    /// `metadata` is not a JSON object, or larger than allowed.
    InvalidMetadata => "invalid_metadata", 400, 64;
    /// The request cannot be read at all.
    MalformedRequest => "malformed_request", 400, 64;
    /// No `Authorization: Bearer` header.
    MissingApiKey => "missing_api_key", 401, 77;
    /// A key that is unknown or revoked.
    InvalidApiKey => "invalid_api_key", 401, 77;
    /// A key without the right that the call needs.
    Forbidden => "forbidden", 403, 77;
    /// The tenant has no such subject with an active embedding.
    SubjectNotFound => "subject_not_found", 404, 66;
    /// The tenant has no such embedding.
    EmbeddingNotFound => "embedding_not_found", 404, 66;
    /// No such thing: a path of the API, a tenant, a file.
    NotFound => "not_found", 404, 66;
    /// The path exists, the method does not.
    MethodNotAllowed => "method_not_allowed", 405, 64;
    /// The door itself refuses: it is in lockdown, or another one of its airlock is open.
    DoorRefused => "door_refused", 409, 75;
    /// The tenant holds as many embeddings, or has as many API keys, as it may; nothing of the request was kept.
    CapacityReached => "capacity_reached", 409, 74;
    /// The face is like one that is enrolled as another subject; nothing of the request was kept.
    DuplicateSubject => "duplicate_subject", 409, 65;
    /// What was to be changed is not what the client had read.
    PreconditionFailed => "precondition_failed", 412, 75;
    /// The rules contradict themselves; the message has the place, the help the cure.
    InvalidRules => "invalid_rules", 422, 65;
    /// An `Idempotency-Key` came with another request before.
    IdempotencyKeyReused => "idempotency_key_reused", 422, 65;
    /// The request of this `Idempotency-Key` is under way.
    RequestInProgress => "request_in_progress", 409, 75;
    /// A body with too many bytes that is no image.
    TooLarge => "too_large", 413, 65;
    /// The request took too long to arrive or to answer.
    RequestTimeout => "request_timeout", 408, 75;
    /// A body without its length.
    LengthRequired => "length_required", 411, 64;
    /// Too many bytes, or too many pixels (seen before they are decoded).
    ImageTooLarge => "image_too_large", 413, 65;
    /// A body that is compressed; `Content-Encoding` says how.
    UnsupportedMediaType => "unsupported_media_type", 415, 65;
    /// Not one of the image formats that are read.
    UnsupportedImageFormat => "unsupported_image_format", 415, 65;
    /// Of a known format, but broken.
    ImageUndecodable => "image_undecodable", 422, 65;
    /// The image shows no face.
    NoFaceDetected => "no_face_detected", 422, 65;
    /// An enrolment image shows more than one face.
    MultipleFaces => "multiple_faces", 422, 65;
    /// The face is too small, blurred, turned away, dark or bright to be enrolled.
    FaceQualityTooLow => "face_quality_too_low", 422, 65;
    /// The face is not like the other photographs of this subject.
    UnlikeSubject => "unlike_subject", 422, 65;
    /// The face does not look like a living person's.
    LivenessFailed => "liveness_failed", 422, 65;
    /// Too many requests from one source.
    RateLimited => "rate_limited", 429, 75;
    /// The queue before the networks is full.
    Busy => "busy", 503, 75;
    /// The daemon is starting or stopping.
    NotReady => "not_ready", 503, 75;
    /// The disk or the store's configured size is full; nothing of the request was kept.
    StorageFull => "storage_full", 507, 74;
    /// The configuration cannot be used as it stands.
    Config => "config", 500, 78;
    /// A network or its manifest is missing, changed or not usable.
    Model => "model", 500, 69;
    /// The camera cannot be opened or read.
    Camera => "camera", 500, 69;
    /// The lock's line cannot be found, claimed or driven.
    Lock => "lock", 500, 69;
    /// The store cannot be opened, read or written.
    Store => "store", 500, 74;
    /// A file or a socket of the operating system.
    Io => "io", 500, 74;
    /// A defect of ours: an invariant that does not hold.
    Internal => "internal", 500, 70;
}

/// What failed, on what, and what to do about it, in words for a person.
///
/// Never holds a template, a photograph, a key or any part of one.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says `message`: what failed and on what, without a full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, source: None }
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the error below this one. It is shown at a terminal, never to an API client.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says in front where it happened: `within("door 'front'")` gives "door 'front': …".
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// What went wrong, as far as a caller can act on it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What failed, on what.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the reader can do about it, where that is known.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut below = std::error::Error::source(self);
        while let Some(error) = below {
            write!(f, ": {error}")?;
            below = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<facegate_control::Fault> for Error {
    fn from(fault: facegate_control::Fault) -> Self {
        Self::new(Kind::Config, fault.message).help(fault.help)
    }
}

/// Turns a foreign error into ours by saying what was being done.
pub trait Context<T> {
    /// Wraps the error in one of `kind` whose message is made by `message`.
    fn context<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context<M: Into<String>>(self, kind: Kind, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| Error::new(kind, message()).source(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_statuses_are_errors() {
        let mut seen = std::collections::HashSet::new();
        for kind in Kind::ALL {
            assert!(seen.insert(kind.code()), "{} stands twice", kind.code());
            assert!((400..600).contains(&kind.http_status()));
            assert!((64..=78).contains(&kind.exit_status()), "exit statuses are those of sysexits.h");
        }
    }

    #[test]
    fn display_tells_the_whole_chain() {
        let below = std::io::Error::other("no space");
        let error = Error::new(Kind::Store, "cannot write the gallery").source(below).help("free some space");
        assert_eq!(error.to_string(), "cannot write the gallery: no space");
        assert_eq!(error.advice(), Some("free some space"));
    }
}
