//! What is counted and timed while the work goes on, for `/metrics`: atomics alone, so that the door's path neither waits nor
//! allocates for it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Upper bounds of all but the last bucket of [`Times`], in microseconds: from a look at the motion to a photograph that waited.
const BOUNDS: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// How long something took, each time that it was done.
#[derive(Debug, Default)]
pub struct Times {
    /// As many as there are bounds, and one for what took longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Times {
    /// Takes one time down.
    pub fn add(&self, took: Duration) {
        let bucket = BOUNDS.iter().position(|&bound| took <= Duration::from_micros(bound)).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        // It wraps after 584 years of work.
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Does `work` and takes down how long it took, whatever came of it.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.add(begun.elapsed());
        done
    }

    /// Everything so far. What is added meanwhile may be in the sum and not yet in a bucket, or the other way round.
    pub fn read(&self) -> Reading {
        let bounds = BOUNDS.iter().map(|&micros| micros as f64 / 1e6).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        Reading { sum: self.nanos.load(Ordering::Relaxed) as f64 / 1e9, buckets: bounds.zip(counts).collect() }
    }
}

/// What some [`Times`] were at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// All together, in seconds.
    pub sum: f64,
    /// Upper bounds in seconds, ascending, the last one infinite; and how many times lie under each and over the one before.
    pub buckets: Vec<(f64, u64)>,
}

impl Reading {
    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

/// How often something happened.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// It happened so many times more.
    pub fn add(&self, times: usize) {
        self.0.fetch_add(times as u64, Ordering::Relaxed);
    }

    /// How often until now.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a door's loops did: of all its cameras together.
#[derive(Debug, Default)]
pub struct Door {
    /// Whether anything moved in a frame.
    pub motion: Times,
    /// All faces of a frame, with their landmarks.
    pub detect: Times,
    /// Which of them is which of the frame before.
    pub track: Times,
    /// How good a face is to see.
    pub quality: Times,
    /// A face onto the template, and its embedding.
    pub embed: Times,
    /// Who of the enrolled is most alike.
    pub matching: Times,
    /// Whether a living person is seen, where the door asks.
    pub liveness: Times,
    /// From what was seen of a face to the end of what follows: votes, rules, and the grant where there is one.
    pub decide: Times,
    /// From the capture of the frame that was granted to the relay's edge, or to the end of the card for a panel.
    pub edge: Times,
    /// Faces, by what one frame made of them: nothing, since they are elsewhere or one too many; too bad to see; nobody similar
    /// enough is enrolled; somebody is.
    pub faces_left_out: Count,
    pub faces_poor: Count,
    pub faces_strange: Count,
    pub faces_known: Count,
    /// What was decided, the rules included.
    pub granted: Count,
    pub denied: Count,
    /// What was found of the liveness of those whom the door knows, where it asks: of frames where it is required, of tracks where
    /// it is advisory.
    pub live: Count,
    pub not_live: Count,
}

impl Door {
    /// The stages in the order of a frame's way, by name.
    pub fn stages(&self) -> [(&'static str, &Times); 8] {
        [
            ("motion", &self.motion),
            ("detect", &self.detect),
            ("track", &self.track),
            ("quality", &self.quality),
            ("embed", &self.embed),
            ("match", &self.matching),
            ("liveness", &self.liveness),
            ("decide", &self.decide),
        ]
    }

    /// Faces, by what was made of them.
    pub fn faces(&self) -> [(&'static str, &Count); 4] {
        [
            ("left_out", &self.faces_left_out),
            ("poor_quality", &self.faces_poor),
            ("stranger", &self.faces_strange),
            ("known", &self.faces_known),
        ]
    }

    /// What was found of liveness.
    pub fn livings(&self) -> [(&'static str, &Count); 2] {
        [("live", &self.live), ("not_live", &self.not_live)]
    }

    /// Decisions, by what they are.
    pub fn decisions(&self) -> [(&'static str, &Count); 2] {
        [("granted", &self.granted), ("denied", &self.denied)]
    }
}

/// What the recognition of photographs did: all its threads together.
#[derive(Debug, Default)]
pub struct Photographs {
    /// From the form's end until a thread took the photograph.
    pub waiting: Times,
    /// From a file to pixels.
    pub decode: Times,
    /// All faces, with their landmarks.
    pub detect: Times,
    /// The largest face onto the template, and its embedding.
    pub embed: Times,
    /// Whether a face is a living person's.
    pub liveness: Times,
    /// The networks themselves within `detect` and `embed`, of a photograph whose face was embedded.
    pub networks: Times,
}

impl Photographs {
    /// The stages in the order of a photograph's way, by name.
    pub fn stages(&self) -> [(&'static str, &Times); 5] {
        [
            ("waiting", &self.waiting),
            ("decode", &self.decode),
            ("detect", &self.detect),
            ("liveness", &self.liveness),
            ("embed", &self.embed),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_counts_in_the_first_bucket_that_holds_it() {
        let times = Times::default();
        for micros in [0, 100, 101, 3_000_000, 3_600_000_000] {
            times.add(Duration::from_micros(micros));
        }
        let reading = times.read();
        let filled: Vec<_> = reading.buckets.iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!(filled, [(0.0001, 2), (0.00025, 1), (10.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((reading.count(), reading.sum), (5, 3_603.000_201));
    }

    #[test]
    fn what_is_timed_is_given_back_and_counts_also_where_it_fails() {
        let times = Times::default();
        assert_eq!(times.time(|| Err::<(), _>("no")), Err("no"));
        assert_eq!(times.read().count(), 1);
    }

    proptest! {
        #[test]
        fn no_time_is_lost(all in proptest::collection::vec(0u64..20_000_000, 0..100)) {
            let times = Times::default();
            all.iter().for_each(|&micros| times.add(Duration::from_micros(micros)));
            let reading = times.read();
            prop_assert_eq!(reading.count(), all.len() as u64);
            prop_assert!((reading.sum - all.iter().sum::<u64>() as f64 / 1e6).abs() < 1e-6);
            for (&(from, _), &(to, count)) in reading.buckets.iter().zip(reading.buckets.iter().skip(1)) {
                let inside = all.iter().map(|&micros| micros as f64 / 1e6).filter(|&s| s > from && s <= to).count();
                prop_assert_eq!(inside as u64, count, "from {} to {}", from, to);
            }
        }
    }
}
