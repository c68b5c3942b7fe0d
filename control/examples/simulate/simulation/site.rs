//! Three doors of one building for some days: people, operators, faults, and a clock on the wall that jumps.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use facegate_control::{
    Moment,
    door::{Controller, Happening, Input, Interlock, Sensor, Setup, Step},
};

use super::{Micros, acts, random::Random, rules::DoorRules, setups, turnstile_rules::TurnstileRules};

pub const DOORS: usize = 3;

const HOUR: Micros = 3_600 * 1_000_000;
pub const DAY: Micros = 24 * HOUR;

/// What comes next, and when.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// An input changes its level; the edge may get lost, or arrive twice.
    Wire(Sensor, bool),
    /// The level as it is, told again.
    Resync(Sensor),
    Input(Input),
    /// The process ends, in order or not, and another begins.
    Restart {
        in_order: bool,
    },
    /// The wall clock is set, by so many hours.
    WallJump(i64),
    /// Somebody looks at the wall clock and the schedule.
    Schedule,
    /// The next thing that people or faults do at this door.
    Next,
}

/// The rules of whichever kind of door it is.
enum Rules {
    Door(DoorRules),
    Turnstile(TurnstileRules),
}

impl Rules {
    fn new(setup: &Setup) -> Self {
        match setup.settings.turnstile {
            None => Self::Door(DoorRules::new(setup)),
            Some(_) => Self::Turnstile(TurnstileRules::new(setup)),
        }
    }
}

struct Place {
    setup: Setup,
    door: Controller,
    /// None where only the speed is of interest.
    rules: Option<Rules>,
    /// The process's clock begins anew with it.
    started: Micros,
    step: Step,
    levels: [bool; Sensor::ALL.len()],
    lost: [bool; Sensor::ALL.len()],
    interlock_free: bool,
    free: bool,
}

/// What was simulated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub door_days: u64,
    /// Inputs that the doors were told, ticks included.
    pub events: u64,
    pub unlocked: u64,
    pub alarms: u64,
    pub restarts: u64,
}

impl Totals {
    pub fn add(&mut self, other: Self) {
        self.door_days += other.door_days;
        self.events += other.events;
        self.unlocked += other.unlocked;
        self.alarms += other.alarms;
        self.restarts += other.restarts;
    }
}

pub struct Site {
    random: Random,
    places: [Place; DOORS],
    interlock: Interlock,
    /// By time, then in the order in which they were made.
    agenda: BinaryHeap<Reverse<(Micros, u64, usize, Slot)>>,
    sequence: u64,
    now: Micros,
    /// By how many hours the wall clock is wrong.
    wall_hours: i64,
    next_tag: u64,
    told: Vec<Happening>,
    totals: Totals,
    trace: bool,
}

/// An act in the agenda, which is ordered by the time alone.
#[derive(Clone, Copy)]
struct Slot(Act);

impl PartialEq for Slot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Slot {}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slot {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl Site {
    pub fn new(seed: u64, checked: bool, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let places = [0, 1, 2].map(|door| {
            let setup = setups::random(&mut random, door == 2);
            let mut door = Controller::new(&setup).expect("the simulator makes valid settings");
            let step = door.on(Input::Tick, Moment::default(), &mut Vec::new());
            let rules = checked.then(|| Rules::new(&setup));
            let (levels, lost) = ([false; 6], [false; 6]);
            Place { setup, door, rules, started: 0, step, levels, lost, interlock_free: true, free: false }
        });
        let airlock = ["outer".to_owned(), "inner".to_owned()];
        let interlock =
            Interlock::new(&["outer", "inner", "gate"], &[("airlock", &airlock)]).expect("a valid interlock");
        let mut site = Self {
            random,
            places,
            interlock,
            agenda: BinaryHeap::new(),
            sequence: 0,
            now: 0,
            wall_hours: 0,
            next_tag: 1,
            told: Vec::new(),
            totals: Totals::default(),
            trace,
        };
        for door in 0..DOORS {
            if trace {
                println!("door {door}: {:?}", site.places[door].setup);
            }
            let first = site.random.within(0, HOUR);
            site.plan(door, first, Act::Next);
        }
        site.plan(0, HOUR, Act::Schedule);
        site
    }

    /// Runs for so many days. Panics where a rule is broken.
    pub fn run(&mut self, days: u64) -> Totals {
        let end = days * DAY;
        while let Some(Reverse((at, ..))) = self.agenda.peek() {
            let at = *at;
            let (due, door) = (0..DOORS).map(|door| (self.due(door), door)).min().unwrap_or((at, 0));
            if at.min(due) > end {
                break;
            }
            if due <= at {
                self.now = self.now.max(due);
                self.tell(door, Input::Tick);
            } else if let Some(Reverse((_, _, door, Slot(act)))) = self.agenda.pop() {
                self.now = at;
                self.act(door, act);
            }
        }
        self.totals.door_days = days * DOORS as u64;
        self.totals
    }

    fn due(&self, door: usize) -> Micros {
        let place = &self.places[door];
        let due = place.step.deadline.map(|due| u64::try_from(due.since_start().as_micros()).unwrap_or(u64::MAX));
        due.map_or(u64::MAX, |due| due.saturating_add(place.started))
    }

    pub fn plan(&mut self, door: usize, after: Micros, act: Act) {
        self.sequence += 1;
        self.agenda.push(Reverse((self.now + after, self.sequence, door, Slot(act))));
    }

    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    pub fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    pub fn is_turnstile(&self, door: usize) -> bool {
        self.places[door].setup.settings.turnstile.is_some()
    }

    fn act(&mut self, door: usize, act: Act) {
        match act {
            Act::Next => {
                acts::plan(self, door);
                let next = self.random.within(60 * 1_000_000, 8 * HOUR);
                self.plan(door, next, Act::Next);
            }
            Act::Wire(sensor, active) => self.wire(door, sensor, active),
            Act::Resync(sensor) => {
                let active = self.places[door].levels[sensor.index()];
                self.tell(door, Input::Level { sensor, active });
            }
            Act::Input(input) => {
                match input {
                    Input::SensorLost(sensor) => self.places[door].lost[sensor.index()] = true,
                    Input::SensorFound(sensor) => self.places[door].lost[sensor.index()] = false,
                    _ => {}
                }
                self.tell(door, input);
                if self.random.percent(3) {
                    self.tell(door, input);
                }
                if let Input::SensorFound(sensor) = input {
                    self.act(door, Act::Resync(sensor));
                }
            }
            Act::Restart { in_order } => self.restart(door, in_order),
            Act::WallJump(hours) => {
                self.wall_hours += hours;
                self.look_at_the_schedule();
            }
            Act::Schedule => {
                self.look_at_the_schedule();
                self.plan(0, HOUR, Act::Schedule);
            }
        }
        if self.random.next().is_multiple_of(1_024) {
            // In the middle of whatever goes on.
            let in_order = self.random.coin();
            self.restart(door, in_order);
        }
    }

    fn wire(&mut self, door: usize, sensor: Sensor, active: bool) {
        self.places[door].levels[sensor.index()] = active;
        if self.random.percent(2) {
            let later = self.random.within(100_000, 3_000_000);
            self.plan(door, later, Act::Resync(sensor));
            return;
        }
        self.tell(door, Input::Level { sensor, active });
        if self.random.percent(3) {
            self.tell(door, Input::Level { sensor, active });
        }
    }

    /// Doors with office hours are free from 9 to 17 by the clock on the wall, whatever that shows.
    fn look_at_the_schedule(&mut self) {
        let hours = i64::try_from(self.now / HOUR).unwrap_or_default() + self.wall_hours;
        let free = (9..17).contains(&hours.rem_euclid(24));
        for door in [0, 2] {
            let free = free && self.places[door].setup.pulse_ms.is_multiple_of(2);
            if std::mem::replace(&mut self.places[door].free, free) != free {
                self.tell(door, Input::FreeAccess(free));
            }
        }
    }

    fn restart(&mut self, door: usize, in_order: bool) {
        self.totals.restarts += 1;
        if in_order {
            self.tell(door, Input::Shutdown);
            for sensor in Sensor::ALL {
                // A last edge, too late for all but fire.
                let active = self.random.coin();
                self.tell(door, Input::Level { sensor, active });
            }
        }
        let place = &mut self.places[door];
        place.door = Controller::new(&place.setup).expect("the simulator makes valid settings");
        place.rules = place.rules.is_some().then(|| Rules::new(&place.setup));
        (place.started, place.interlock_free) = (self.now, true);
        place.step = place.door.on(Input::Tick, Moment::default(), &mut Vec::new());
        assert!(!place.door.is_unlocked(), "it comes up locked");
        assert_eq!(place.step.outputs.strike, place.setup.fail.rest_energised());
        for sensor in Sensor::ALL {
            if self.places[door].lost[sensor.index()] {
                self.tell(door, Input::SensorLost(sensor));
            } else {
                self.act_resync(door, sensor);
            }
        }
        if self.places[door].free {
            self.tell(door, Input::FreeAccess(true));
        }
    }

    fn act_resync(&mut self, door: usize, sensor: Sensor) {
        let active = self.places[door].levels[sensor.index()];
        self.tell(door, Input::Level { sensor, active });
    }

    /// Tells a door something, as the daemon does: the interlock is asked first, and told afterwards.
    fn tell(&mut self, door: usize, input: Input) {
        let interlocked = self.interlock.concerns(door);
        if interlocked {
            let free = self.interlock.reserve(door);
            if self.places[door].interlock_free != free {
                self.places[door].interlock_free = free;
                self.hear(door, Input::InterlockFree(free));
            }
        }
        self.hear(door, input);
        if !interlocked {
            return;
        }
        self.interlock.note(door, self.places[door].door.is_secure());
        let other = 1 - door;
        if self.interlock.is_free(other) != self.places[other].interlock_free {
            // The other one looks, too; what it does can concern nobody else.
            let free = self.interlock.reserve(other);
            self.places[other].interlock_free = free;
            self.hear(other, Input::InterlockFree(free));
            self.interlock.note(other, self.places[other].door.is_secure());
        }
        self.check_interlock();
    }

    fn hear(&mut self, door: usize, input: Input) {
        let now = self.now - self.places[door].started;
        let place = &mut self.places[door];
        if self.trace {
            println!("{:>14.6} s  door {door}  {input:?}", self.now as f64 / 1e6);
        }
        match &mut place.rules {
            Some(Rules::Door(rules)) => rules.before(now, &place.door),
            Some(Rules::Turnstile(rules)) => rules.before(now, &place.door),
            None => {}
        }
        self.told.clear();
        place.step = place.door.on(input, Moment::from_start(Duration::from_micros(now)), &mut self.told);
        self.totals.events += 1;
        for happening in &self.told {
            self.totals.unlocked += u64::from(matches!(happening, Happening::Unlocked { .. }));
            self.totals.alarms += u64::from(matches!(happening, Happening::Raised { .. }));
        }
        if self.trace {
            println!("                  door {door}  {:?}  {:?}", self.told, place.step);
        }
        match &mut place.rules {
            Some(Rules::Door(rules)) => {
                rules.heard(input, &self.told, now);
                rules.after(place.step, &self.told, &place.door, now);
            }
            Some(Rules::Turnstile(rules)) => {
                rules.heard(input, &self.told, now);
                rules.after(place.step, &self.told, &place.door, now);
            }
            None => {}
        }
    }

    /// While one door of the airlock is unlocked, the other is shut, unless there is fire or somebody must get out.
    fn check_interlock(&self) {
        let [Some(Rules::Door(outer)), Some(Rules::Door(inner))] = [&self.places[0].rules, &self.places[1].rules]
        else {
            return;
        };
        for (one, other) in [(outer, inner), (inner, outer)] {
            assert!(!one.is_unlocked() || one.ignores_interlock() || other.is_shut(), "both doors of the airlock");
        }
    }
}
