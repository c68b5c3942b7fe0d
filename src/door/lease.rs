//! Free access by schedule is lent: whoever keeps the office hours says again and again that they last. Where nobody does any
//! more, since that thread hangs or has died, the door is not to stand open for good.

use std::time::Duration;

use crate::clock::Moment;

/// Free access ends so long after it was said last that the schedule is open.
pub(super) const LENT: Duration = Duration::from_secs(60);

/// What the schedule says, and since when nobody has said it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lease {
    told: Option<Moment>,
}

impl Lease {
    /// The schedule says so now.
    pub fn say(&mut self, on: bool, now: Moment) {
        self.told = on.then_some(now);
    }

    /// Whether the door is in free access.
    pub fn is_on(self) -> bool {
        self.told.is_some()
    }

    /// Ends it where nobody has said for too long that it lasts; whether that was so.
    pub fn ends(&mut self, now: Moment) -> bool {
        self.told.take_if(|told| now.since(*told) > LENT).is_some()
    }
}
