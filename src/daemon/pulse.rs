//! How the doors do, in a form that holds nothing of theirs up: for the service manager.

use std::{sync::Arc, time::Duration};

use super::upkeep::Upkeep;
use crate::{camera::Feed, clock::Beat, door::Driver};

/// A look at the threads, cameras and locks of every door.
pub struct Pulse {
    pub(super) doors: Vec<Door>,
    pub(super) upkeep: Arc<Upkeep>,
}

pub(super) struct Door {
    pub name: Arc<str>,
    /// Each camera, and the loop that looks at its frames.
    pub sides: Vec<(Arc<Feed>, Beat)>,
    pub driver: Arc<Driver>,
}

impl Pulse {
    /// For how long the slowest thread of the way from camera to relay has not come round: a quarter of a second, or as long
    /// as a frame is looked at, while all is well, also where a camera gives nothing.
    pub fn still(&self) -> Duration {
        let looking = self.doors.iter().flat_map(|door| &door.sides).map(|(_, beat)| beat.still());
        let driving = self.doors.iter().map(|door| door.driver.still());
        looking.chain(driving).max().unwrap_or_default()
    }

    /// Which cameras give no frames, which locks did not take their last level, and what of the threads beside them is not done, in
    /// words; none where all is well.
    pub fn ails(&self) -> Option<String> {
        let mut ails = Vec::new();
        for door in &self.doors {
            for (number, (feed, _)) in (1..).zip(&door.sides) {
                let stats = feed.stats();
                // A replay that has come to its end was a camera for long enough.
                if stats.healthy || stats.ended {
                    continue;
                }
                let which = if number == 1 { "the camera" } else { "the camera of the other side" };
                let why = stats.last_error.map(|error| format!(" ({error})")).unwrap_or_default();
                ails.push(format!("{which} of door '{}' gives no frames{why}", door.name));
            }
            let health = door.driver.health();
            if !health.healthy {
                let why = health.last_error.map(|error| format!(" ({error})")).unwrap_or_default();
                ails.push(format!("the lock of door '{}' does not answer{why}", door.name));
            }
        }
        ails.extend(self.upkeep.ails());
        (!ails.is_empty()).then(|| ails.join("; "))
    }

    /// The doors that are watched, by name.
    pub fn doors(&self) -> String {
        self.doors.iter().map(|door| &*door.name).collect::<Vec<_>>().join(", ")
    }
}
