use jiff::Timestamp;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::clock::SimulatedClock;

/// As many edges the fake kernel keeps of a line.
const KEPT: usize = 4;

/// The kernel's clock, where ours is at zero.
const ZERO_NS: u64 = 5_000_000_000_000;

/// A line as the kernel has it.
#[derive(Clone, Debug, Default)]
struct FakeLine {
    active: bool,
    claimed: bool,
    edges: VecDeque<KernelEdge>,
    number: u32,
    /// As often the line moves right after its level was read.
    races: u32,
}

/// A kernel as far as lines go, with its faults: a buffer that overflows, an interrupt that is lost, a chip that goes.
#[derive(Clone)]
struct FakeKernel {
    lines: Arc<Mutex<Vec<FakeLine>>>,
    gone: Arc<Mutex<bool>>,
    clock: SimulatedClock,
}

impl FakeKernel {
    fn new(lines: usize) -> Self {
        let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_secs(1));
        Self { lines: Arc::new(Mutex::new(vec![FakeLine::default(); lines])), gone: Arc::default(), clock }
    }

    fn now_ns(&self) -> u64 {
        ZERO_NS + self.clock.now().since_start().as_nanos() as u64
    }

    /// The wire moves. Whether the kernel notices is another question.
    fn flip(&self, at: usize, noticed: bool) {
        let at_ns = self.now_ns();
        let line = &mut self.lines.lock()[at];
        line.active = !line.active;
        if noticed && line.claimed {
            line.number = line.number.wrapping_add(1);
            if line.edges.len() == KEPT {
                line.edges.pop_front();
            }
            line.edges.push_back(KernelEdge { active: line.active, at_ns, number: line.number });
        }
    }

    fn unplug(&self, gone: bool) {
        *self.gone.lock() = gone;
    }

    fn active(&self, at: usize) -> bool {
        self.lines.lock()[at].active
    }

    fn open(&self) -> Result<GpioInputs> {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let time = KernelTime::measured(Arc::clone(&clock), || self.now_ns());
        let count = self.lines.lock().len();
        GpioInputs::with(Box::new(self.clone()), count, clock, time)
    }
}

impl Wire for FakeKernel {
    fn claim(&mut self, at: usize) -> Result<String> {
        if *self.gone.lock() {
            return Err(lock_error("no GPIO chip `fake`"));
        }
        let line = &mut self.lines.lock()[at];
        *line = FakeLine { active: line.active, claimed: true, races: line.races, ..FakeLine::default() };
        Ok(format!("fake, line {at}"))
    }

    fn release(&mut self, at: usize) {
        self.lines.lock()[at].claimed = false;
    }

    fn wait(&mut self, timeout: Duration) {
        if self.lines.lock().iter().all(|line| line.edges.is_empty()) {
            self.clock.advance(timeout);
        }
    }

    fn edges(&mut self, at: usize, into: &mut Vec<KernelEdge>) -> Result<()> {
        let line = &mut self.lines.lock()[at];
        if *self.gone.lock() || !line.claimed {
            return Err(lock_error("the line cannot be read"));
        }
        into.extend(line.edges.drain(..));
        Ok(())
    }

    fn level(&mut self, at: usize) -> Result<bool> {
        if *self.gone.lock() {
            return Err(lock_error("the line cannot be read"));
        }
        let (active, race) = {
            let line = &mut self.lines.lock()[at];
            let race = line.races > 0;
            line.races = line.races.saturating_sub(1);
            (line.active, race)
        };
        if race {
            self.clock.advance(Duration::from_nanos(700));
            self.flip(at, true);
        }
        Ok(active)
    }
}

/// What is done to the lines.
#[derive(Clone, Copy, Debug)]
enum Step {
    Flip {
        at: usize,
        noticed: bool,
    },
    /// As many flips at once: more than the kernel keeps, perhaps.
    Burst {
        at: usize,
        flips: u32,
    },
    /// The level moves while it is read.
    Race {
        at: usize,
        times: u32,
    },
    Pass(u64),
    Next,
    Levels,
    Unplug,
    Plug,
}

fn steps(faults: bool) -> impl Strategy<Value = Vec<Step>> {
    let fault = u32::from(faults);
    let step = prop_oneof![
        6 => (0usize..3).prop_map(|at| Step::Flip { at, noticed: true }),
        2 * fault => (0usize..3).prop_map(|at| Step::Flip { at, noticed: false }),
        2 * fault => (0usize..3, 1u32..14).prop_map(|(at, flips)| Step::Burst { at, flips }),
        2 => (0usize..3, 1u32..20).prop_map(|(at, times)| Step::Race { at, times }),
        4 => (0u64..2_000).prop_map(Step::Pass),
        10 => Just(Step::Next),
        2 => Just(Step::Levels),
        fault => Just(Step::Unplug),
        fault => Just(Step::Plug),
    ];
    prop::collection::vec(step, 1..150)
}

/// A reader who believes what it is told.
struct Reader {
    kernel: FakeKernel,
    inputs: GpioInputs,
    /// What it knows; nothing while the lines are lost.
    known: Option<Vec<bool>>,
    last: Vec<Moment>,
    edges: Vec<InputEdge>,
}

impl Reader {
    fn new(kernel: &FakeKernel) -> Self {
        let mut inputs = kernel.open().expect("all is well at the start");
        let known = inputs.levels().expect("levels");
        let last = vec![Moment::default(); known.len()];
        Self { kernel: kernel.clone(), inputs, known: Some(known), last, edges: Vec::new() }
    }

    fn levels(&mut self) -> Result<(), TestCaseError> {
        match self.inputs.levels() {
            Ok(levels) => {
                if let Some(known) = &self.known {
                    prop_assert_eq!(known, &levels, "levels and edges are one story");
                }
                self.known = Some(levels);
            }
            Err(_) => self.known = None,
        }
        Ok(())
    }

    /// Whether there was news.
    fn next(&mut self, timeout: Duration) -> Result<bool, TestCaseError> {
        if self.known.is_none() {
            // As the feed does: after an error the levels come first.
            self.levels()?;
            return Ok(self.known.is_some());
        }
        match self.inputs.next(timeout) {
            Ok(None) => Ok(false),
            Ok(Some(edge)) => {
                let known = self.known.as_mut().expect("checked above");
                prop_assert!(known[edge.input] != edge.active, "an edge changes something");
                known[edge.input] = edge.active;
                prop_assert!(edge.at >= self.last[edge.input], "time goes on");
                prop_assert!(edge.at <= self.kernel.clock.now(), "never in the future");
                self.last[edge.input] = edge.at;
                self.edges.push(edge);
                Ok(true)
            }
            Err(_) => {
                self.known = None;
                Ok(false)
            }
        }
    }
}

/// Does the steps, then lets the lines rest. The answer is the reader, and each noticed flip with its time.
fn play(steps: &[Step]) -> Result<(Reader, FakeKernel), TestCaseError> {
    let kernel = FakeKernel::new(3);
    let mut reader = Reader::new(&kernel);
    for step in steps {
        match *step {
            Step::Flip { at, noticed } => kernel.flip(at, noticed),
            Step::Burst { at, flips } => (0..flips).for_each(|_| kernel.flip(at, true)),
            Step::Race { at, times } => kernel.lines.lock()[at].races = times,
            Step::Pass(ms) => kernel.clock.advance(Duration::from_millis(ms)),
            Step::Next => {
                reader.next(Duration::from_millis(100))?;
            }
            Step::Levels => reader.levels()?,
            Step::Unplug => kernel.unplug(true),
            Step::Plug => kernel.unplug(false),
        }
    }
    kernel.unplug(false);
    for line in kernel.lines.lock().iter_mut() {
        line.races = line.races.min(2);
    }
    // Longer than the longest back-off and the time between two readings.
    kernel.clock.advance(MAX_BACK_OFF);
    for _ in 0..3 {
        kernel.clock.advance(REREAD);
        for _ in 0..200 {
            reader.next(Duration::ZERO)?;
        }
    }
    Ok((reader, kernel))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Overflowing buffers, lost interrupts, levels that move while they are read, a chip that goes and comes: the reader's
    /// story never contradicts itself, and it ends with the truth.
    #[test]
    fn lost_edges_are_healed_by_the_level(steps in steps(true)) {
        let (reader, kernel) = play(&steps)?;
        let truth: Vec<_> = (0..3).map(|at| kernel.active(at)).collect();
        prop_assert_eq!(reader.known, Some(truth));
    }

    /// Where the kernel loses nothing, nothing is lost, and every time is the kernel's.
    #[test]
    fn every_edge_arrives_with_its_time(flips in prop::collection::vec((0usize..3, 1u64..50_000), 1..60)) {
        let kernel = FakeKernel::new(3);
        let mut reader = Reader::new(&kernel);
        let mut truth = Vec::new();
        for (at, gap_us) in flips {
            kernel.clock.advance(Duration::from_micros(gap_us));
            kernel.flip(at, true);
            truth.push(InputEdge { input: at, active: kernel.active(at), at: kernel.clock.now() });
            // Late, but before the buffer is full.
            if truth.len() % KEPT == 0 {
                while reader.next(Duration::ZERO)? {}
            }
        }
        while reader.next(Duration::ZERO)? {}
        for at in 0..3 {
            let of_line = |edges: &[InputEdge]| edges.iter().copied().filter(|edge| edge.input == at).collect::<Vec<_>>();
            prop_assert_eq!(of_line(&reader.edges), of_line(&truth));
        }
    }
}

#[test]
fn a_lost_interrupt_is_noticed_within_a_second() {
    let kernel = FakeKernel::new(1);
    let mut inputs = kernel.open().expect("opens");
    let lost_at = kernel.clock.now();
    kernel.flip(0, false);
    let edge = (0..11).find_map(|_| inputs.next(Duration::from_millis(100)).expect("can be read"));
    let edge = edge.expect("within a second");
    assert!(edge.active && edge.at.since(lost_at) <= Duration::from_millis(1_100));
    assert_eq!(inputs.lines[0].mended, 1);
}

/// Some kernels throw the newest edge away: then the last that is told is not the truth.
#[test]
fn a_gap_in_the_numbers_is_healed_at_once() {
    let kernel = FakeKernel::new(1);
    let mut inputs = kernel.open().expect("opens");
    let begun = kernel.clock.now();
    for noticed in [true, false, true, false] {
        kernel.flip(0, noticed);
        if !noticed {
            kernel.lines.lock()[0].number += 1;
        }
    }
    let mut next = || inputs.next(Duration::ZERO).expect("can be read").map(|edge| edge.active);
    assert_eq!([next(), next(), next()], [Some(true), Some(false), None]);
    assert_eq!(kernel.clock.now(), begun, "without waiting");
    assert_eq!(inputs.lines[0].gaps, 1);
}

#[test]
fn a_chip_that_goes_is_an_error_until_it_is_back_and_is_asked_for_less_and_less() {
    let kernel = FakeKernel::new(2);
    let mut inputs = kernel.open().expect("opens");
    kernel.unplug(true);
    assert!(inputs.next(Duration::ZERO).expect_err("gone").message().contains("cannot be read"));
    assert!(kernel.lines.lock().iter().all(|line| !line.claimed), "let go of");
    kernel.flip(1, true);
    // Each attempt doubles the time, up to the longest.
    let mut waits = Vec::new();
    for _ in 0..7 {
        let (retry_at, _) = inputs.lost.clone().expect("lost");
        let before = kernel.clock.now();
        waits.push(retry_at.since(before).as_millis());
        assert!(inputs.levels().is_err(), "not before its time");
        assert_eq!(inputs.lost.as_ref().map(|lost| lost.0), Some(retry_at));
        kernel.clock.advance(retry_at.since(before));
        assert!(inputs.levels().expect_err("still gone").message().contains("no GPIO chip"));
    }
    assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]);
    kernel.unplug(false);
    kernel.clock.advance(MAX_BACK_OFF);
    assert_eq!(inputs.levels().expect("back"), [false, true], "what happened meanwhile is in the level");
    assert_eq!(inputs.next(Duration::ZERO).expect("nothing new"), None);
    kernel.unplug(true);
    assert!(inputs.next(Duration::ZERO).is_err());
    let (retry_at, _) = inputs.lost.clone().expect("lost");
    assert_eq!(retry_at.since(kernel.clock.now()), BACK_OFF, "patience begins anew");
}

#[test]
fn a_line_that_never_rests_is_told_by_its_edges_and_blocks_nobody() {
    let kernel = FakeKernel::new(2);
    let mut inputs = kernel.open().expect("opens");
    kernel.lines.lock()[0].races = u32::MAX;
    kernel.clock.advance(REREAD);
    let mut news = [0; 2];
    for round in 0..100 {
        if round == 50 {
            kernel.flip(1, true);
        }
        if let Some(edge) = inputs.next(Duration::ZERO).expect("can be read") {
            news[edge.input] += 1;
        }
    }
    assert!(news[0] > 20 && news[1] == 1, "{news:?}");
}

#[test]
fn a_chip_that_is_not_there_at_the_start_is_an_error_at_once() {
    let kernel = FakeKernel::new(1);
    kernel.unplug(true);
    assert!(kernel.open().err().expect("gone").message().contains("no GPIO chip"));
}
