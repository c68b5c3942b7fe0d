//! What a door did, told to everybody whom it concerns: the rules (who went through), the loop that granted (who did not), the
//! journal, the log, listeners.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
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
    door::{Driver, Edge, Report},
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
    pub unread: Unread,
}

/// Reports that found no room, since they were read too slowly. The driver ends without asking whoever counts them.
pub struct Unread {
    driver: Weak<Driver>,
    told: Cell<u64>,
}

impl Unread {
    /// Those of that driver.
    pub fn of(driver: &Arc<Driver>) -> Self {
        Self { driver: Arc::downgrade(driver), told: Cell::new(0) }
    }

    /// How many there are that were not told by this before.
    fn news(&self) -> u64 {
        let unread = self.driver.upgrade().map_or(0, |driver| driver.health().unread);
        unread.saturating_sub(self.told.replace(unread.max(self.told.get())))
    }
}

impl Teller {
    /// Tells what the door reports, and how much it could not. A panic in it, which is in the log, costs that report: the next ones
    /// are to be told too.
    pub fn tell_whatever_happens(&self, report: Report) {
        let lost = self.unread.news();
        if lost > 0 {
            tracing::error!(door = %self.name, lost, "the door reported faster than it could be taken down: what was lost is not in the journal");
            // Each would have been an entry.
            self.journal.lose(lost);
        }
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use facegate_control::door::Command;

    use super::*;
    use crate::{
        clock::SystemClock,
        door::{Hardware, Settings},
    };

    #[test]
    fn what_a_door_reported_to_nobody_is_counted_once() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let settings = Settings::default();
        let hardware = Hardware::at_rest(&settings, &clock).expect("simulated");
        let driver = Arc::new(Driver::start(&settings, hardware, None, clock).expect("it starts"));
        let unread = Unread::of(&driver);
        assert_eq!(unread.news(), 0);
        let deadline = Instant::now() + Duration::from_secs(60);
        // As much as finds room, and more.
        while driver.health().unread < 3 {
            for command in [Command::Hold, Command::Release] {
                driver.command(command).expect("heard").recv_timeout(Duration::from_secs(10)).expect("answered");
            }
            assert!(Instant::now() < deadline, "there is room for all");
        }
        let lost = unread.news();
        assert!(lost >= 3);
        assert_eq!(lost + unread.news(), driver.health().unread);
        driver.stop().expect("it rests");
        unread.news();
        assert_eq!(unread.news(), 0);
        drop(driver);
        assert_eq!(unread.news(), 0, "the driver has gone");
    }
}
