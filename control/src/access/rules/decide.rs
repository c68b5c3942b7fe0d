//! The decision itself. Read downwards and you have the order in which things are asked.

use std::sync::Arc;

use super::{
    Allowed, AntiPassback, By, InForce, Presence, Request, RuleReason, Rulebook, Ruling, State, Strictness,
    explain::{Finding, Silent, Step, Trace},
    hours::{Hours, Reading, weekday},
    plan::{AreaPlan, DoorPlan, Person},
    presence::{Place, Way, Whereabouts},
};
use crate::{Card, Class, Passage};

impl Rulebook {
    /// Whether somebody may pass. Takes as long as they have groups, whatever the number of rules and subjects.
    pub fn rule(&self, request: &Request<'_>, presence: &Presence) -> Ruling {
        self.decide(request, presence, &mut Silent)
    }

    /// The one way to a ruling; `trace` is told every step.
    pub(super) fn decide(&self, request: &Request<'_>, presence: &Presence, trace: &mut impl Trace) -> Ruling {
        match &self.state {
            State::None if request.reader.is_some() => {
                trace
                    .step(|| Step::new("card", Finding::No, "there are no rules, so nobody has a card number to send"));
                Ruling::Denied(RuleReason::NoCard)
            }
            State::None => {
                trace.step(|| Step::new("rules", Finding::Yes, "there are no rules: whoever is enrolled may pass"));
                Ruling::Allowed(Allowed { class: Class::Standard, by: None, flag: None, card: None, way: None })
            }
            State::Unreadable => {
                trace.step(|| Step::new("rules", Finding::No, "the rules cannot be read; run facegate check"));
                Ruling::Denied(RuleReason::Unreadable)
            }
            State::InForce(book) => match book.decide(request, presence, trace) {
                Ok(allowed) => Ruling::Allowed(allowed),
                Err(reason) => Ruling::Denied(reason),
            },
        }
    }
}

impl InForce {
    fn decide(
        &self,
        request: &Request<'_>,
        presence: &Presence,
        trace: &mut impl Trace,
    ) -> Result<Allowed, RuleReason> {
        let person = self.known(request, trace)?;
        valid(person, request, trace)?;
        let door = self.plan.door(request.door).ok_or_else(|| {
            trace.step(|| Step::new("door", Finding::No, format!("the rules do not name door '{}'", request.door)));
            RuleReason::NoDoor
        })?;
        let by = self.grant(person, door, request, trace)?;
        let card = card(person, request, trace)?;
        let (flag, way) = self.movement(person, door, request, presence, trace)?;
        Ok(Allowed { class: person.class, by: Some(by), flag, card, way })
    }

    fn known(&self, request: &Request<'_>, trace: &mut impl Trace) -> Result<&Person, RuleReason> {
        self.people.get(request.subject).ok_or_else(|| {
            if self.unreadable > 0 {
                trace.step(|| {
                    let text = format!(
                        "the rules do not name subject '{}', but those of {} cannot be read; run facegate check",
                        request.subject, self.unreadable
                    );
                    Step::new("subject", Finding::No, text)
                });
                return RuleReason::Unreadable;
            }
            trace.step(|| {
                Step::new("subject", Finding::No, format!("the rules do not name subject '{}'", request.subject))
            });
            RuleReason::NoSubject
        })
    }

    /// The first of the subject's groups that may pass now.
    fn grant(
        &self,
        person: &Person,
        door: &DoorPlan,
        request: &Request<'_>,
        trace: &mut impl Trace,
    ) -> Result<By, RuleReason> {
        let mut reason = RuleReason::NoGroup;
        for &number in &person.groups {
            let Some(group) = self.plan.groups.get(number as usize) else { continue };
            let mut may = false;
            for grant in door.grants_of(number) {
                if grant.passage.is_some_and(|passage| passage != request.passage) {
                    continue;
                }
                may = true;
                let Some(schedule) = grant.schedule else {
                    trace.step(|| {
                        let text = format!("group '{group}' may pass door '{}' at any time", door.name);
                        Step::new("group", Finding::Yes, text)
                    });
                    return Ok(By { group: Arc::clone(group), schedule: None });
                };
                let Some(hours) = self.plan.hours_at(Some(schedule)) else { continue };
                if !request.clock_set {
                    trace.step(|| {
                        Step::new(
                            "group",
                            Finding::No,
                            format!(
                                "group '{group}' may pass door '{}' by a schedule, but the clock is not set",
                                door.name
                            ),
                        )
                    });
                    reason = RuleReason::ClockUnset;
                    continue;
                }
                let reading = hours.read(request.at);
                trace.step(|| describe(group, door, hours, &reading, request));
                if reading.open {
                    return Ok(By { group: Arc::clone(group), schedule: Some(Arc::clone(&hours.name)) });
                }
                if reading.holiday.is_some() && hours.usually_open(request.at) {
                    reason = RuleReason::Holiday;
                } else if reason == RuleReason::NoGroup {
                    reason = RuleReason::OutsideHours;
                }
            }
            if !may {
                trace.step(|| {
                    let way = inwards(request.passage);
                    Step::new(
                        "group",
                        Finding::Note,
                        format!("group '{group}' may not pass door '{}' {way}", door.name),
                    )
                });
            }
        }
        if person.groups.is_empty() {
            trace.step(|| Step::new("group", Finding::No, "the subject is in no group"));
        }
        Err(reason)
    }

    /// Where the passage leads, and whether anti-passback has anything against it: the flag, where it is only noted.
    fn movement(
        &self,
        person: &Person,
        door: &DoorPlan,
        request: &Request<'_>,
        presence: &Presence,
        trace: &mut impl Trace,
    ) -> Result<(Option<RuleReason>, Option<Way>), RuleReason> {
        if door.outside.is_none() && door.inside.is_none() {
            return Ok((None, None));
        }
        let (outside, inside) = (self.plan.area_at(door.outside), self.plan.area_at(door.inside));
        let (from, to) = match request.passage {
            Passage::Entry => (outside, inside),
            Passage::Exit => (inside, outside),
        };
        let place = |area: Option<&AreaPlan>| area.map_or(Place::Outside, |area| Place::Area(Arc::clone(&area.name)));
        let way = Some(Way { from: place(from), to: place(to) });
        let counted = |area: Option<&AreaPlan>| area.is_some_and(|area| area.anti_passback != AntiPassback::Off);
        if !person.exempt && presence.is_unreadable(request.subject) && (counted(from) || counted(to)) {
            trace.step(|| Step::new("area", Finding::No, "where the subject is cannot be read; forgive them"));
            return Err(RuleReason::Unreadable);
        }
        let Some(known) = presence.get(request.subject) else {
            trace.step(|| {
                Step::new("area", Finding::Yes, "where the subject is is not known: the first passage is in order")
            });
            return Ok((None, way));
        };
        if person.exempt {
            trace.step(|| Step::new("area", Finding::Yes, "the subject is exempt from anti-passback"));
            return Ok((None, way));
        }
        let mut flag = None;
        let broken = [
            to.and_then(|to| self.entering(to, from, known, request)),
            from.and_then(|from| self.leaving(from, to, known)),
        ];
        for (reason, strictness, area) in broken.into_iter().flatten() {
            let denied = strictness == Strictness::Deny;
            trace.step(|| {
                let finding = if denied { Finding::No } else { Finding::Note };
                let whereabouts = whereabouts(known);
                let text = format!("area '{}': {}; last noted {whereabouts}", area.name, reason.sentence());
                Step::new("area", finding, text)
            });
            match strictness {
                Strictness::Deny => return Err(reason),
                Strictness::Flag => flag = flag.or(Some(reason)),
                Strictness::Allow => {}
            }
        }
        if flag.is_none() {
            trace.step(|| {
                Step::new("area", Finding::Yes, format!("anti-passback: in order, last noted {}", whereabouts(known)))
            });
        }
        Ok((flag, way))
    }

    /// What an area has against somebody who comes in.
    fn entering<'p>(
        &self,
        to: &'p AreaPlan,
        from: Option<&AreaPlan>,
        known: &Whereabouts,
        request: &Request<'_>,
    ) -> Option<(RuleReason, Strictness, &'p AreaPlan)> {
        let strictness = match to.anti_passback {
            AntiPassback::Off => return None,
            AntiPassback::Timed => {
                let recent = is_in(known.place.as_ref(), to) && known.age(request.now) < to.window
                    || is_in(known.pending.as_ref(), to) && known.pending_age(request.now) < to.window
                    || known.opened(&to.name).is_some_and(|at| request.now.since(at) < to.window);
                return recent.then_some((RuleReason::TooSoon, Strictness::Deny, to));
            }
            AntiPassback::Soft => Strictness::Flag,
            AntiPassback::Hard => Strictness::Deny,
        };
        if is_in(known.place.as_ref(), to) {
            return Some((RuleReason::AlreadyInside, strictness, to));
        }
        if is_in(known.pending.as_ref(), to) || known.opened(&to.name).is_some() {
            return Some((RuleReason::Pending, strictness, to));
        }
        // In another area that keeps count, and not seen on the way to where this door leads from.
        let here = is_at(known.pending.as_ref(), from);
        let elsewhere =
            self.counted(known.pending.as_ref(), from) || (self.counted(known.place.as_ref(), from) && !here);
        elsewhere.then_some((RuleReason::Elsewhere, strictness, to))
    }

    /// What an area has against somebody who leaves.
    fn leaving<'p>(
        &self,
        from: &'p AreaPlan,
        to: Option<&AreaPlan>,
        known: &Whereabouts,
    ) -> Option<(RuleReason, Strictness, &'p AreaPlan)> {
        if from.anti_passback == AntiPassback::Off || from.exit_without_entry == Strictness::Allow {
            return None;
        }
        let (place, pending) = (self.known_place(known.place.as_ref()), self.known_place(known.pending.as_ref()));
        // Of somebody who is in an area that the rules no longer have, nothing is known.
        let unknown = place.is_none() && pending.is_none();
        let inside = is_in(place, from) || is_in(pending, from);
        // Perhaps they went through a door from here already.
        let gone = self.counted(pending, Some(from)) && !is_at(pending, to);
        (!unknown && (!inside || gone)).then_some((RuleReason::NotInside, from.exit_without_entry, from))
    }

    /// Whether this is an area that keeps count of who is inside, other than `from`.
    fn counted(&self, place: Option<&Place>, from: Option<&AreaPlan>) -> bool {
        let area = place.and_then(Place::area).and_then(|name| self.plan.area(name));
        area.is_some_and(|area| area.anti_passback != AntiPassback::Off) && !is_at(place, from)
    }

    fn known_place<'k>(&self, place: Option<&'k Place>) -> Option<&'k Place> {
        place.filter(|place| place.area().is_none_or(|name| self.plan.area(name).is_some()))
    }
}

/// What is to be sent to the panel, where the door is the reader of one.
fn card(person: &Person, request: &Request<'_>, trace: &mut impl Trace) -> Result<Option<Card>, RuleReason> {
    let Some(format) = request.reader else { return Ok(None) };
    let card = person.card.filter(|&card| format.fits(card));
    trace.step(|| {
        let bits = format.bits();
        match (card, person.card) {
            (Some(card), _) => Step::new("card", Finding::Yes, format!("the panel is sent card {card} in {bits} bits")),
            (None, Some(card)) => Step::new("card", Finding::No, format!("card {card} does not fit into {bits} bits")),
            (None, None) => Step::new("card", Finding::No, "the subject has no card number to send to the panel"),
        }
    });
    card.map(Some).ok_or(RuleReason::NoCard)
}

fn valid(person: &Person, request: &Request<'_>, trace: &mut impl Trace) -> Result<(), RuleReason> {
    if !person.active {
        trace.step(|| Step::new("subject", Finding::No, format!("subject '{}' is suspended", request.subject)));
        return Err(RuleReason::Inactive);
    }
    trace.step(|| Step::new("subject", Finding::Yes, format!("the rules name subject '{}'", request.subject)));
    if let Some(from) = person.valid_from.filter(|&from| request.at < from) {
        trace.step(|| Step::new("validity", Finding::No, format!("valid from {from} on")));
        return Err(RuleReason::NotYetValid);
    }
    if let Some(until) = person.valid_until.filter(|&until| request.at >= until) {
        trace.step(|| Step::new("validity", Finding::No, format!("was valid until {until}")));
        return Err(RuleReason::Expired);
    }
    if let Some(until) = person.valid_until {
        trace.step(|| Step::new("validity", Finding::Yes, format!("valid until {until}")));
    }
    Ok(())
}

/// Whether a place is this side of a door; none is the world outside.
fn is_at(place: Option<&Place>, side: Option<&AreaPlan>) -> bool {
    side.map_or(place == Some(&Place::Outside), |area| is_in(place, area))
}

fn is_in(place: Option<&Place>, area: &AreaPlan) -> bool {
    place.and_then(Place::area) == Some(&*area.name)
}

fn whereabouts(known: &Whereabouts) -> String {
    let place = |place: &Place| place.area().map_or_else(|| "outside".to_owned(), |area| format!("in '{area}'"));
    let noted = known.place.as_ref().map_or_else(|| "nowhere".to_owned(), place);
    let pending = known.pending.as_ref().map(|to| format!(", on the way {}", place(to))).unwrap_or_default();
    format!("{noted}{pending} (door '{}', {})", known.door, known.at)
}

fn inwards(passage: Passage) -> &'static str {
    match passage {
        Passage::Entry => "inwards",
        Passage::Exit => "outwards",
    }
}

/// What a schedule that a group depends on says, in words.
fn describe(group: &str, door: &DoorPlan, hours: &Hours, reading: &Reading<'_>, request: &Request<'_>) -> Step {
    let spans: Vec<String> = reading
        .spans
        .iter()
        .map(|&(from, to)| format!("{:02}:{:02}–{:02}:{:02}", from / 60, from % 60, to / 60, to % 60))
        .collect();
    let spans = if spans.is_empty() { "closed all day".to_owned() } else { format!("open {}", spans.join(", ")) };
    let holiday = reading.holiday.map(|holiday| match holiday.name {
        Some(name) => format!(", {name} (calendar '{}')", holiday.calendar),
        None => format!(", a holiday (calendar '{}')", holiday.calendar),
    });
    let (day, local) = (weekday(reading.local).name(), reading.local);
    let text = format!(
        "group '{group}' may pass door '{}' on schedule '{}': {} there ({}), {day} {}{}: {spans}",
        door.name,
        hours.name,
        local.strftime("%H:%M"),
        hours.zone_name,
        local.date(),
        holiday.unwrap_or_default(),
    );
    let finding = if reading.open { Finding::Yes } else { Finding::No };
    Step { changes_at: hours.next_change(request.at), ..Step::new("schedule", finding, text) }
}
