//! Messages opened, many at a time.

use std::thread;

use facegate_fleet::{
    Now,
    open::{Opened, Opener},
    refusal::Refusal,
};

use crate::fleet::client::Message;

/// Threads that open messages, at most, and how many messages are worth one.
const OPENERS: usize = 4;
const WORTH_A_THREAD: usize = 16;

/// Opens messages, many of them on several threads: signatures and seals are most of the work of filling a door.
pub(super) fn open_all(opener: &Opener, messages: &[Message], now: Now) -> Vec<std::result::Result<Opened, Refusal>> {
    let open = |messages: &[Message]| -> Vec<_> {
        messages.iter().map(|message| opener.open(&message.topic, &message.payload, now)).collect()
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(OPENERS);
    let share = messages.len().div_ceil(threads).max(WORTH_A_THREAD);
    let (mine, theirs) = messages.split_at(share.min(messages.len()));
    thread::scope(|scope| {
        let others: Vec<_> = theirs.chunks(share).map(|share| scope.spawn(move || open(share))).collect();
        let mut all = open(mine);
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    })
}
