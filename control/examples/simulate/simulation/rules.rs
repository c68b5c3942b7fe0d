//! The rules of whichever kind of door it is.

use facegate_control::door::{Controller, Happening, Input, Setup, Step};

use super::{Micros, door_rules::DoorRules, turnstile_rules::TurnstileRules};

/// Every rule is checked after each input, and again for the moment before the next one, so that nothing can be late either.
pub enum Rules {
    Door(DoorRules),
    Turnstile(TurnstileRules),
}

impl Rules {
    pub fn new(setup: &Setup) -> Self {
        match setup.settings.turnstile {
            None => Self::Door(DoorRules::new(setup)),
            Some(_) => Self::Turnstile(TurnstileRules::new(setup)),
        }
    }

    /// Looks at the moment before an input.
    pub fn before(&mut self, now: Micros, door: &Controller) {
        match self {
            Self::Door(rules) => rules.before(now, door),
            Self::Turnstile(rules) => rules.before(now, door),
        }
    }

    /// Takes in an input and what the door said to it, and checks that.
    pub fn after(&mut self, input: Input, step: Step, told: &[Happening], door: &Controller, now: Micros) {
        match self {
            Self::Door(rules) => {
                rules.heard(input, told, now);
                rules.after(step, told, door, now);
            }
            Self::Turnstile(rules) => {
                rules.heard(input, told, now);
                rules.after(step, told, door, now);
            }
        }
    }
}
