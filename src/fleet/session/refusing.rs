//! Commands that are refused: counted always, written down and answered sparingly. Whoever has a copy of one command can send
//! it as often as the network allows, and the journal is for what happens at the door.

use std::collections::BTreeMap;

use facegate_fleet::{
    Name, Now,
    refusal::{Cause, Refusal},
    wire::Command,
};

use super::Session;
use crate::{error::Result, fleet::orders::Told};

/// How many refusals of one sender for one cause are written down within [`WINDOW_MS`].
const WRITTEN: u32 = 10;

/// In milliseconds.
const WINDOW_MS: u64 = 60_000;

/// How often refusals of each sender and cause were written down lately. Senders are those for whom the site has vouched: a
/// bounded number.
#[derive(Debug, Default)]
pub(super) struct Sparing(BTreeMap<(Name, Cause), Lately>);

#[derive(Debug)]
struct Lately {
    since: u64,
    written: u32,
    withheld: u64,
}

impl Sparing {
    /// Whether one more is to be written down; else it is counted.
    fn may(&mut self, by: &Name, cause: Cause, now: u64) -> bool {
        let lately = self.0.entry((by.clone(), cause)).or_insert(Lately { since: now, written: 0, withheld: 0 });
        let may = lately.written < WRITTEN;
        if may {
            lately.written += 1;
        } else {
            lately.withheld += 1;
        }
        may
    }

    /// Ends what has lasted long enough; gives how many were withheld, of whom and why.
    fn over(&mut self, now: u64) -> Vec<(Name, Cause, u64)> {
        let mut told = Vec::new();
        self.0.retain(|(by, cause), lately| {
            let goes_on = now.saturating_sub(lately.since) < WINDOW_MS;
            if !goes_on && lately.withheld > 0 {
                told.push((by.clone(), *cause, lately.withheld));
            }
            goes_on
        });
        told
    }
}

impl Session<'_> {
    /// Does not obey: counts it, writes it down and answers, as far as that is not too often. `retained`: the broker kept it.
    pub(super) fn refuse_command(&mut self, command: &Command, cause: Cause, retained: bool, now: Now) -> Result<()> {
        self.refuse(&Refusal::new(cause, &command.by, None), now)?;
        if !self.refused.may(&command.by, cause, now.mono) {
            return Ok(());
        }
        self.journal(command.order.name(), &format!("device {}", command.by), cause.code());
        // A copy's refusal would reach whoever waits for the answer to the first one.
        if cause != Cause::Replayed && !retained {
            let answer = self.told(command, Told::refused(cause.code(), cause.words()), now.wall);
            self.answer(&answer);
        }
        Ok(())
    }

    /// Writes down how many refusals were not, once their time is over.
    pub(super) fn tell_withheld(&mut self, now: u64) {
        for (by, cause, withheld) in self.refused.over(now) {
            let outcome = format!("{}, {withheld} more", cause.code());
            self.journal("refused", &format!("device {by}"), &outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_sender_is_written_down_ten_times_a_minute_and_then_counted() {
        let (mut sparing, front, back) = (Sparing::default(), name("front"), name("back"));
        let written = (0..20_000).filter(|ms| sparing.may(&front, Cause::Replayed, *ms)).count();
        assert_eq!(written, 10);
        assert!(sparing.may(&front, Cause::Late, 20_000), "another cause");
        assert!(sparing.may(&back, Cause::Replayed, 20_000), "another sender");
        assert!(sparing.over(WINDOW_MS - 1).is_empty());
        assert_eq!(sparing.over(WINDOW_MS), [(front.clone(), Cause::Replayed, 19_990)]);
        assert!(sparing.may(&front, Cause::Replayed, WINDOW_MS));
        // What was written down whole leaves nothing to be told.
        assert!(sparing.over(WINDOW_MS * 3).is_empty());
    }

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }
}
