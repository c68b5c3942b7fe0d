//! Who was granted, so that it can be told who passed.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::access::Subject;

/// As many grants are remembered; a door forgets its own after a minute at most.
const REMEMBERED: usize = 64;

/// The newest grants of a door: the tag of each, and whose it is.
#[derive(Debug, Default)]
pub struct Passers(Mutex<VecDeque<(u64, Subject)>>);

impl Passers {
    /// Remembers a grant. To be called before the door hears of it.
    pub fn remember(&self, tag: u64, subject: &Subject) {
        let mut grants = self.0.lock();
        if grants.len() == REMEMBERED {
            grants.pop_front();
        }
        grants.push_back((tag, subject.clone()));
    }

    /// Whose grant it is, where it is known.
    pub fn who(&self, tag: u64) -> Option<Subject> {
        self.0.lock().iter().rev().find(|(other, _)| *other == tag).map(|(_, subject)| subject.clone())
    }
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
}
