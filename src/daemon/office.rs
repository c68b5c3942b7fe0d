//! Office hours: tells each door whether its schedule has it unlocked for everybody, as far as the wall clock can be relied
//! on.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    access::{FreeAccess, WallWatch},
    clock::Moment,
    door::Driver,
    rulebook::Gate,
};

/// One door's hours.
struct Hours {
    name: Arc<str>,
    driver: Arc<Driver>,
    gate: Arc<Gate>,
    free: FreeAccess,
    /// What the door was told last; none where it has to be told.
    told: Option<bool>,
    withheld: bool,
}

/// The hours of every door.
#[derive(Default)]
pub(super) struct Office {
    watch: WallWatch,
    doors: Vec<Hours>,
}

impl Office {
    pub(super) fn add(&mut self, name: Arc<str>, driver: Arc<Driver>, gate: Arc<Gate>) {
        self.doors.push(Hours { name, driver, gate, free: FreeAccess::default(), told: None, withheld: false });
    }

    /// Looks at both clocks and tells the doors what has changed.
    pub(super) fn look(&mut self, now: Moment, wall: Timestamp) {
        let jumped = self.watch.look(now, wall);
        if let Some(jump) = jumped {
            tracing::warn!("the wall clock has jumped by {jump:#}");
        }
        for door in &mut self.doors {
            let scheduled = door.gate.free_access_now(wall);
            let free = door.free.update(scheduled, jumped.is_some());
            let withheld = door.free.withheld(scheduled);
            if withheld && !std::mem::replace(&mut door.withheld, withheld) {
                tracing::warn!(
                    door = %door.name,
                    "free access is withheld: the clock jumped into its hours; it begins with the next ones, or after a restart"
                );
            }
            door.withheld = withheld;
            if door.told != Some(free) {
                // Where the door cannot hear it now, at the next look.
                door.told = door.driver.free_access(free).is_ok().then_some(free);
            }
        }
    }
}
