//! What a turnstile may and must do, stated plainly and apart from its state machine.

use facegate_control::{
    Class, Passage,
    door::{Alarm, Cause, Command, Controller, Happening, Input, Sensor, Setup, Step},
};

use super::{Micros, common::Common};

const MS: Micros = 1_000;
const S: Micros = 1_000_000;

/// Somebody who was let in, by a grant or without one.
struct Person {
    tag: Option<u64>,
    passage: Passage,
    pulse: Micros,
    /// When the relay went on for them.
    pulsed: Option<Micros>,
    /// They were told to have passed, because no sensor sees it.
    assumed: bool,
    /// By then it must have been told what became of them.
    until: Micros,
}

pub struct TurnstileRules {
    common: Common,
    people: Vec<Person>,
    lanes: [bool; 2],
    /// When a relay went off, or somebody's turn was over.
    rested_at: Option<Micros>,
    /// When a relay went off that was on for one person.
    pulse_ended_at: Option<Micros>,
    /// When somebody passed by right, by way: for certain, and perhaps.
    passed_at: [Option<Micros>; 2],
    passed_perhaps_at: [Option<Micros>; 2],
    /// Somebody came into the sensor without having been let in, the last time then: for certain, and perhaps.
    alarm_from: Option<Micros>,
    alarm_perhaps_from: Option<Micros>,
    occupied_since: Option<Micros>,
    stood: bool,
    /// The same before this input.
    stood_before: bool,
    /// Passages since the last check, by way.
    passages: [u32; 2],
    requests: u32,
    last: Option<(Step, Micros)>,
}

impl TurnstileRules {
    pub fn new(setup: &Setup) -> Self {
        Self {
            common: Common::new(setup),
            people: Vec::new(),
            lanes: [false; 2],
            rested_at: None,
            pulse_ended_at: None,
            passed_at: [None; 2],
            passed_perhaps_at: [None; 2],
            alarm_from: None,
            alarm_perhaps_from: None,
            occupied_since: None,
            stood: false,
            stood_before: false,
            passages: [0; 2],
            requests: 0,
            last: None,
        }
    }

    fn occupied(&self) -> bool {
        self.common.wires.of(Sensor::PassageEntry).steady || self.common.wires.of(Sensor::PassageExit).steady
    }

    pub fn before(&mut self, now: Micros, door: &Controller) {
        if let Some((step, at)) = self.last.filter(|(_, at)| *at < now) {
            let now = at.max(now - 1);
            self.settle(now);
            self.check_levels(step, door, now);
        }
    }

    pub fn heard(&mut self, input: Input, told: &[Happening], now: Micros) {
        self.settle(now);
        self.common.wires.hear(input, now);
        let refused = told.iter().any(|happening| matches!(happening, Happening::Refused { by: Cause::Command, .. }));
        match input {
            Input::Grant { tag, class, passage } => self.granted(tag, class, passage, told, now),
            Input::Command(command) if !self.common.ended => self.command(command, refused, told, now),
            _ => {}
        }
        self.common.hear(input, refused);
        self.stand(now);
        self.settle(now);
    }

    /// Whoever is let in has their outcome told once everybody before them had all the time that there is.
    fn let_in(&mut self, tag: Option<u64>, class: Class, passage: Passage, now: Micros) {
        let turnstile = self.common.setup.settings.turnstile.as_ref().expect("a turnstile");
        let longest = self.common.setup.settings.extended_pulse_ms.max(self.common.setup.pulse_ms);
        let turn = longest.max(turnstile.passage_timeout_ms) + turnstile.gap_ms;
        let pulse = if class == Class::Extended { longest } else { self.common.setup.pulse_ms } * MS;
        let until = now + (u64::from(turnstile.queue) + 2) * turn * MS + 10 * S;
        self.people.push(Person { tag, passage, pulse, pulsed: None, assumed: false, until });
    }

    fn granted(&mut self, tag: u64, class: Class, passage: Passage, told: &[Happening], now: Micros) {
        let refused = told.iter().any(
            |happening| matches!(happening, Happening::Refused { by: Cause::Grant, tag: Some(other), .. } if *other == tag),
        );
        let known = self.common.repeated(tag);
        if self.common.ended || self.common.lockdown || !self.common.interlock_free || known {
            assert!(refused, "the grant {tag} was heard");
            return;
        }
        let idle = self.people.is_empty() && self.quiet_since(now);
        assert!(!refused || !idle, "the grant {tag} was refused, and nobody else is there");
        if !refused {
            self.common.tags.push(tag);
            self.let_in(Some(tag), class, passage, now);
            let on = told.contains(&Happening::Unlocked { lane: passage, by: Cause::Grant, tag: Some(tag) });
            assert!(on || !idle || self.common.stands_open(), "the grant {tag} gave no pulse");
        }
    }

    /// Whether the last pulse was long enough ago.
    fn quiet_since(&self, now: Micros) -> bool {
        let turnstile = self.common.setup.settings.turnstile.as_ref().expect("a turnstile");
        self.rested_at.is_none_or(|at| at + (turnstile.gap_ms + turnstile.passage_timeout_ms) * MS <= now)
    }

    fn command(&mut self, command: Command, refused: bool, told: &[Happening], now: Micros) {
        match command {
            Command::Unlock { passage } if !refused => self.let_in(None, Class::Standard, passage, now),
            Command::ResetAlarms => {
                let stood = |happening: &Happening| matches!(happening, Happening::Cleared { alarm } if *alarm != Alarm::Tamper);
                if self.occupied() && !self.common.stands_open() && told.iter().any(stood) {
                    self.occupied_since = Some(now);
                }
                (self.alarm_from, self.alarm_perhaps_from) = (None, None);
            }
            _ => {}
        }
    }

    fn held_open(&self, now: Micros) -> bool {
        let settings = &self.common.setup.settings;
        [settings.held_open_warning_s, settings.held_open_alarm_s]
            .into_iter()
            .any(|after| after > 0 && self.occupied_since.is_some_and(|since| since + after * S <= now))
    }

    fn settle(&mut self, now: Micros) {
        while let Some(settled) = self.common.wires.settle(now) {
            if !self.common.ended {
                match (settled.sensor, settled.active) {
                    (Sensor::PassageEntry, true) => self.passages[0] += 1,
                    (Sensor::PassageExit, true) => self.passages[1] += 1,
                    (Sensor::Rex, true) => self.requests += 1,
                    _ => {}
                }
                if !self.occupied() {
                    self.occupied_since = None;
                } else if !self.common.stands_open() {
                    self.occupied_since.get_or_insert(settled.at);
                }
            }
            self.stand(settled.at);
        }
    }

    fn stand(&mut self, now: Micros) {
        let stands = self.common.stands_open();
        if stands {
            (self.occupied_since, self.alarm_from, self.alarm_perhaps_from) = (None, None, None);
        } else if self.stood && self.occupied() {
            self.occupied_since = Some(now);
        }
        self.stood = stands;
    }

    pub fn after(&mut self, step: Step, told: &[Happening], door: &Controller, now: Micros) {
        if std::mem::take(&mut self.requests) > 0 && self.common.setup.settings.rex_unlocks {
            let refused = told.iter().any(|h| matches!(h, Happening::Refused { by: Cause::Rex, .. }));
            let out = self.common.lockdown && !self.common.setup.settings.rex_in_lockdown;
            assert!(!out || refused, "a request to exit was heard in lockdown");
            if !refused {
                self.let_in(None, Class::Standard, Passage::Exit, now);
            }
        }
        let by_right = |way: usize| {
            let passed = |told: &&Happening| matches!(told, Happening::Passed { passage, seen: true, .. } if *passage as usize == way);
            told.iter().filter(passed).count() as u32
        };
        // Whoever passes by right is not the one whom an alarm is about, though it be in the same moment.
        let without = [0, 1].map(|way| self.passages[way] > by_right(way));
        let mut seen = [0; 2];
        for happening in told {
            match *happening {
                Happening::EmergencyBegan { .. } | Happening::EmergencyEnded => {
                    self.common.told_of_fire(*happening, now);
                }
                Happening::Unlocked { lane, by, tag } => self.unlocks(lane, by, tag, now),
                Happening::Locked { lane } => {
                    assert!(std::mem::replace(&mut self.lanes[lane as usize], false));
                    self.rested_at = Some(now);
                    if !self.stood_before {
                        self.pulse_ended_at = Some(now);
                    }
                }
                Happening::Passed { tag, passage, seen: false } => {
                    let person = self.person(tag, passage);
                    self.people[person].assumed = true;
                }
                Happening::Passed { tag, passage, seen: true } => {
                    seen[passage as usize] += 1;
                    self.passed_at[passage as usize] = Some(now);
                    self.resolve(tag, passage, now);
                }
                Happening::NobodyPassed { tag, passage } => self.resolve(tag, passage, now),
                Happening::Raised { alarm: alarm @ (Alarm::Tailgating | Alarm::ForcedOpen) } => {
                    assert!(without.contains(&true) && !self.common.stands_open(), "an alarm, and nobody passed");
                    let window =
                        self.common.setup.settings.turnstile.as_ref().expect("a turnstile").tailgating_window_ms * MS;
                    let recent = |at: Option<Micros>| at.is_some_and(|at| now < at + window);
                    let one = |is: &dyn Fn(usize) -> bool| (0..2).any(|way| without[way] && is(way));
                    if alarm == Alarm::Tailgating {
                        let followed = |way: usize| recent(self.passed_at[way]) || recent(self.passed_perhaps_at[way]);
                        assert!(one(&followed), "nobody was followed");
                    } else {
                        let alone = |way: usize| !recent(self.passed_at[way]);
                        assert!(one(&alone) || self.assumed_any(), "followed, not forced");
                    }
                }
                _ => {}
            }
        }
        self.stand(now);
        self.count_passages(seen, now);
        self.common.check_fire(now);
        self.check_levels(step, door, now);
        // Those who were assumed to pass have no end that is told.
        self.people.retain(|person| !person.assumed || now + 10 * S < person.until);
        self.stood_before = self.stood;
        self.last = Some((step, now));
    }

    fn unlocks(&mut self, lane: Passage, by: Cause, tag: Option<u64>, now: Micros) {
        assert!(!std::mem::replace(&mut self.lanes[lane as usize], true));
        let waiting = |person: &&mut Person| person.tag == tag && person.passage == lane && person.pulsed.is_none();
        match by {
            Cause::Emergency => assert!(self.common.released),
            Cause::Hold | Cause::FreeAccess => {}
            Cause::Grant | Cause::Rex | Cause::Command => {
                // Whoever's turn has come has it, if their relay was not on already.
                let person = self.people.iter_mut().find(waiting);
                let person = person.unwrap_or_else(|| panic!("a pulse for {tag:?}, who was not let in, or had theirs"));
                person.pulsed = Some(now);
                let gap = self.common.setup.settings.turnstile.as_ref().expect("a turnstile").gap_ms * MS;
                assert!(self.pulse_ended_at.is_none_or(|at| at + gap <= now), "two pulses in one");
            }
        }
    }

    fn person(&self, tag: Option<u64>, passage: Passage) -> usize {
        let place =
            self.people.iter().position(|person| person.tag == tag && person.passage == passage && !person.assumed);
        place.unwrap_or_else(|| panic!("{tag:?} was not let in, or had passed"))
    }

    fn resolve(&mut self, tag: Option<u64>, passage: Passage, now: Micros) {
        let place = self.person(tag, passage);
        self.people.remove(place);
        self.rested_at = Some(now);
    }

    /// Everybody who comes into a sensor was let in, or stands in a turnstile that is free, or is an alarm.
    fn count_passages(&mut self, seen: [u32; 2], now: Micros) {
        for (way, passages) in std::mem::take(&mut self.passages).into_iter().enumerate() {
            assert!(seen[way] <= passages, "somebody was seen to pass whom no sensor saw");
            if passages > 0 && self.common.stands_open() {
                self.passed_at[way] = Some(now);
            } else if passages > 0 && self.assumed_any() {
                self.passed_perhaps_at[way] = Some(now);
            }
            if seen[way] == passages || self.common.stands_open() || self.common.ended {
                continue;
            }
            self.alarm_perhaps_from = Some(now);
            // Or it was told before, when no sensor could see it.
            if !self.people.iter().any(|person| person.assumed && person.passage as usize == way) {
                self.alarm_from = Some(now);
            }
        }
    }

    /// Whether somebody was told to have passed whom no sensor could see, and who may be passing only now.
    fn assumed_any(&self) -> bool {
        self.people.iter().any(|person| person.assumed)
    }

    fn check_levels(&self, step: Step, door: &Controller, now: Micros) {
        let (outputs, settings) = (step.outputs, &self.common.setup.settings);
        let rest = self.common.setup.fail.rest_energised();
        let lanes = [outputs.strike != rest, outputs.exit_strike != rest];
        assert_eq!(lanes, self.lanes, "the relays and what was told of them differ");
        if self.common.stands_open() {
            assert_eq!(lanes, [true, true]);
        } else {
            assert_ne!(lanes, [true, true], "two ways at once");
            for (way, _) in lanes.iter().enumerate().filter(|(_, on)| **on) {
                let by_right = |person: &Person| {
                    person.passage as usize == way
                        // One that came during free access got no pulse of its own: it ends with its time.
                        && person.pulsed.map_or(now < person.until, |from| now < from + person.pulse)
                };
                assert!(self.people.iter().any(by_right), "unlocked for nobody");
                assert!(!self.common.ended && (!self.common.lockdown || way == Passage::Exit as usize));
            }
        }
        assert!(self.people.iter().all(|person| person.assumed || now < person.until), "nobody said who passed");
        let turnstile = settings.turnstile.as_ref().expect("a turnstile");
        let sounding = door.stands(Alarm::ForcedOpen) || door.stands(Alarm::Tailgating);
        if !self.common.ended {
            let within = self.alarm_from.is_some_and(|from| now < from + turnstile.alarm_s * S);
            let perhaps = self.alarm_perhaps_from.is_some_and(|from| now < from + turnstile.alarm_s * S);
            let may = self.alarm_perhaps_from.is_some() && (perhaps || self.occupied());
            assert!(may || !sounding, "an alarm that does not end");
            assert!(sounding || !within || !settings.forced_open_alarm, "no alarm");
            let stands = door.stands(Alarm::HeldOpen) || door.stands(Alarm::HeldOpenWarning);
            assert_eq!(stands, self.held_open(now), "somebody stands in the turnstile");
            assert_eq!(outputs.alarm, sounding || door.stands(Alarm::HeldOpen) || door.stands(Alarm::Tamper));
        } else {
            assert!(!outputs.alarm && !outputs.buzzer);
        }
    }
}
