//! What anti-passback must and may do, stated plainly and apart from the code that does it: from what the doors told.
//!
//! Somebody is where the last passage that a door told of has led them. A grant of which nothing is told yet is *under way*:
//! perhaps they went there. Whoever was forgiven is nowhere. The disk is a moment late, and so is this book's copy, which a
//! power cut leaves of it.

use facegate_control::{
    Passage,
    access::rules::{AntiPassback, Strictness},
};

use super::{
    Micros,
    house::{EXEMPT, House, PEOPLE, STRANGER, Side, person_name},
};

/// Instead of the tag of a grant of which nothing more will be told.
const NEVER_TOLD: u64 = 0;

/// A grant of which nothing is told yet, or never was: the process ended, or the word of it got lost.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    tag: u64,
    passage: Passage,
    to: Side,
    since: Micros,
    /// They passed another door since then, so wherever this one leads, they are not there by it.
    over: bool,
}

#[derive(Clone, Debug, Default)]
struct Record {
    /// Where the last passage led; none: nothing is known.
    place: Option<Side>,
    since: Micros,
    under_way: Vec<UnderWay>,
}

impl Record {
    fn live(&self) -> impl Iterator<Item = &UnderWay> {
        self.under_way.iter().filter(|one| !one.over)
    }
}

/// What the rules answered to somebody.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub who: usize,
    pub door: usize,
    pub passage: Passage,
    pub allowed: bool,
    pub flagged: bool,
}

/// The same beside what is known.
struct Case<'a> {
    record: &'a Record,
    from: Side,
    to: Side,
    allowed: bool,
    flagged: bool,
    now: Micros,
}

impl Case<'_> {
    /// Whether nothing is under way, so that where they are is known as well as doors can tell.
    fn settled(&self) -> bool {
        self.record.live().next().is_none()
    }
}

/// What is known of everybody.
pub struct Ledger {
    house: House,
    people: [Record; PEOPLE],
    /// The same as the disk has it.
    stored: [Record; PEOPLE],
}

impl Ledger {
    pub fn new(house: House) -> Self {
        Self { house, people: Default::default(), stored: Default::default() }
    }

    /// Checks an answer of the rules, before anything comes of it.
    pub fn check(&self, answer: Answer, now: Micros) {
        let Answer { who, door, passage, allowed, flagged } = answer;
        let (from, to) = self.house.way(door, passage);
        let say =
            |what: &str| format!("{what}: {} {passage:?} at door {door}, {:?}", person_name(who), self.people[who]);
        assert!(!flagged || allowed, "{}", say("flagged, and not let in"));
        match who {
            STRANGER => assert!(!allowed, "{}", say("not in the rules, and let in")),
            EXEMPT => assert!(allowed && !flagged, "{}", say("exempt, and denied or flagged")),
            _ if from == to => assert!(allowed && !flagged, "{}", say("denied or flagged where there are no areas")),
            _ => {
                let case = Case { record: &self.people[who], from, to, allowed, flagged, now };
                let wrong = self.entering(&case).or_else(|| self.leaving(&case)).or_else(|| self.locked_out(&case));
                assert!(wrong.is_none(), "{}", say(wrong.unwrap_or_default()));
            }
        }
    }

    /// Nobody is let into an area twice.
    fn entering(&self, case: &Case<'_>) -> Option<&'static str> {
        let &Case { record, from, to, allowed, flagged, now } = case;
        let area = self.house.area(to)?;
        let inside = record.place == Some(to);
        let perhaps = record.live().any(|one| one.to == to);
        let other = case.settled() && record.place.is_some_and(|at| at != from && at != to && self.house.counts(at));
        match area.anti_passback {
            AntiPassback::Hard if allowed && inside => Some("let in twice"),
            AntiPassback::Hard if allowed && perhaps => Some("let in twice, and the first time is not settled"),
            AntiPassback::Hard if allowed && other => Some("let in, and is in another area"),
            AntiPassback::Soft if allowed && !flagged && (inside || perhaps) => Some("let in twice without a flag"),
            AntiPassback::Soft if allowed && !flagged && other => Some("let in without a flag, and is in another area"),
            AntiPassback::Timed if allowed && inside && now < record.since + area.window() => Some("let in too soon"),
            AntiPassback::Timed if allowed => {
                let recent = record.live().any(|one| one.to == to && now < one.since + area.window());
                recent.then_some("let in too soon, and the first time is not settled")
            }
            _ => None,
        }
    }

    /// Whoever leaves has come in.
    fn leaving(&self, case: &Case<'_>) -> Option<&'static str> {
        let &Case { record, from, allowed, flagged, .. } = case;
        let area = self.house.area(from).filter(|area| area.counts())?;
        let elsewhere = case.settled() && record.place.is_some_and(|place| place != from);
        match area.exit_without_entry {
            Strictness::Deny if elsewhere && allowed => Some("let out without having come in"),
            Strictness::Flag if elsewhere && allowed && !flagged => Some("let out without having come in, and no flag"),
            _ => None,
        }
    }

    /// Nobody is locked out, or in, without a cause.
    fn locked_out(&self, case: &Case<'_>) -> Option<&'static str> {
        let &Case { record, from, to, allowed, flagged, now } = case;
        let (leaves, enters) = (self.house.area(from), self.house.area(to));
        let may_hold = leaves.is_some_and(|area| area.counts() && area.exit_without_entry == Strictness::Deny);
        let timed = enters.filter(|area| area.anti_passback == AntiPassback::Timed);
        let may_refuse = timed.is_some() || enters.is_some_and(|area| area.anti_passback == AntiPassback::Hard);
        if !allowed && !may_hold && !may_refuse {
            return Some("denied, and no area denies anybody");
        }
        if !case.settled() {
            return None;
        }
        if record.place.is_none_or(|place| place == from) && (!allowed || flagged) {
            return Some("denied or flagged, and where they are is in order");
        }
        let over = timed.is_some_and(|area| record.place == Some(to) && record.since + area.window() <= now);
        (over && !allowed && !may_hold).then_some("denied, and the time is over")
    }

    /// A door opens for somebody.
    pub fn granted(&mut self, answer: Answer, tag: u64, now: Micros) {
        let (from, to) = self.house.way(answer.door, answer.passage);
        if from == to {
            return;
        }
        let one = UnderWay { tag, passage: answer.passage, to, since: now, over: false };
        self.people[answer.who].under_way.push(one);
    }

    /// A door tells that somebody went through by that grant.
    pub fn passed(&mut self, tag: u64, passage: Passage, now: Micros) {
        let Some((record, place)) = self.find(tag) else { return };
        let one = record.under_way.remove(place);
        assert_eq!(one.passage, passage, "the grant {tag} was for the other way");
        (record.place, record.since) = (Some(one.to), now);
        record.under_way[..place].iter_mut().for_each(|earlier| earlier.over = true);
    }

    /// A door tells that nobody went through by that grant.
    pub fn unused(&mut self, tag: u64) {
        let Some((record, place)) = self.find(tag) else { return };
        record.under_way.remove(place);
    }

    /// What a door tells of that grant reaches nobody.
    pub fn lose(&mut self, tag: u64) {
        if let Some((record, place)) = self.find(tag) {
            record.under_way[place].tag = NEVER_TOLD;
        }
    }

    pub fn forgive(&mut self, who: usize) {
        let record = &mut self.people[who];
        record.under_way.iter_mut().for_each(|one| one.over = true);
        record.place = None;
        self.stored[who] = Record::default();
    }

    /// What is known reaches the disk.
    pub fn write(&mut self) {
        self.stored.clone_from(&self.people);
    }

    /// Another process begins with what is on the disk; every time begins anew.
    pub fn restart(&mut self, now: Micros) {
        self.people.clone_from(&self.stored);
        for record in &mut self.people {
            record.since = now;
            record.under_way.iter_mut().for_each(|one| (one.tag, one.since) = (NEVER_TOLD, now));
        }
    }

    fn find(&mut self, tag: u64) -> Option<(&mut Record, usize)> {
        self.people.iter_mut().find_map(|record| {
            let place = record.under_way.iter().position(|one| one.tag == tag)?;
            Some((record, place))
        })
    }
}
