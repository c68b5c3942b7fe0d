//! A turnstile: two ways through one place, each with a relay, and one pulse a person.

use std::{collections::VecDeque, time::Duration};

use super::{
    Alarm, Cause, Happening, Refusal, TurnstileSettings,
    common::{Common, Ticket, Unlocked},
};
use crate::{Moment, Passage};

/// The alarms of somebody who passes without a grant.
const OF_A_PASSAGE: [Alarm; 2] = [Alarm::Tailgating, Alarm::ForcedOpen];

/// The alarms of somebody who stands in the turnstile.
const OF_STANDING: [Alarm; 2] = [Alarm::HeldOpenWarning, Alarm::HeldOpen];

#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle,
    /// Somebody may pass until `until`; the relay is on until `relay_until`.
    Open {
        ticket: Ticket,
        relay_until: Moment,
        relay: bool,
        until: Moment,
        /// It has been told that this person passed, because no sensor can see it.
        counted: bool,
    },
    /// Between two pulses.
    Gap {
        until: Moment,
    },
}

/// One way through.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// Whether there is a sensor that can be read.
    sees: bool,
    /// Somebody stands in the sensor.
    occupied: bool,
    /// Somebody may be about to.
    arriving: bool,
    passed_at: Option<Moment>,
}

#[derive(Clone, Debug)]
pub(super) struct Turnstile {
    timeout: Duration,
    gap: Duration,
    tailgating_window: Duration,
    alarm_time: Duration,
    room: usize,
    phase: Phase,
    queue: VecDeque<Ticket>,
    ways: [Way; 2],
    /// Since when somebody has stood in a sensor, where that may be for too long.
    occupied_since: Option<Moment>,
    /// Until when the alarm of a passage sounds.
    alarm_until: Moment,
    stood_unlocked: bool,
}

impl Turnstile {
    pub(super) fn new(settings: &TurnstileSettings, sees: [bool; 2]) -> Self {
        let ms = Duration::from_millis;
        let room = usize::from(settings.queue);
        Self {
            timeout: ms(settings.passage_timeout_ms),
            gap: ms(settings.gap_ms),
            tailgating_window: ms(settings.tailgating_window_ms),
            alarm_time: Duration::from_secs(settings.alarm_s),
            room,
            phase: Phase::Idle,
            queue: VecDeque::with_capacity(room),
            ways: sees.map(|sees| Way { sees, ..Way::default() }),
            occupied_since: None,
            alarm_until: Moment::default(),
            stood_unlocked: false,
        }
    }

    fn way(&mut self, passage: Passage) -> &mut Way {
        &mut self.ways[passage as usize]
    }

    pub(super) fn unlocked(&self, lane: Passage, common: &Common) -> Option<Unlocked> {
        common.stands_unlocked().map(|cause| (cause, None)).or(match self.phase {
            Phase::Open { ticket, relay: true, .. } if ticket.passage == lane => Some((ticket.by, ticket.tag)),
            _ => None,
        })
    }

    pub(super) fn is_occupied(&self) -> bool {
        self.ways.iter().any(|way| way.occupied || way.arriving)
    }

    /// Whether nobody is let in or waits for it.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle) && !self.is_occupied()
    }

    pub(super) fn admit(&mut self, ticket: Ticket, now: Moment, common: &Common) -> Result<Option<Happening>, Refusal> {
        if matches!(self.phase, Phase::Idle) {
            return Ok(self.open(ticket, now, common));
        }
        if self.queue.len() >= self.room {
            return Err(Refusal::Busy);
        }
        self.queue.push_back(ticket);
        Ok(None)
    }

    fn open(&mut self, ticket: Ticket, now: Moment, common: &Common) -> Option<Happening> {
        let relay_until = now + common.times.pulse(ticket.class);
        let counted = !self.way(ticket.passage).sees;
        let until = if counted { relay_until } else { relay_until.max(now + self.timeout) };
        self.phase = Phase::Open { ticket, relay_until, relay: true, until, counted };
        counted.then(|| ticket.passed(false))
    }

    /// A sensor's level on the wire, before it is steady.
    pub(super) fn passage_moves(&mut self, passage: Passage, arriving: bool) {
        self.way(passage).arriving = arriving;
    }

    /// What a sensor says is not known any more: whoever is let in that way is taken to have passed.
    pub(super) fn sensor_lost(&mut self, passage: Passage, told: &mut Vec<Happening>) {
        let way = self.way(passage);
        (way.sees, way.arriving) = (false, false);
        if let Phase::Open { ticket, counted, .. } = &mut self.phase
            && ticket.passage == passage
            && !std::mem::replace(counted, true)
        {
            told.push(ticket.passed(false));
        }
    }

    pub(super) fn sensor_found(&mut self, passage: Passage) {
        self.way(passage).sees = true;
    }

    /// Somebody has come into a sensor, or has left it.
    pub(super) fn passage(
        &mut self,
        passage: Passage,
        occupied: bool,
        now: Moment,
        common: &mut Common,
        told: &mut Vec<Happening>,
    ) {
        let way = self.way(passage);
        (way.occupied, way.arriving) = (occupied, false);
        if occupied {
            self.passes(passage, now, common, told);
            if common.stands_unlocked().is_none() {
                self.occupied_since.get_or_insert(now);
            }
        } else if !self.ways.iter().any(|way| way.occupied) {
            self.occupied_since = None;
            common.clear(&OF_STANDING, told);
        }
    }

    fn passes(&mut self, passage: Passage, now: Moment, common: &mut Common, told: &mut Vec<Happening>) {
        let passed = match self.phase {
            Phase::Open { ticket, counted, .. } if ticket.passage == passage => {
                Some((!counted).then(|| ticket.passed(true)))
            }
            // The next one, who has not waited for the pulse.
            Phase::Gap { .. } if self.queue.front().is_some_and(|next| next.passage == passage) => {
                Some(self.queue.pop_front().map(|ticket| ticket.passed(true)))
            }
            _ => None,
        };
        let last = self.way(passage).passed_at;
        if let Some(passed) = passed {
            told.extend(passed);
            self.phase = Phase::Gap { until: now + self.gap };
        } else if common.stands_unlocked().is_none() {
            let followed = last.is_some_and(|last| now.since(last) < self.tailgating_window);
            let alarm = if followed { Alarm::Tailgating } else { Alarm::ForcedOpen };
            if followed || common.times.forced_open_alarm {
                common.raise(alarm, now, told);
                self.alarm_until = now + self.alarm_time;
            }
            return;
        }
        self.way(passage).passed_at = Some(now);
    }

    /// When something is due. While somebody may be arriving it is not said that nobody passes.
    pub(super) fn due(&self, common: &Common) -> Option<Moment> {
        let phase = match self.phase {
            Phase::Idle => None,
            Phase::Open { relay_until, relay: true, until, .. } => Some(relay_until.min(until)),
            Phase::Open { ticket, until, .. } => (!self.ways[ticket.passage as usize].arriving).then_some(until),
            Phase::Gap { until } => Some(until),
        };
        let sounds = OF_A_PASSAGE.iter().any(|&alarm| common.stands(alarm));
        let alarm = (sounds && !self.ways.iter().any(|way| way.occupied)).then_some(self.alarm_until);
        let standing = self.occupied_since.and_then(|since| common.open_due(since, Duration::ZERO));
        phase.into_iter().chain(alarm).chain(standing).min()
    }

    pub(super) fn expire(&mut self, now: Moment, common: &mut Common, told: &mut Vec<Happening>) {
        match &mut self.phase {
            Phase::Open { relay_until, relay, .. } if *relay && *relay_until <= now => *relay = false,
            &mut Phase::Open { ticket, until, counted, .. }
                if until <= now && !self.ways[ticket.passage as usize].arriving =>
            {
                if !counted {
                    told.push(ticket.nobody_passed());
                }
                self.phase = Phase::Gap { until: now + self.gap };
            }
            &mut Phase::Gap { until } if until <= now => {
                self.phase = Phase::Idle;
                if let Some(next) = self.queue.pop_front() {
                    told.extend(self.open(next, now, common));
                }
            }
            _ => {}
        }
        if self.alarm_until <= now && !self.ways.iter().any(|way| way.occupied) {
            common.clear(&OF_A_PASSAGE, told);
        }
        if let Some(since) = self.occupied_since {
            common.watch_open(since, Duration::ZERO, now, told);
        }
    }

    /// Locks at once; whoever was let in or waits is so no more. But for those who want out, where they are to be let out all
    /// the same.
    pub(super) fn cut(&mut self, keeps_rex: bool, now: Moment, told: &mut Vec<Happening>) {
        let keeps = |ticket: &Ticket| keeps_rex && ticket.by == Cause::Rex;
        if let Phase::Open { ticket, counted, .. } = self.phase
            && !keeps(&ticket)
        {
            if !counted {
                told.push(ticket.nobody_passed());
            }
            self.phase = Phase::Gap { until: now + self.gap };
        }
        self.queue.retain(|ticket| {
            let keeps = keeps(ticket);
            if !keeps {
                told.push(ticket.nobody_passed());
            }
            keeps
        });
    }

    pub(super) fn end(&mut self, now: Moment, told: &mut Vec<Happening>) {
        self.cut(false, now, told);
        (self.phase, self.occupied_since) = (Phase::Idle, None);
    }

    pub(super) fn reset(&mut self, now: Moment, common: &Common) {
        if self.ways.iter().any(|way| way.occupied) && common.stands_unlocked().is_none() {
            self.occupied_since = Some(now);
        }
    }

    pub(super) fn review(&mut self, now: Moment, common: &mut Common, told: &mut Vec<Happening>) {
        let stands_unlocked = common.stands_unlocked().is_some();
        if stands_unlocked && !self.stood_unlocked {
            self.occupied_since = None;
            common.clear(&OF_STANDING, told);
            common.clear(&OF_A_PASSAGE, told);
        } else if !stands_unlocked && self.stood_unlocked && self.ways.iter().any(|way| way.occupied) {
            self.occupied_since = Some(now);
        }
        self.stood_unlocked = stands_unlocked;
    }
}
