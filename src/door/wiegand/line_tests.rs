use std::sync::Arc;

use facegate_control::{Card, CardFormat};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::door::lock_error;

const US: Duration = Duration::from_micros(1);

/// Time that passes only when it is waited for, and then too much of it.
#[derive(Default)]
pub(in super::super) struct FakePace {
    now: Mutex<Duration>,
    /// How late each waiting ends, in microseconds, over and over.
    late_us: Vec<u64>,
    turn: Mutex<usize>,
}

impl FakePace {
    /// One whose waitings end so many microseconds late, over and over.
    pub(in super::super) fn late(late_us: Vec<u64>) -> Self {
        Self { late_us, ..Self::default() }
    }

    pub(in super::super) fn advance(&self, by: Duration) {
        *self.now.lock() += by;
    }
}

impl Pace for FakePace {
    fn now(&self) -> Duration {
        *self.now.lock()
    }

    fn until(&self, at: Duration) {
        let mut turn = self.turn.lock();
        let late = self.late_us.get(*turn % self.late_us.len().max(1)).copied().unwrap_or_default();
        *turn += 1;
        let mut now = self.now.lock();
        *now = (*now).max(at) + US * late as u32;
    }
}

/// A level that a wire took, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Moved {
    pub(in super::super) wire: usize,
    pub(in super::super) active: bool,
    pub(in super::super) at: Duration,
}

/// A wire that writes down what it does.
pub(in super::super) struct FakeWire {
    wire: usize,
    moved: Arc<Mutex<Vec<Moved>>>,
    pace: Arc<dyn Pace>,
    /// As many more calls of either wire succeed.
    good: Arc<Mutex<usize>>,
}

impl Lock for FakeWire {
    fn set(&mut self, active: bool) -> Result<()> {
        let mut good = self.good.lock();
        let left = good.checked_sub(1);
        *good = left.unwrap_or(usize::MAX);
        left.ok_or_else(|| lock_error("the wire is broken"))?;
        self.moved.lock().push(Moved { wire: self.wire, active, at: self.pace.now() });
        Ok(())
    }

    fn describe(&self) -> String {
        format!("fake {}", self.wire)
    }
}

/// What the wires did.
pub(in super::super) type Record = Arc<Mutex<Vec<Moved>>>;

/// Two wires, of which one call fails after `good` that succeed.
pub(in super::super) fn wires(pace: &Arc<dyn Pace>, good: usize) -> ([Box<dyn Lock>; 2], Record) {
    let (moved, good) = (Record::default(), Arc::new(Mutex::new(good)));
    let wire = |wire| -> Box<dyn Lock> {
        Box::new(FakeWire { wire, moved: Arc::clone(&moved), pace: Arc::clone(pace), good: Arc::clone(&good) })
    };
    ([wire(0), wire(1)], moved)
}

/// The bits that a panel would read, and the start and end of each pulse. Panics where both wires are active at once.
pub(in super::super) fn read(moved: &[Moved]) -> (Vec<bool>, Vec<(Duration, Duration)>) {
    let (mut bits, mut pulses, mut open) = (Vec::new(), Vec::new(), None);
    for edge in moved {
        match (edge.active, open) {
            (true, None) => open = Some((edge.wire, edge.at)),
            (false, Some((wire, from))) if wire == edge.wire => {
                bits.push(wire == 1);
                pulses.push((from, edge.at));
                open = None;
            }
            (false, _) => {}
            (true, Some(_)) => panic!("two pulses at once"),
        }
    }
    assert_eq!(open, None, "no wire is left active");
    (bits, pulses)
}

fn frame(facility: u16, number: u16) -> Frame {
    CardFormat::Bits34.encode(Card { facility, number }).expect("fits")
}

proptest! {
    /// However late the scheduler is, a panel reads the frame: every pulse is long enough, and far enough from the next.
    #[test]
    fn a_panel_reads_what_was_sent(
        facility: u16, number: u16,
        pulse in 20u32..=100,
        interval in 200u32..=20_000,
        late_us in prop::collection::vec(prop_oneof![8 => Just(0u64), 2 => 0u64..100, 1 => 0u64..30_000], 1..40),
    ) {
        let pace: Arc<dyn Pace> = Arc::new(FakePace::late(late_us));
        let (lines, moved) = wires(&pace, usize::MAX);
        let frame = frame(facility, number);
        let timing = Timing { pulse: US * pulse, interval: US * interval };
        let sent = Wires::new(lines).send(frame, timing, &*pace).expect("sent");
        let (bits, pulses) = read(&moved.lock());
        prop_assert_eq!(bits, frame.iter().collect::<Vec<_>>());
        prop_assert!(pulses.iter().all(|&(from, to)| to - from >= timing.pulse));
        prop_assert_eq!(pulses.iter().map(|&(from, to)| to - from).max(), Some(sent.longest_pulse));
        let intervals = pulses.windows(2).map(|pair| pair[1].0 - pair[0].0);
        prop_assert_eq!(intervals.max(), Some(sent.longest_interval));
        for pair in pulses.windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= timing.interval);
            prop_assert!(pair[1].0 - pair[0].1 >= timing.interval - timing.pulse);
        }
    }

    /// Whichever call fails: the frame is not said to be sent, and both wires are told to rest.
    #[test]
    fn a_wire_that_fails_leaves_both_at_rest(good in 0usize..68) {
        let pace: Arc<dyn Pace> = Arc::new(FakePace::default());
        let (lines, moved) = wires(&pace, good);
        let timing = Timing { pulse: US * 50, interval: US * 2_000 };
        prop_assert!(Wires::new(lines).send(frame(1, 2), timing, &*pace).is_err());
        let moved = moved.lock();
        for wire in [0, 1] {
            prop_assert_eq!(moved.iter().rfind(|edge| edge.wire == wire).map(|edge| edge.active), Some(false));
        }
    }
}

/// Not a test but a measurement: `cargo test --release pulse_widths -- --ignored --nocapture`. What a real line adds is its
/// system call, a microsecond or two for a pin of the processor, and a bus's time for an expander.
#[test]
#[ignore = "a measurement, without anything to assert"]
fn measure_pulse_widths() {
    let pace: Arc<dyn Pace> = Arc::new(RealPace::new());
    let (lines, moved) = wires(&pace, usize::MAX);
    let (mut wires, timing) = (Wires::new(lines), Timing { pulse: US * 50, interval: US * 2_000 });
    for number in 0..60 {
        wires.send(frame(0x5a5a, number), timing, &*pace).expect("sent");
    }
    let (_, pulses) = read(&moved.lock());
    let print = |what: &str, mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
        let quantiles = [0.0, 0.5, 0.9, 0.99, 0.999, 1.0].map(|share| format!("{:.1}", at(share)));
        println!("{what}, µs: min, p50, p90, p99, p99.9, max of {}: {}", values.len(), quantiles.join(", "));
    };
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    print("pulse of 50", pulses.iter().map(|&(from, to)| us(to - from)).collect());
    // 33 intervals a frame; the 34th lies between two frames.
    let intervals = pulses.chunks(34).flat_map(|frame| frame.windows(2).map(|pair| us(pair[1].0 - pair[0].0)));
    print("interval of 2,000", intervals.collect());
}
