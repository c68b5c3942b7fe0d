//! Whether the memory follows the store. While it does not, the doors go on with whom they know: whoever was deleted since
//! passes still, and whoever was enrolled does not yet. So it is said, loudly and once.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::{clock::Moment, error::Error};

/// As many causes are told before it is over. There are few.
const MOST_TOLD: usize = 16;

/// The store's changes cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// When that failed for the first time.
    pub since: Moment,
    /// Why it failed last, in words.
    pub why: String,
}

#[derive(Default)]
pub(super) struct Following(Mutex<Option<Failing>>);

struct Failing {
    behind: Behind,
    /// What the log has already.
    told: BTreeSet<String>,
}

impl Following {
    /// Notes how an attempt to take in the store's changes ended.
    pub fn note(&self, error: Option<&Error>, now: Moment) {
        let mut state = self.0.lock();
        let Some(error) = error else {
            if let Some(failing) = state.take() {
                let seconds = now.since(failing.behind.since).as_secs();
                tracing::info!(seconds, "the store's changes are taken in again");
            }
            return;
        };
        let why = error.message().to_owned();
        let behind = Behind { since: now, why: why.clone() };
        let failing = state.get_or_insert_with(|| Failing { behind, told: BTreeSet::new() });
        failing.behind.why.clone_from(&why);
        if failing.told.len() < MOST_TOLD && failing.told.insert(why) {
            tracing::error!(
                %error,
                help = error.advice(),
                "the store's changes cannot be taken in: the doors go on with whom they know, also with whoever was deleted since"
            );
        }
    }

    pub fn behind(&self) -> Option<Behind> {
        self.0.lock().as_ref().map(|failing| failing.behind.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn it_is_behind_since_the_first_failure_and_until_the_first_success() {
        let at = |seconds| Moment::from_start(Duration::from_secs(seconds));
        let (disk, map) = (Error::new(Kind::Store, "the disk"), Error::new(Kind::Store, "the map"));
        let following = Following::default();
        following.note(None, at(1));
        assert_eq!(following.behind(), None);
        following.note(Some(&disk), at(2));
        following.note(Some(&map), at(3));
        assert_eq!(following.behind(), Some(Behind { since: at(2), why: "the map".into() }));
        following.note(None, at(4));
        assert_eq!(following.behind(), None);
        following.note(Some(&disk), at(5));
        assert_eq!(following.behind().map(|behind| behind.since), Some(at(5)));
    }
}
