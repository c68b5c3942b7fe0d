//! Commands, obeyed elsewhere than on the connection's thread.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use facegate_fleet::{
    Now,
    command::left_ms,
    keys,
    refusal::Cause,
    wire::{self, Answer, Command, V1},
};

use super::Session;
use crate::{
    error::Result,
    fleet::{
        link::wall_ms,
        orders::{self, Told},
    },
    journal::{Entry, Event},
};

/// How long an answer has before the daemon is told to end, because of what it answers.
const LEAD: Duration = Duration::from_millis(250);

/// Until when an order may be begun.
struct Due {
    until: Instant,
    connection: Weak<()>,
}

impl Due {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until || self.connection.strong_count() == 0
    }
}

impl Session<'_> {
    /// Obeys a command, or says why not. It is done elsewhere: a door may take a second to answer.
    pub(super) fn command(&mut self, command: &Command, key: &keys::PublicKey, retained: bool, now: Now) -> Result<()> {
        let by = format!("device {}", command.by);
        let order = command.order.name();
        // Kept by the broker, against all that a sender is told: whoever connects next would be told it again.
        let accepted = match retained {
            true => Err(Cause::Session),
            false => self.inbox.accept(command, key, self.replica.registry(), now),
        };
        let place = match accepted {
            Ok(()) if orders::is_slow(&command.order) => {
                Arc::clone(&self.keeper.slow).try_acquire_owned().map(Some).map_err(|_| Cause::Busy)
            }
            accepted => accepted.map(|()| None),
        };
        let place = match place {
            Ok(place) => place,
            Err(cause) => return self.refuse_command(command, cause, retained, now),
        };
        let until = Instant::now() + Duration::from_millis(left_ms(command, now));
        let due = Due { until, connection: Arc::downgrade(&self.alive) };
        self.keeper.stats.commands.fetch_add(1, Ordering::Relaxed);
        tracing::info!(order, %by, "ordered by the fleet");
        let (hands, journal) = (Arc::clone(&self.keeper.hands), Arc::clone(&self.keeper.journal));
        let (say, answer) = (self.answers.0.clone(), self.told(command, Told::refused("", ""), now.wall));
        let (for_doors, ordered) = (orders::is_for_doors(&command.order), command.clone());
        let clock = Arc::clone(&self.keeper.clock);
        let job = move || {
            let _place = place;
            // It may have waited for its turn, and an unlock that is done late lets in whoever comes by.
            let told = match due.is_over() {
                true => Told::refused(Cause::Late.code(), Cause::Late.words()),
                false => hands.obey(&ordered),
            };
            let outcome = match told.outcome {
                wire::Outcome::Done => "done",
                wire::Outcome::Begun => "begun",
                wire::Outcome::Refused => told.code.as_deref().unwrap_or("refused"),
                wire::Outcome::Failed => "failed",
            };
            let event = Event::Order { order: order.into(), by, outcome: outcome.into() };
            journal.append(Entry { door: None, event });
            let at = wall_ms(&*clock);
            // Nobody listens where the connection has ended meanwhile.
            let _ = say.send(Answer { at, outcome: told.outcome, code: told.code, message: told.message, ..answer });
            if let Some(signal) = told.then {
                std::thread::sleep(LEAD);
                if let Err(error) = orders::signal(signal) {
                    tracing::error!(%error, "ordered by the fleet, and not done");
                }
            }
        };
        if !for_doors {
            tokio::task::spawn_blocking(job);
        } else if self.keeper.doors.try_send(Box::new(job)).is_err() {
            return self.refuse_command(command, Cause::Busy, false, now);
        }
        Ok(())
    }

    pub(super) fn told(&self, command: &Command, told: Told, at: u64) -> Answer {
        Answer {
            v: V1,
            by: self.keeper.settings.device.clone(),
            to: command.by.clone(),
            id: command.id.clone(),
            at,
            outcome: told.outcome,
            code: told.code,
            message: told.message,
        }
    }

    pub(super) fn journal(&self, order: &str, by: &str, outcome: &str) {
        let event = Event::Order { order: order.into(), by: by.into(), outcome: outcome.into() };
        self.keeper.journal.append(Entry { door: None, event });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_not_begun_after_its_end_nor_after_its_connection() {
        let alive = Arc::new(());
        let due = |until: Instant| Due { until, connection: Arc::downgrade(&alive) };
        let (past, future) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
        assert!(!due(future).is_over());
        assert!(due(past).is_over(), "it waited for too long");
        let waits = due(future);
        drop(alive);
        assert!(waits.is_over(), "the connection is lost");
    }
}
