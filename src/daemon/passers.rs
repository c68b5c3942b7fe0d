//! Who was granted, so that it can be told who passed; and what became of grants by which nobody did, so that the loop that
//! granted hears of it.

use std::collections::VecDeque;

use facegate_control::door::Refusal;
use parking_lot::Mutex;

use crate::access::Subject;

/// As many grants are remembered, and as many endings wait; a door forgets its own after a minute at most.
const REMEMBERED: usize = 64;

/// Why nobody passed by a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The door itself refused it.
    Refused(Refusal),
    /// Nobody went through in time.
    Missed,
}

/// The newest grants of a door: the tag of each, and whose it is.
#[derive(Debug, Default)]
pub struct Passers {
    grants: Mutex<VecDeque<(u64, Subject)>>,
    endings: Mutex<VecDeque<(u64, Ending)>>,
}

impl Passers {
    /// Remembers a grant. To be called before the door hears of it.
    pub fn remember(&self, tag: u64, subject: &Subject) {
        push(&mut self.grants.lock(), (tag, subject.clone()));
    }

    /// Whose grant it is, where it is known.
    pub fn who(&self, tag: u64) -> Option<Subject> {
        self.grants.lock().iter().rev().find(|(other, _)| *other == tag).map(|(_, subject)| subject.clone())
    }

    /// Leaves word that nobody passed by that grant.
    pub fn ended(&self, tag: u64, ending: Ending) {
        push(&mut self.endings.lock(), (tag, ending));
    }

    /// Takes the word that was left of a grant that is `ours`, the oldest first. Never waits for longer than that takes.
    pub fn take_ending(&self, ours: impl Fn(u64) -> bool) -> Option<(u64, Ending)> {
        let mut endings = self.endings.lock();
        let at = endings.iter().position(|(tag, _)| ours(*tag))?;
        endings.remove(at)
    }
}

/// The oldest goes where there is no room.
fn push<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == REMEMBERED {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_known() {
        let passers = Passers::default();
        for tag in 0..100 {
            passers.remember(tag, &Subject::from(format!("S{tag}").as_str()));
        }
        assert_eq!(passers.who(99).expect("known").as_str(), "S99");
        assert_eq!((passers.who(35), passers.who(36).is_some(), passers.who(100)), (None, true, None));
    }

    #[test]
    fn each_loop_hears_of_its_own_grants_in_their_order() {
        let passers = Passers::default();
        for tag in 0..100 {
            passers.ended(tag, if tag % 3 == 0 { Ending::Missed } else { Ending::Refused(Refusal::Interlock) });
        }
        let even = |tag: u64| tag.is_multiple_of(2);
        assert_eq!(passers.take_ending(even), Some((36, Ending::Missed)));
        assert_eq!(passers.take_ending(|tag| !even(tag)), Some((37, Ending::Refused(Refusal::Interlock))));
        assert_eq!(std::iter::from_fn(|| passers.take_ending(even)).count(), 31);
        assert_eq!(passers.take_ending(even), None);
    }
}
