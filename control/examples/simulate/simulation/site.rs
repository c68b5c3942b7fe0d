//! Three doors of one building for some days: people, operators, faults, and a clock on the wall that jumps.

use std::time::Duration;

use facegate_control::{
    Moment,
    door::{Controller, Happening, Input, Interlock, Sensor, Setup, Step},
};

use jiff::Timestamp;

use super::{
    Micros,
    access::{Access, Ask},
    acts,
    agenda::{Act, Agenda},
    random::Random,
    reception::Clocks,
    rules::Rules,
    setups,
    totals::Totals,
};

pub const DOORS: usize = 3;

const HOUR: Micros = 3_600 * 1_000_000;
pub const DAY: Micros = 24 * HOUR;

/// What the wall clock shows at first, in seconds since 1970: a day in November 2026.
const FIRST_DAY: i64 = 1_795_392_000;

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

pub struct Site {
    random: Random,
    places: [Place; DOORS],
    interlock: Interlock,
    /// None where nobody has written any rules of access.
    access: Option<Access>,
    agenda: Agenda,
    now: Micros,
    /// By how many hours the wall clock is wrong.
    wall_hours: i64,
    next_tag: u64,
    told: Vec<Happening>,
    totals: Totals,
    trace: bool,
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
        let access = random.percent(60).then(|| Access::new(&mut random, checked));
        let mut site = Self {
            access,
            random,
            places,
            interlock,
            agenda: Agenda::default(),
            now: 0,
            wall_hours: 0,
            next_tag: 1,
            told: Vec::new(),
            totals: Totals::default(),
            trace,
        };
        if let Some(access) = site.access.as_ref().filter(|_| trace) {
            println!("{:?}", access.house());
        }
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
        while let Some(at) = self.agenda.next_at() {
            let (due, door) = (0..DOORS).map(|door| (self.due(door), door)).min().unwrap_or((at, 0));
            if at.min(due) > end {
                break;
            }
            if due <= at {
                self.now = self.now.max(due);
                self.tell(door, Input::Tick);
            } else if let Some((door, act)) = self.agenda.pop() {
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
        self.agenda.add(self.now + after, door, act);
    }

    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    pub fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    pub fn has_rules(&self) -> bool {
        self.access.is_some()
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
            Act::Resync(sensor) => self.resync(door, sensor),
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
                    self.resync(door, sensor);
                }
            }
            Act::Ask(ask) => self.ask(ask),
            Act::Forgive(who) => {
                let now = self.now;
                self.access.iter_mut().for_each(|access| access.forgive(who, now));
                if self.trace {
                    println!("{:>14.6} s  forgiven {who:?}", now as f64 / 1e6);
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

    /// A site that goes by rules is one process; else each door is one.
    fn restart(&mut self, door: usize, in_order: bool) {
        self.totals.restarts += 1;
        let doors = if self.access.is_some() { 0..DOORS } else { door..door + 1 };
        if in_order {
            for door in doors.clone() {
                self.tell(door, Input::Shutdown);
                for sensor in Sensor::ALL {
                    // A last edge, too late for all but fire.
                    let active = self.random.coin();
                    self.tell(door, Input::Level { sensor, active });
                }
            }
        }
        if let Some(access) = &mut self.access {
            access.restart(in_order, self.now);
        }
        for place in &mut self.places[doors.clone()] {
            place.door = Controller::new(&place.setup).expect("the simulator makes valid settings");
            place.rules = place.rules.is_some().then(|| Rules::new(&place.setup));
            (place.started, place.interlock_free) = (self.now, true);
            place.step = place.door.on(Input::Tick, Moment::default(), &mut Vec::new());
            assert!(!place.door.is_unlocked(), "it comes up locked");
            assert_eq!(place.step.outputs.strike, place.setup.fail.rest_energised());
        }
        for door in doors {
            for sensor in Sensor::ALL {
                if self.places[door].lost[sensor.index()] {
                    self.tell(door, Input::SensorLost(sensor));
                } else {
                    self.resync(door, sensor);
                }
            }
            if self.places[door].free {
                self.tell(door, Input::FreeAccess(true));
            }
        }
    }

    /// Somebody asks the rules, and the door opens where they say yes.
    fn ask(&mut self, ask: Ask) {
        let (tag, times) = (self.tag(), self.times());
        let Some(access) = &mut self.access else { return };
        let (who, class) = access.ask(ask, tag, times, &mut self.random, &mut self.totals);
        if self.trace {
            println!("{:>14.6} s  door {}  {who} asks: {class:?}", self.now as f64 / 1e6, ask.door);
        }
        if let Some(class) = class {
            let grant = Input::Grant { tag, class, passage: ask.passage };
            acts::again(self, ask.door, 0, Act::Input(grant));
            self.act(ask.door, Act::Input(grant));
        }
        acts::answered(self, ask, who, class.is_some());
    }

    /// Now, and what the process and the wall show then.
    fn times(&self) -> (Micros, Clocks) {
        let process = Moment::from_start(Duration::from_micros(self.now - self.places[0].started));
        let hours = i64::try_from(self.now / HOUR).unwrap_or_default() + self.wall_hours;
        let wall = Timestamp::from_second(FIRST_DAY + hours * 3_600).expect("a few centuries");
        (self.now, Clocks { process, wall })
    }

    fn resync(&mut self, door: usize, sensor: Sensor) {
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
        // The other one looks, too, and this one again: in the same moment there may have been fire at the other.
        for door in [1 - door, door] {
            if self.interlock.is_free(door) != self.places[door].interlock_free {
                let free = self.interlock.reserve(door);
                self.places[door].interlock_free = free;
                self.hear(door, Input::InterlockFree(free));
                self.interlock.note(door, self.places[door].door.is_secure());
            }
        }
        self.check_interlock();
    }

    fn hear(&mut self, door: usize, input: Input) {
        let now = self.now - self.places[door].started;
        let place = &mut self.places[door];
        if self.trace {
            println!("{:>14.6} s  door {door}  {input:?}", self.now as f64 / 1e6);
        }
        if let Some(rules) = &mut place.rules {
            rules.before(now, &place.door);
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
        if let Some(rules) = &mut place.rules {
            rules.after(input, place.step, &self.told, &place.door, now);
        }
        if self.access.is_some() && !self.told.is_empty() {
            let (now, clocks) = self.times();
            if let Some(access) = &mut self.access {
                access.hear(door, &self.told, now, clocks, &mut self.random);
            }
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
