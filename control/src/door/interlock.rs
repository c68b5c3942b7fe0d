//! Doors of which only one may be open or unlocked at a time: an airlock, a security vestibule.

use std::collections::HashMap;

use crate::Fault;

/// The doors of one board by their place in the list, and which of them keep each other shut.
///
/// A door is *secure* while it is locked and known to be closed; one without a contact while it is locked. The first thing
/// that is asked of a door that wants to unlock is [`reserve`](Self::reserve), which answers and takes the place in one step,
/// so that two doors that are asked for at the same moment do not both unlock.
#[derive(Clone, Debug, Default)]
pub struct Interlock {
    /// For each door the others that must be secure.
    others: Vec<Vec<usize>>,
    secure: Vec<bool>,
}

impl Interlock {
    /// The interlock of `doors` by `groups`, each a name and its doors' names. A door may be in several groups.
    ///
    /// # Errors
    /// A group that names an unknown door, one door twice, or fewer than two doors.
    pub fn new(doors: &[&str], groups: &[(&str, &[String])]) -> Result<Self, Fault> {
        let index: HashMap<_, _> = doors.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        let mut others = vec![Vec::new(); doors.len()];
        for (group, members) in groups {
            let mut places = Vec::with_capacity(members.len());
            for member in *members {
                let Some(&at) = index.get(member.as_str()) else {
                    return Err(Fault::new(
                        format!("the interlock group '{group}' names the door '{member}', which there is not"),
                        format!("name doors of this file: {}", doors.join(", ")),
                    ));
                };
                if places.contains(&at) {
                    return Err(Fault::new(
                        format!("the interlock group '{group}' names the door '{member}' twice"),
                        "name each door of a group once",
                    ));
                }
                places.push(at);
            }
            if places.len() < 2 {
                return Err(Fault::new(
                    format!("the interlock group '{group}' has fewer than two doors"),
                    "name the doors of which only one may be open at a time",
                ));
            }
            for &door in &places {
                for &other in places.iter().filter(|&&other| other != door) {
                    if !others[door].contains(&other) {
                        others[door].push(other);
                    }
                }
            }
        }
        Ok(Self { others, secure: vec![true; doors.len()] })
    }

    /// Takes over the groups of another interlock of the same doors; which of them are secure stays as it is known.
    pub fn take_over(&mut self, other: Self) {
        if other.secure.len() == self.secure.len() {
            self.others = other.others;
        }
    }

    /// Whether that door is in any group.
    pub fn concerns(&self, door: usize) -> bool {
        self.others.get(door).is_some_and(|others| !others.is_empty())
    }

    /// Whether every other door of its groups is secure.
    pub fn is_free(&self, door: usize) -> bool {
        self.others.get(door).is_none_or(|others| others.iter().all(|&other| self.secure[other]))
    }

    /// The same, and where it is so, the others are shut out from now on until this door is [noted](Self::note) as secure.
    pub fn reserve(&mut self, door: usize) -> bool {
        let free = self.is_free(door);
        if free {
            self.note(door, false);
        }
        free
    }

    /// Says whether that door is secure.
    pub fn note(&mut self, door: usize, secure: bool) {
        if let Some(known) = self.secure.get_mut(door) {
            *known = secure;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn one_door_of_a_group_at_a_time() {
        let (lock, ring) = (names(&["outer", "inner"]), names(&["inner", "vault"]));
        let mut interlock =
            Interlock::new(&["outer", "inner", "vault", "yard"], &[("lock", &lock), ("ring", &ring)]).expect("valid");
        assert!((0..3).all(|door| interlock.concerns(door)) && !interlock.concerns(3) && !interlock.concerns(9));
        assert!(interlock.reserve(0));
        assert!(!interlock.reserve(1), "the outer door is about to open");
        assert!(interlock.reserve(2), "the vault has nothing to do with the outer door");
        interlock.note(0, true);
        assert!(!interlock.is_free(1), "the vault is still open");
        interlock.note(2, true);
        assert!(interlock.reserve(1) && !interlock.is_free(0) && !interlock.is_free(2) && interlock.is_free(3));
    }

    #[test]
    fn new_groups_find_the_doors_as_they_are() {
        let lock = names(&["a", "b"]);
        let mut interlock = Interlock::new(&["a", "b"], &[]).expect("valid");
        assert!(interlock.reserve(0) && interlock.is_free(1), "no group yet");
        interlock.take_over(Interlock::new(&["a", "b"], &[("lock", &lock)]).expect("valid"));
        assert!(!interlock.is_free(1), "door a has been open since before");
        interlock.note(0, true);
        assert!(interlock.is_free(1));
        interlock.take_over(Interlock::new(&["a"], &[]).expect("valid"));
        assert!(interlock.concerns(0), "an interlock of other doors is not taken over");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_cure() {
        for (members, words) in [
            (names(&["a", "c"]), "names the door 'c', which there is not"),
            (names(&["a", "a"]), "names the door 'a' twice"),
            (names(&["a"]), "fewer than two"),
            (names(&[]), "fewer than two"),
        ] {
            let fault = Interlock::new(&["a", "b"], &[("lock", &members)]).expect_err(words);
            assert!(fault.message.contains(words) && fault.message.contains("'lock'"), "{fault}");
            assert!(!fault.help.is_empty());
        }
    }
}
