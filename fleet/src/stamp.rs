//! When something was changed, in an order that all doors agree on.
//!
//! A stamp is a hybrid logical clock (Kulkarni, Demirbas et al., "Logical Physical Clocks", 2014): the wall clock in
//! milliseconds, a counter that rises where the clock does not, and the device that made it, for ties. A device's stamps rise
//! past every stamp it has seen, so that a change that was made in knowledge of another comes after it, however wrong the
//! clocks are.
//!
//! The order needs no right clock, but whoever forgets what is old does. So a stamp also says whether its maker's clock was set at
//! all: the counter of a *dated* stamp is even, that of an *undated* one odd. Nothing is concluded from the age of an undated one.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::Name;

/// Wall clocks past this are not believed: the start of 2100, in milliseconds since 1970.
pub const LATEST_CLOCK_MS: u64 = 4_102_444_800_000;

/// Stamps past this are refused: the start of 2200. What lies between is for changes after one that was made by a clock that
/// stands at the end of the other range: 6.8 million a second for a hundred years.
pub const LATEST_STAMP_MS: u64 = 7_258_118_400_000;

/// Of a stamp's time: the device's clock was not set.
const UNDATED: u64 = 1;

/// A point in the order of all changes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Stamp {
    /// 48 bits of milliseconds since 1970, 16 bits of the counter.
    time: u64,
    device: Name,
}

impl Stamp {
    /// A stamp of its parts. `None` past [`LATEST_STAMP_MS`].
    pub fn new(ms: u64, counter: u16, device: Name) -> Option<Self> {
        (ms <= LATEST_STAMP_MS).then(|| Self { time: ms << 16 | u64::from(counter), device })
    }

    /// Milliseconds since 1970, by the clock of the device or of one whose stamp it had seen.
    pub const fn ms(&self) -> u64 {
        self.time >> 16
    }

    /// Tells apart what happened in one millisecond; odd where the clock was not set ([`Self::is_dated`]).
    pub const fn counter(&self) -> u16 {
        self.time as u16
    }

    /// Whether the clock of the device was set when it made this, so that [`Self::ms`] says how old it is.
    pub const fn is_dated(&self) -> bool {
        self.time & UNDATED == 0
    }

    /// Whether it is known to be from before `ms` (since 1970). Of an undated one that is never known.
    pub const fn is_before(&self, ms: u64) -> bool {
        self.is_dated() && self.ms() < ms
    }

    /// Who made it.
    pub const fn device(&self) -> &Name {
        &self.device
    }
}

impl fmt::Display for Stamp {
    /// `1764160000000.3@front`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.ms(), self.counter(), self.device)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            time: u64,
            device: Name,
        }
        let Parts { time, device } = Parts::deserialize(deserializer)?;
        if time >> 16 > LATEST_STAMP_MS {
            return Err(D::Error::custom("a stamp past the year 2200"));
        }
        Ok(Self { time, device })
    }
}

/// Makes a device's stamps. Keep [`Clock::last`] with what it stamped, so that it rises across restarts.
#[derive(Clone, Debug)]
pub struct Clock {
    last: u64,
    device: Name,
}

impl Clock {
    /// The clock of `device`, later than `last` ([`Clock::last`] as it was stored; 0 for a new device).
    pub const fn new(device: Name, last: u64) -> Self {
        Self { last, device }
    }

    /// Takes note of a stamp: all that follow are later.
    pub fn see(&mut self, stamp: &Stamp) {
        self.last = self.last.max(stamp.time);
    }

    /// The next stamp, later than all that were seen or made; undated where the wall clock is not set (`None`). `wall_ms` past
    /// [`LATEST_CLOCK_MS`] counts as that.
    pub fn next(&mut self, wall_ms: Option<u64>) -> Stamp {
        let end = (LATEST_STAMP_MS << 16) | 0xfffe;
        let kind = if wall_ms.is_some() { 0 } else { UNDATED };
        let later = (wall_ms.unwrap_or(0).min(LATEST_CLOCK_MS) << 16).max(self.last.saturating_add(1)).min(end);
        self.last = later + (later & UNDATED ^ kind);
        Stamp { time: self.last, device: self.device.clone() }
    }

    /// What the next stamp is later than.
    pub const fn last(&self) -> u64 {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const YEAR_MS: u64 = 365 * 86_400_000;
    const TODAY_MS: u64 = 1_800_000_000_000;

    fn clocks() -> [Clock; 3] {
        ["a", "b", "c"].map(|device| Clock::new(device.parse().expect("a name"), 0))
    }

    proptest! {
        /// Three devices, a year and more apart, that change and hear of changes: what was made in knowledge of another is
        /// later, whatever the clocks say, also where they jump and stand still.
        #[test]
        fn whatever_the_clocks_say_what_follows_is_later(
            steps in prop::collection::vec((0usize..3, 0usize..3, prop::option::weighted(0.7, any::<u64>()), 0u64..2000), 1..200),
        ) {
            let mut clocks = clocks();
            let skews = [0, YEAR_MS, 2 * YEAR_MS];
            let mut known: [Vec<Stamp>; 3] = Default::default();
            let mut all = std::collections::BTreeSet::new();
            let mut time = TODAY_MS;
            for (who, from, wild, passes) in steps {
                time += passes;
                if let Some(heard) = known[from].last().cloned() {
                    clocks[who].see(&heard);
                    known[who].push(heard);
                }
                let wall = wild.filter(|wild| wild % 5 == 0).unwrap_or(time - YEAR_MS + skews[who]);
                let wall = (passes % 7 != 0).then_some(wall);
                let made = clocks[who].next(wall);
                prop_assert_eq!(made.is_dated(), wall.is_some());
                prop_assert!(known[who].iter().all(|known| *known < made));
                prop_assert!(all.insert(made.clone()), "no two are alike");
                prop_assert!(made.ms() <= LATEST_STAMP_MS);
                known[who].push(made);
            }
        }

        #[test]
        fn a_stamp_is_the_same_when_it_is_written_and_read(ms in 0..=LATEST_STAMP_MS, counter: u16) {
            let stamp = Stamp::new(ms, counter, "front-1".parse().unwrap()).unwrap();
            let bytes = postcard::to_stdvec(&stamp).unwrap();
            prop_assert!(bytes.len() <= 18);
            prop_assert_eq!(postcard::from_bytes::<Stamp>(&bytes).unwrap(), stamp);
        }
    }

    #[test]
    fn a_stamp_past_the_end_of_time_is_refused() {
        let device: Name = "a".parse().unwrap();
        assert!(Stamp::new(LATEST_STAMP_MS + 1, 0, device.clone()).is_none());
        let forged = postcard::to_stdvec(&((LATEST_STAMP_MS + 1) << 16, &device)).unwrap();
        assert!(postcard::from_bytes::<Stamp>(&forged).is_err());
        let mut clock = Clock::new(device, 0);
        assert_eq!(clock.next(Some(u64::MAX)).ms(), LATEST_CLOCK_MS);
        assert_eq!(
            (clock.next(Some(0)).ms(), clock.next(None).counter()),
            (LATEST_CLOCK_MS, 3),
            "and there is room behind it"
        );
    }
}
