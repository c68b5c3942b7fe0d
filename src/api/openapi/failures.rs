//! Sets of errors that calls have in common, for the `responses(…)` of their attributes.
//!
//! Each is a response under its code in place of a status; [`finish`](super::finish) puts codes of one status together.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{Ref, RefOr, Response},
};

use crate::error::Kind;

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident: $($kind:ident),+;)+) => {$(
        $(#[$doc])*
        pub(in crate::api) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$(Kind::$kind),+].map(|kind| (kind.code().into(), Ref::new("").into())).into()
            }
        }
    )+};
}

failures! {
    /// A form that cannot be read.
    Form: MalformedRequest, MissingField, InvalidField, InvalidMetadata, LengthRequired, ImageTooLarge,
        UnsupportedMediaType, Busy;
    /// A body that is compressed.
    Uncompressed: UnsupportedMediaType;
    /// A photograph that cannot be worked on.
    Photograph: ImageTooLarge, UnsupportedImageFormat, ImageUndecodable, Busy;
    /// A photograph on which a face must be.
    AFace: NoFaceDetected;
    /// A request that is to be done once.
    Once: InvalidField, IdempotencyKeyReused, RequestInProgress;
    /// A photograph that is to be enrolled.
    OneFace: NoFaceDetected, MultipleFaces, FaceQualityTooLow, LivenessFailed;
    /// A query that cannot be read, or a value in it or in the path that is out of its range.
    Query: MalformedRequest, InvalidField;
    /// A value of a query that must be there.
    Required: MissingField;
    /// A body of JSON that cannot be read.
    JsonBody: MalformedRequest, InvalidField, TooLarge;
    /// Of a call that stands in the record of calls, which may be full or too slow.
    Recorded: Busy;
    /// The disk or the store is full.
    Stores: StorageFull;
    /// The tenant has as many as it may.
    Capacity: CapacityReached;
    /// A face that is like another subject's, or unlike its own subject's.
    Alike: DuplicateSubject, UnlikeSubject;
    /// There is no such subject.
    NoSubject: SubjectNotFound;
    /// There is no such embedding.
    NoEmbedding: EmbeddingNotFound;
    /// There is no such thing.
    NotThere: NotFound;
    /// A change that depends on what is there already.
    Conditional: MalformedRequest, InvalidField, PreconditionFailed;
    /// Rules that contradict themselves, or each other.
    Rules: InvalidRules;
    /// The door itself does not want to.
    DoorRefuses: DoorRefused;
    /// Metadata that is too long.
    Metadata: InvalidMetadata;
    /// A call that not everybody may make.
    Restricted: Forbidden;
    /// The daemon, or a part of it, does not work yet or any more.
    Unready: NotReady;
}
