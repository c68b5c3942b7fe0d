//! People before the doors of a site, the rules between them, and a book that checks what the rules answer.

use facegate_control::{
    Class, Moment, Passage,
    access::rules::{Allowed, Ruling},
    door::{Alarm, Happening, Refusal},
};

use super::{
    Micros,
    house::{House, PEOPLE, Side},
    ledger::{Answer, Ledger},
    people::People,
    random::Random,
    reception::{Clocks, Reception},
    totals::Totals,
};

/// Somebody wants to pass.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub door: usize,
    pub passage: Passage,
    /// None: whoever is there.
    pub who: Option<usize>,
}

pub struct Access {
    house: House,
    people: People,
    reception: Reception,
    /// None where only the speed is of interest.
    ledger: Option<Ledger>,
    /// Whose grant it is, and which way it leads.
    under_way: Vec<(u64, usize, (Side, Side))>,
    /// When what was noted reaches the disk.
    write_at: Option<Micros>,
}

impl Access {
    pub fn new(random: &mut Random, checked: bool) -> Self {
        let house = House::random(random);
        Self {
            house,
            people: People::default(),
            reception: Reception::new(&house),
            ledger: checked.then(|| Ledger::new(house)),
            under_way: Vec::new(),
            write_at: None,
        }
    }

    pub fn house(&self) -> &House {
        &self.house
    }

    /// Somebody asks: who it is, and how much time they get where they may pass. The door is to be told.
    pub fn ask(
        &mut self,
        ask: Ask,
        tag: u64,
        (now, clocks): (Micros, Clocks),
        random: &mut Random,
        totals: &mut Totals,
    ) -> (usize, Option<Class>) {
        self.write_if_due(now);
        let Ask { door, passage, who } = ask;
        let (from, to) = self.house.way(door, passage);
        let who = who.unwrap_or_else(|| self.people.turns_up(from, random));
        let ruling = self.reception.admit(who, door, passage, tag, clocks);
        let flagged = matches!(ruling, Ruling::Allowed(Allowed { flag: Some(_), .. }));
        let answer = Answer { who, door, passage, allowed: ruling.allowed(), flagged };
        if let Some(ledger) = &self.ledger {
            ledger.check(answer, now);
        }
        totals.asked += 1;
        totals.flagged += u64::from(flagged);
        let Ruling::Allowed(Allowed { class, .. }) = ruling else {
            totals.denied += 1;
            return (who, None);
        };
        if let Some(ledger) = &mut self.ledger {
            ledger.granted(answer, tag, now);
        }
        self.under_way.push((tag, who, (from, to)));
        self.note(now, random);
        (who, Some(class))
    }

    /// A door tells what happened.
    pub fn hear(&mut self, door: usize, told: &[Happening], now: Micros, clocks: Clocks, random: &mut Random) {
        let mut seen = false;
        for happening in told {
            match *happening {
                Happening::Passed { tag: Some(tag), passage, .. } => {
                    self.settle(tag, Some(passage), now, clocks, random);
                    seen = true;
                }
                Happening::Refused { why: Refusal::Repeated, .. } => {}
                Happening::NobodyPassed { tag: Some(tag), .. } | Happening::Refused { tag: Some(tag), .. } => {
                    self.settle(tag, None, now, clocks, random);
                }
                Happening::Opened | Happening::Raised { alarm: Alarm::Tailgating | Alarm::ForcedOpen } if !seen => {
                    let passage = if random.coin() { Passage::Entry } else { Passage::Exit };
                    let (from, to) = self.house.way(door, passage);
                    self.people.slip(from, to, random);
                }
                _ => {}
            }
        }
    }

    /// What became of a grant: a passage, or none.
    fn settle(&mut self, tag: u64, passage: Option<Passage>, now: Micros, clocks: Clocks, random: &mut Random) {
        self.write_if_due(now);
        if let Some(place) = self.under_way.iter().position(|&(other, ..)| other == tag) {
            let (_, who, way) = self.under_way.swap_remove(place);
            if passage.is_some() {
                self.people.pass(who, way, random);
            }
        }
        if random.percent(1) {
            // The word of it gets lost.
            self.reception.lose(tag);
            self.ledger.iter_mut().for_each(|ledger| ledger.lose(tag));
            return;
        }
        // Or it is said twice.
        for _ in 0..if random.percent(3) { 2 } else { 1 } {
            match passage {
                Some(_) => self.reception.passed(tag, clocks),
                None => self.reception.unused(tag),
            }
        }
        if let Some(ledger) = &mut self.ledger {
            match passage {
                Some(passage) => ledger.passed(tag, passage, now),
                None => ledger.unused(tag),
            }
        }
        self.note(now, random);
    }

    /// Forgets where somebody is, or everybody.
    pub fn forgive(&mut self, who: Option<usize>, now: Micros) {
        self.write_if_due(now);
        if who.is_none() {
            self.reception.forgive_all();
        }
        for who in who.map_or(0..PEOPLE, |who| who..who + 1) {
            self.reception.forgive(who);
            self.ledger.iter_mut().for_each(|ledger| ledger.forgive(who));
        }
    }

    /// The process ends, in order or not, and another one begins.
    pub fn restart(&mut self, in_order: bool, now: Micros) {
        self.write_if_due(now);
        if in_order {
            self.write();
        }
        self.write_at = None;
        self.under_way.clear();
        self.reception.restart(Moment::default());
        self.ledger.iter_mut().for_each(|ledger| ledger.restart(now));
    }

    fn note(&mut self, now: Micros, random: &mut Random) {
        let late = random.within(0, 300_000);
        if self.write_at.is_none() && self.reception.has_unsaved() {
            self.write_at = Some(now + late);
        }
    }

    /// Nothing has changed since it was due, for everything that changes something asks here first.
    fn write_if_due(&mut self, now: Micros) {
        if self.write_at.is_some_and(|at| at <= now) {
            self.write();
        }
    }

    fn write(&mut self) {
        self.write_at = None;
        self.reception.write();
        self.ledger.iter_mut().for_each(Ledger::write);
    }
}
