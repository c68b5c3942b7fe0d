//! The named things of the rules as one kind of thing, so that the API and the command line treat them alike.

use serde::{Serialize, de::DeserializeOwned};

use crate::access::rules::{Area, Calendar, Door, Group, Interlock, Rules, Schedule};

/// A named thing of the rules.
pub trait Item: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// What one is called in answers.
    const ONE: &'static str;
    /// What several are called, in answers and in paths.
    const MANY: &'static str;

    /// All of them.
    fn all(rules: &mut Rules) -> &mut Vec<Self>;

    /// Its name, of which there is no other.
    fn name(&self) -> &str;

    /// Puts it in, or in the place of the one of the same name.
    fn put(self, rules: &mut Rules) {
        let items = Self::all(rules);
        match items.iter_mut().find(|other| other.name() == self.name()) {
            Some(before) => *before = self,
            None => items.push(self),
        }
    }

    /// The one of this name.
    fn find<'r>(rules: &'r mut Rules, name: &str) -> Option<&'r Self> {
        Self::all(rules).iter().find(|item| item.name() == name)
    }

    /// Takes out the one of this name; whether it was there.
    fn remove(rules: &mut Rules, name: &str) -> bool {
        let items = Self::all(rules);
        let before = items.len();
        items.retain(|item| item.name() != name);
        items.len() < before
    }
}

macro_rules! items {
    ($($item:ident $one:literal $many:ident;)+) => {$(
        impl Item for $item {
            const ONE: &'static str = $one;
            const MANY: &'static str = stringify!($many);

            fn all(rules: &mut Rules) -> &mut Vec<Self> {
                &mut rules.$many
            }

            fn name(&self) -> &str {
                &self.name
            }
        }
    )+};
}

items! {
    Calendar "calendar" calendars;
    Schedule "schedule" schedules;
    Area "area" areas;
    Door "door" doors;
    Interlock "interlock" interlocks;
    Group "group" groups;
}
