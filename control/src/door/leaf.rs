//! A door with one lock and one leaf.

use std::time::Duration;

use super::{
    Alarm, Cause, Happening, Refusal, Relock,
    common::{Common, Ticket, Unlocked},
};
use crate::{Class, Moment};

/// As many people may be granted before the door opens.
const WAITING: usize = 4;

/// With `relock = "on_close"` and no held-open alarm a door that stays open is locked after this long.
const LONGEST_OPEN: Duration = Duration::from_secs(60);

/// The alarms that end when the door is closed, or open by right.
const OF_THE_CONTACT: [Alarm; 3] = [Alarm::HeldOpenWarning, Alarm::HeldOpen, Alarm::ForcedOpen];

/// The lock is open for a while.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    until: Moment,
    /// Until when those who were let in would keep it open by themselves.
    granted_until: Moment,
    /// Until when somebody who wants out would keep it open by themselves.
    rex_until: Option<Moment>,
    by: Cause,
    tag: Option<u64>,
    /// Whether the door has opened since the last who was let in.
    used: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Whether there is a contact that can be read.
    sees: bool,
    pulse: Option<Pulse>,
    /// Who was granted and has not been seen to pass.
    waiting: Vec<Ticket>,
    waiting_until: Moment,
    open: bool,
    /// Whether the contact has been heard of since it was lost, or since the start.
    heard: bool,
    /// Where the contact may be about to open: whether that began by right.
    opening: Option<bool>,
    /// An opening before this is by right.
    covered_until: Moment,
    /// Since when the door has been open, where that may be for too long.
    open_since: Option<Moment>,
    /// How much longer it may be.
    allowance: Duration,
    stood_unlocked: bool,
    was_unlocked: bool,
}

impl Leaf {
    pub(super) fn new(sees: bool) -> Self {
        Self {
            sees,
            pulse: None,
            waiting: Vec::with_capacity(WAITING),
            waiting_until: Moment::default(),
            open: false,
            heard: false,
            opening: None,
            covered_until: Moment::default(),
            open_since: None,
            allowance: Duration::ZERO,
            stood_unlocked: false,
            was_unlocked: false,
        }
    }

    pub(super) fn unlocked(&self, common: &Common) -> Option<Unlocked> {
        common.stands_unlocked().map(|cause| (cause, None)).or(self.pulse.map(|pulse| (pulse.by, pulse.tag)))
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Closed for certain, as far as the contact tells.
    pub(super) fn is_closed(&self) -> bool {
        !self.open && self.opening.is_none()
    }

    /// Lets somebody in. The answer is what there is to tell once the lock has let go.
    pub(super) fn admit(
        &mut self,
        ticket: Ticket,
        now: Moment,
        common: &mut Common,
        told: &mut Vec<Happening>,
    ) -> Result<Option<Happening>, Refusal> {
        let length = common.times.pulse(ticket.class);
        let mut then = None;
        if ticket.by == Cause::Grant {
            if !self.sees || self.open {
                then = Some(ticket.passed(false));
            } else if self.waiting.len() == WAITING {
                return Err(Refusal::Busy);
            } else {
                let until = now + length + common.times.grace;
                self.waiting_until = if self.waiting.is_empty() { until } else { self.waiting_until.max(until) };
                self.waiting.push(ticket);
            }
            if self.open_since.is_some() && !common.stands(Alarm::HeldOpen) {
                // Somebody else comes through while it is open: the time begins anew.
                self.open_since = Some(now);
                self.allowance = self.allowance.max(allowance(&[ticket], common));
                common.clear(&[Alarm::HeldOpenWarning], told);
            }
        }
        let until = now + length;
        let rex_until = (ticket.by == Cause::Rex).then_some(until);
        self.pulse = Some(match self.pulse {
            None => Pulse { until, granted_until: until, rex_until, by: ticket.by, tag: ticket.tag, used: false },
            Some(pulse) => Pulse {
                until: pulse.until.max(until),
                granted_until: pulse.granted_until.max(until),
                rex_until: pulse.rex_until.max(rex_until),
                used: false,
                ..pulse
            },
        });
        Ok(then)
    }

    /// For a while an opening is by right: somebody wants out.
    pub(super) fn shunt(&mut self, now: Moment, common: &Common) {
        self.covered_until = self.covered_until.max(now + common.times.rex_shunt);
    }

    fn covered(&self, now: Moment, common: &Common) -> bool {
        self.unlocked(common).is_some() || now < self.covered_until
    }

    /// The contact's level on the wire, before it is steady: what counts for the right to open is when the door moved.
    pub(super) fn contact_moves(&mut self, opening: bool, now: Moment, common: &Common) {
        // A door that is found open, at the start or after a fault, was opened nobody knows how.
        let found = !std::mem::replace(&mut self.heard, true);
        if !opening {
            self.opening = None;
        } else if self.opening.is_none() {
            self.opening = Some(found || self.covered(now, common));
        }
    }

    /// What the contact says is not known any more: whoever is awaited is taken to have passed.
    pub(super) fn contact_lost(&mut self, told: &mut Vec<Happening>) {
        (self.sees, self.heard, self.opening) = (false, false, None);
        told.extend(self.waiting.drain(..).map(|ticket| ticket.passed(false)));
    }

    pub(super) fn contact_found(&mut self) {
        self.sees = true;
    }

    pub(super) fn contact(&mut self, open: bool, now: Moment, common: &mut Common, told: &mut Vec<Happening>) {
        let began_by_right = self.opening.take().unwrap_or_default();
        self.open = open;
        if open {
            told.push(Happening::Opened);
            self.opened(began_by_right, now, common, told);
        } else {
            told.push(Happening::Closed);
            self.closed(common, told);
        }
    }

    fn opened(&mut self, began_by_right: bool, now: Moment, common: &mut Common, told: &mut Vec<Happening>) {
        let by_right = began_by_right || self.covered(now, common);
        if !by_right && common.times.forced_open_alarm {
            common.raise(Alarm::ForcedOpen, now, told);
            return;
        }
        self.allowance = allowance(&self.waiting, common);
        told.extend(self.waiting.drain(..).map(|ticket| ticket.passed(true)));
        if common.stands_unlocked().is_none() {
            self.open_since = Some(now);
        }
        let Some(pulse) = &mut self.pulse else { return };
        pulse.used = true;
        match common.times.relock {
            Relock::OnOpen => self.pulse = None,
            Relock::OnClose => {
                let longest = common.times.alarm.unwrap_or(LONGEST_OPEN) + self.allowance;
                pulse.until = pulse.until.max(now + longest);
            }
            Relock::AtEnd => {}
        }
    }

    fn closed(&mut self, common: &mut Common, told: &mut Vec<Happening>) {
        self.open_since = None;
        common.clear(&OF_THE_CONTACT, told);
        if common.times.relock == Relock::OnClose {
            self.pulse = self.pulse.filter(|pulse| !pulse.used);
            if let Some(pulse) = &mut self.pulse {
                // Somebody was let in while the door was open, and is still to come.
                pulse.until = pulse.granted_until;
            }
        }
    }

    /// When something is due. While the door may be opening it is not said that nobody passes.
    pub(super) fn due(&self, common: &Common) -> Option<Moment> {
        let pulse = self.pulse.map(|pulse| pulse.until);
        let waiting = (!self.waiting.is_empty() && self.opening.is_none()).then_some(self.waiting_until);
        let open = self.open_since.and_then(|since| common.open_due(since, self.allowance));
        pulse.into_iter().chain(waiting).chain(open).min()
    }

    /// Does what is due.
    pub(super) fn expire(&mut self, now: Moment, common: &mut Common, told: &mut Vec<Happening>) {
        self.pulse = self.pulse.filter(|pulse| now < pulse.until);
        if self.opening.is_none() && self.waiting_until <= now {
            told.extend(self.waiting.drain(..).map(|ticket| ticket.nobody_passed()));
        }
        if let Some(since) = self.open_since {
            common.watch_open(since, self.allowance, now, told);
        }
    }

    /// Locks at once, whoever was let in; but for those who want out, where they are to be let out all the same.
    pub(super) fn cut(&mut self, keeps_rex: bool, now: Moment, common: &Common) {
        let rex_until = self.pulse.and_then(|pulse| pulse.rex_until).filter(|until| keeps_rex && now < *until);
        self.pulse = rex_until.map(|until| Pulse {
            until,
            granted_until: until,
            rex_until,
            by: Cause::Rex,
            tag: None,
            used: false,
        });
        self.waiting_until = self.waiting_until.min(now + common.times.grace);
    }

    /// Nothing is awaited any more.
    pub(super) fn end(&mut self, told: &mut Vec<Happening>) {
        self.pulse = None;
        self.open_since = None;
        told.extend(self.waiting.drain(..).map(|ticket| ticket.nobody_passed()));
    }

    /// The alarms have been taken note of: what stands open is given its time anew.
    pub(super) fn reset(&mut self, now: Moment, common: &Common) {
        if self.open && common.stands_unlocked().is_none() {
            self.open_since = Some(now);
        }
    }

    /// Takes in what has changed around the door.
    pub(super) fn review(&mut self, now: Moment, common: &mut Common, told: &mut Vec<Happening>) {
        let stands_unlocked = common.stands_unlocked().is_some();
        if stands_unlocked && !self.stood_unlocked {
            self.open_since = None;
            common.clear(&OF_THE_CONTACT, told);
        } else if !stands_unlocked && self.stood_unlocked && self.open {
            self.open_since = Some(now);
            self.allowance = Duration::ZERO;
        }
        self.stood_unlocked = stands_unlocked;
        let unlocked = self.unlocked(common).is_some();
        if self.was_unlocked && !unlocked {
            self.covered_until = self.covered_until.max(now + common.times.grace);
        }
        self.was_unlocked = unlocked;
    }
}

fn allowance(tickets: &[Ticket], common: &Common) -> Duration {
    let extended = tickets.iter().any(|ticket| ticket.class == Class::Extended);
    if extended { common.times.extended_held } else { Duration::ZERO }
}
