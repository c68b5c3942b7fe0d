//! What the rules ask of the doors themselves: free access in office hours; and how far the wall clock is believed.

use std::{sync::Arc, time::Duration};

use facegate_control::{
    Moment,
    access::{FreeAccess, WallTrust, WallWatch},
};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::{airlocks::Airlocks, records};
use crate::{clock::Clock, door::Driver, journal::Journal, rulebook::Gate};

/// How often a door is told that free access lasts: it ends a minute after it was told last.
const RENEWED: Duration = Duration::from_secs(10);

/// Keeps the office hours of every door.
pub struct OfficeHours {
    clock: Arc<dyn Clock>,
    journal: Arc<Journal>,
    airlocks: Airlocks,
    wall: Arc<Mutex<WallTrust>>,
    /// Whether the wall clock was believed at the last look.
    believed: bool,
    watch: WallWatch,
    doors: Vec<Kept>,
}

struct Kept {
    name: Arc<str>,
    gate: Arc<Gate>,
    driver: Arc<Driver>,
    access: FreeAccess,
    /// What the door was told last, and took, and when.
    told: (bool, Moment),
    /// Whether it is known that free access is withheld.
    withheld: bool,
}

impl OfficeHours {
    /// Office hours of no door yet. `wall` says how far the wall clock is believed.
    pub fn new(clock: Arc<dyn Clock>, journal: Arc<Journal>, airlocks: Airlocks, wall: Arc<Mutex<WallTrust>>) -> Self {
        let watch = WallWatch::since(wall.lock().floor());
        Self { clock, journal, airlocks, wall, believed: true, watch, doors: Vec::new() }
    }

    /// Another door.
    pub fn add(&mut self, name: Arc<str>, gate: Arc<Gate>, driver: Arc<Driver>) {
        self.doors.push(Kept {
            name,
            gate,
            driver,
            access: FreeAccess::default(),
            told: (false, Moment::default()),
            withheld: false,
        });
    }

    /// Looks at the clocks and the rules and tells the doors. To be called several times a second.
    pub fn keep(&mut self) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        self.look_at_the_clock(now, wall);
        let jump = self.watch.look(now, wall);
        if let Some(jump) = jump {
            let seconds = jump.as_secs();
            tracing::warn!(seconds, "the wall clock jumped; free access waits for the next opening of its schedule");
            self.journal.append(records::clock_jumped(seconds));
        }
        for door in &mut self.doors {
            let scheduled = door.gate.free_access_now(now, wall);
            let free = door.access.update(scheduled, jump.is_some());
            let withheld = door.access.withheld(scheduled);
            if withheld && !std::mem::replace(&mut door.withheld, withheld) {
                tracing::warn!(door = %door.name, "free access is withheld, since the wall clock jumped");
            }
            door.withheld = withheld;
            // Where the door's thread is too busy to hear it, it is told again at the next look.
            let (told, at) = door.told;
            let due = free != told || (free && now.since(at) >= RENEWED);
            if due && door.driver.free_access(free).is_ok() {
                door.told = (free, now);
            }
        }
        self.airlocks.follow(self.doors.iter().map(|door| (&*door.name, door.gate.interlocks())));
    }

    /// Sees how far the wall clock is believed, and says so where it is news.
    fn look_at_the_clock(&mut self, now: Moment, wall: Timestamp) {
        // Before the lock, which doors wait for: it asks the file system.
        let by_server = self.clock.set_by_server();
        let mut trust = self.wall.lock();
        if let Some(newest) = trust.look(now, wall, by_server) {
            self.watch = WallWatch::since(trust.floor());
            tracing::warn!(%newest, "a time server has set the clock to before the newest record: that was made by a clock that was ahead");
            self.journal.append(records::records_ahead(newest));
        }
        let believed = trust.judge(now, wall).set;
        drop(trust);
        match (std::mem::replace(&mut self.believed, believed), believed) {
            (true, false) => tracing::warn!(
                %wall,
                "the wall clock is not believed: until it is right, nobody is let in by a schedule, and no door is in free access. \
                 Where it is right, restart the daemon"
            ),
            (false, true) => tracing::info!("the wall clock is believed"),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "hours_tests.rs"]
mod tests;
