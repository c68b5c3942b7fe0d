//! What a door did, told to everybody whom it concerns: the rules (who went through), the loop that granted (who did not), the
//! journal, the log, listeners.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use facegate_control::door::{Happening, Refusal};

use super::{
    doorway,
    events::{Event, Listeners},
    passers::{Ending, Passers},
    records,
};
use crate::{
    clock::{Clock, Moment},
    door::{Edge, Report},
    journal::Journal,
    rulebook::Gate,
    tally,
};

/// Tells for one door.
pub struct Teller {
    pub name: Arc<str>,
    pub passers: Arc<Passers>,
    pub gate: Arc<Gate>,
    pub journal: Arc<Journal>,
    pub listeners: Listeners,
    pub clock: Arc<dyn Clock>,
    pub tally: Arc<tally::Door>,
}

impl Teller {
    /// Tells what the door reports. A panic in it, which is in the log, costs that report: the next ones are to be told too.
    pub fn tell_whatever_happens(&self, report: Report) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.tell(report)));
    }

    fn tell(&self, report: Report) {
        match report {
            Report::Happened { happening, at } => self.happened(happening, at),
            Report::Edge(edge) => self.moved(edge),
            Report::Card { tag, sent, at } => self.presented(tag, sent, at),
        }
    }

    fn presented(&self, tag: u64, sent: bool, at: Moment) {
        let (subject, latency) = (self.passers.who(tag), at.since(doorway::frame_of(tag)));
        if sent {
            self.tally.edge.add(latency);
        }
        self.journal.append(records::card(&self.name, sent, subject.as_ref(), latency));
        let latency_ms = latency.as_secs_f64() * 1e3;
        tracing::info!(door = %self.name, sent, latency_ms, "a card for the panel");
    }

    fn happened(&self, happening: Happening, at: Moment) {
        match happening {
            Happening::Passed { tag: Some(tag), .. } => self.gate.passed(tag, self.clock.wall(), at),
            // The same grant a second time says nothing about the first.
            Happening::Refused { why: Refusal::Repeated, .. } => {}
            Happening::NobodyPassed { tag: Some(tag), .. } => self.unused(tag, Ending::Missed),
            Happening::Refused { tag: Some(tag), why, .. } => self.unused(tag, Ending::Refused(why)),
            _ => {}
        }
        let subject = happening.tag().and_then(|tag| self.passers.who(tag));
        records::log(&self.name, &happening, subject.as_ref());
        self.journal.append(records::happening(&self.name, &happening, subject.as_ref()));
        self.listeners.tell(|| Event::Happened { door: self.name.clone(), happening, subject, at });
    }

    /// Nobody went through, and the loop that granted it is to know.
    fn unused(&self, tag: u64, ending: Ending) {
        self.gate.unused(tag);
        self.passers.ended(tag, ending);
    }

    fn moved(&self, edge: Edge) {
        let latency = edge.tag.map(|tag| edge.at.since(doorway::frame_of(tag)));
        if let Some(latency) = latency {
            self.tally.edge.add(latency);
        }
        self.journal.append(records::edge(&self.name, &edge, latency));
        tracing::info!(
            door = %self.name,
            latency_ms = latency.map(|latency| latency.as_secs_f64() * 1e3),
            "relay {}", if edge.energised { "on" } else { "off" }
        );
        let (energised, at) = (edge.energised, edge.at);
        self.listeners.tell(|| Event::Edge { door: self.name.clone(), energised, at, latency });
    }
}
