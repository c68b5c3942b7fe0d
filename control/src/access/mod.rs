//! Who may pass: a track's sightings and the time go in, decisions come out.
//!
//! Pure: no I/O, no clock, no thread. `now` comes in with each [`Observation`]. A subject is granted where enough of a
//! track's newest frames agree on it over the threshold; everything else is denied with a reason, and told no more often
//! than [`Policy::deny_interval_ms`] says. Evidence never passes from one track to another, and one track opens once.

mod decider;
mod living;
mod office;
mod one_in;
mod policy;
pub mod rules;
#[cfg(test)]
mod tests;
mod wall;

use std::{fmt, sync::Arc};

use crate::Moment;

pub use decider::Decider;
pub use living::{Living, PadPolicy};
pub use office::{FreeAccess, JUMP, WallWatch};
pub use one_in::OneIn;
pub use policy::Policy;
pub use wall::{WallTime, WallTrust};

/// An enrolled person's id, as the gallery knows it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

impl Subject {
    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Subject {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One face followed over frames, by the tracker's number for it. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Track(pub u64);

/// Why a face was not worth recognising: a code such as `too_small`, and a sentence that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    pub code: &'static str,
    pub advice: &'static str,
}

/// What one frame says about one track.
#[derive(Clone, Debug, PartialEq)]
pub enum Sighting {
    /// The gallery's best subject. It need not reach the threshold.
    Match {
        subject: Subject,
        /// Calibrated, 0 to 1.
        similarity: f32,
        /// That of the second best subject, where there is one.
        runner_up: Option<f32>,
    },
    /// The gallery has nobody to offer; `similarity` is the best seen, 0 where it is empty.
    Stranger { similarity: f32 },
    /// The face is not worth recognising. Neither speaks for anybody nor takes a place in the window.
    PoorQuality(Flaw),
}

/// A sighting, of which track, and when its frame was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    pub track: Track,
    pub sighting: Sighting,
    /// Whether a living person is seen, by all of the track's frames so far; none where nobody looked, or not yet long enough.
    pub living: Option<Living>,
    pub at: Moment,
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialReason {
    /// Nobody enrolled is similar enough.
    BelowThreshold,
    /// The best two subjects are too close to one another.
    Ambiguous,
    /// Some frames are over the threshold, but too few of them agree.
    NotAgreed,
    /// The same subject was granted a moment ago.
    Cooldown,
    /// This track has opened the door already, for somebody else.
    TrackUsed,
    /// This track has opened the door already for the same subject, and nobody passed.
    NotUsed,
    /// Recognised, and it does not look like a living person's face.
    LivenessFailed(Flaw),
    /// The face was not worth recognising.
    PoorQuality(Flaw),
    /// Recognised, and not let in by the [`rules`].
    Rules(rules::RuleReason),
}

impl DenialReason {
    /// The stable code, in snake case; for poor quality it is the flaw's.
    pub fn code(self) -> &'static str {
        match self {
            Self::BelowThreshold => "below_threshold",
            Self::Ambiguous => "ambiguous",
            Self::NotAgreed => "not_agreed",
            Self::Cooldown => "cooldown",
            Self::TrackUsed => "track_used",
            Self::NotUsed => "not_used",
            Self::LivenessFailed(_) => "liveness_failed",
            Self::PoorQuality(flaw) => flaw.code,
            Self::Rules(reason) => reason.code(),
        }
    }

    /// The same in plain words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::BelowThreshold => "nobody enrolled is similar enough",
            Self::Ambiguous => "two enrolled people are almost equally similar",
            Self::NotAgreed => "too few frames agree on one person",
            Self::Cooldown => "the door opened for this person a moment ago",
            Self::TrackUsed => "the door opened for another person on this track; step out of view and come again",
            Self::NotUsed => {
                "the door opened for this person and nobody passed in time; step out of view and come again"
            }
            Self::LivenessFailed(flaw) | Self::PoorQuality(flaw) => flaw.advice,
            Self::Rules(reason) => reason.sentence(),
        }
    }
}

/// How it was decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Granted {
        subject: Subject,
        /// Of the frame that decided it.
        similarity: f32,
        /// How many frames agreed.
        votes: u32,
        /// Out of how many.
        frames: u32,
    },
    Denied {
        reason: DenialReason,
        /// Set where somebody was recognised and denied nevertheless.
        subject: Option<Subject>,
        /// The best of the window; none where no frame gave a number.
        similarity: Option<f32>,
    },
}

/// A decision about one track.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub track: Track,
    pub outcome: Outcome,
    /// When the frame that decided it was taken.
    pub at: Moment,
}

impl Decision {
    /// Whether the door is to open.
    pub fn granted(&self) -> bool {
        matches!(self.outcome, Outcome::Granted { .. })
    }

    /// The reason's stable code: `agreed` where granted, else [`DenialReason::code`].
    pub fn code(&self) -> &'static str {
        match self.outcome {
            Outcome::Granted { .. } => "agreed",
            Outcome::Denied { reason, .. } => reason.code(),
        }
    }

    /// The decision in plain words, such as `granted to EMP-001: similarity 0.83, 2 of 3 frames`.
    pub fn describe(&self) -> String {
        match &self.outcome {
            Outcome::Granted { subject, similarity, votes, frames } => {
                format!("granted to {subject}: similarity {similarity:.2}, {votes} of {frames} frames")
            }
            Outcome::Denied { reason, subject, similarity } => {
                let whom = subject.as_ref().map(|subject| format!(" to {subject}")).unwrap_or_default();
                let best = similarity.map(|best| format!(" (best similarity {best:.2})")).unwrap_or_default();
                format!("denied{whom}: {}{best}", reason.sentence())
            }
        }
    }
}
