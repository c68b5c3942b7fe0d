//! What happened at a door, as it stands in the journal.

use std::time::Duration;

use facegate_control::door::{Alarm, Happening};
use jiff::Timestamp;

use crate::{
    access::{Decision, Outcome, Subject},
    door::Edge,
    journal::{Entry, Event, Pad, Verdict},
    strictness::Strictness,
    vision::{liveness::Liveness, track::TrackId},
};

pub fn started(model: &str) -> Entry {
    Entry { door: None, event: Event::Started { version: env!("CARGO_PKG_VERSION").into(), model: model.into() } }
}

pub fn stopped() -> Entry {
    Entry { door: None, event: Event::Stopped }
}

/// The threshold that a door goes by from now on.
pub fn threshold(door: &str, strictness: &Strictness) -> Entry {
    let Strictness { false_accept, enrolled, fmr, threshold, support } = strictness.clone();
    let enrolled = enrolled as u64;
    Entry { door: Some(door.into()), event: Event::Threshold { false_accept, enrolled, fmr, threshold, support } }
}

/// `seconds` by which the wall clock jumped, forward where positive.
pub fn clock_jumped(seconds: i64) -> Entry {
    Entry { door: None, event: Event::ClockJumped { seconds } }
}

/// `newest` is the newest time of the records that a clock left which was ahead.
pub fn records_ahead(newest: Timestamp) -> Entry {
    Entry { door: None, event: Event::RecordsAhead { newest } }
}

/// `latency` is from the capture of the frame that decided to the decision; `flag` is the code of an area's rule that was
/// broken and only noted.
pub fn decision(
    door: &str,
    decision: &Decision,
    model: &str,
    latency: Duration,
    flag: Option<&str>,
    liveness: Option<Pad>,
) -> Entry {
    let (outcome, subject, similarity) = match &decision.outcome {
        Outcome::Granted { subject, similarity, .. } => (Verdict::Granted, Some(subject), Some(*similarity)),
        Outcome::Denied { subject, similarity, .. } => (Verdict::Denied, subject.as_ref(), *similarity),
    };
    Entry {
        door: Some(door.into()),
        event: Event::Decision {
            outcome,
            subject: subject.map(|subject| subject.as_str().to_owned()),
            similarity,
            reason: decision.code().into(),
            flag: flag.map(Into::into),
            model: model.into(),
            latency_ms: latency.as_secs_f32() * 1e3,
            track: decision.track.0,
            liveness,
        },
    }
}

/// What speaks for and against a living person.
pub fn pad(liveness: &Liveness, threshold: f32) -> Pad {
    let reasons = liveness.reasons(threshold).into_iter().map(Into::into).collect();
    Pad { score: liveness.score, frames: liveness.frames, reasons }
}

/// What was found of somebody after the decision, where it is only advice.
pub fn liveness(
    door: &str,
    subject: &Subject,
    track: TrackId,
    passed: bool,
    liveness: &Liveness,
    threshold: f32,
) -> Entry {
    let event = Event::Liveness {
        subject: subject.as_str().to_owned(),
        passed,
        liveness: pad(liveness, threshold),
        track: track.0,
    };
    Entry { door: Some(door.into()), event }
}

/// `latency` is from the capture of the frame that was granted to the edge.
pub fn edge(door: &str, edge: &Edge, latency: Option<Duration>) -> Entry {
    Entry {
        door: Some(door.into()),
        event: Event::DoorEdge {
            energised: edge.energised,
            open: edge.open,
            latency_ms: latency.map(|latency| latency.as_secs_f32() * 1e3),
        },
    }
}

/// `latency` is from the capture of the frame that was granted until the card was handed to the wires.
pub fn card(door: &str, sent: bool, subject: Option<&Subject>, latency: Duration) -> Entry {
    let subject = subject.map(|subject| subject.as_str().to_owned());
    Entry { door: Some(door.into()), event: Event::Card { sent, subject, latency_ms: latency.as_secs_f32() * 1e3 } }
}

/// What happened at the door itself; `subject` is who was granted, where it is about a grant.
pub fn happening(door: &str, happening: &Happening, subject: Option<&Subject>) -> Entry {
    let subject = subject.map(|subject| subject.as_str().to_owned());
    // The tag tells grants apart within the process, and nothing to anybody else.
    Entry { door: Some(door.into()), event: Event::Door { happening: happening.without_tag(), subject } }
}

/// Says it in the log: what is wrong as a warning, the rest as information.
pub fn log(door: &str, happening: &Happening, subject: Option<&Subject>) {
    let subject = subject.map(Subject::as_str);
    match happening {
        Happening::Raised { alarm: Alarm::HeldOpenWarning } => tracing::info!(door, "{}", happening.describe()),
        Happening::Raised { .. } | Happening::EmergencyBegan { .. } | Happening::SensorFault { .. } => {
            tracing::warn!(door, subject, "{}", happening.describe());
        }
        _ => tracing::info!(door, subject, "{}", happening.describe()),
    }
}
