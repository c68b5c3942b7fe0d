//! What happened at a door, in words.

use super::{Alarm, Cause, Command, Happening};
use crate::Passage;

impl Cause {
    /// Why it was, as the end of a sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Grant => "for somebody who was granted",
            Self::Rex => "on a request to exit",
            Self::Command => "on an operator's command",
            Self::Hold => "until an operator releases it",
            Self::FreeAccess => "for free access",
            Self::Emergency => "by fire",
        }
    }
}

impl Alarm {
    /// What is wrong.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::HeldOpenWarning => "held open, the alarm will follow",
            Self::HeldOpen => "held open",
            Self::ForcedOpen => "forced open",
            Self::Tailgating => "tailgating",
            Self::Tamper => "tampered with",
        }
    }
}

impl Command {
    /// The same in plain words, as somebody would say it to the door.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Unlock { passage: Passage::Entry } => "unlock for one pulse",
            Self::Unlock { passage: Passage::Exit } => "unlock for one pulse, the way out",
            Self::Hold => "hold unlocked",
            Self::FreeAccess { on: true } => "free access",
            Self::FreeAccess { on: false } => "end free access",
            Self::Lockdown => "lock down",
            Self::Release => "release",
            Self::EndEmergency => "end the emergency",
            Self::ResetAlarms => "reset the alarms",
        }
    }
}

impl Happening {
    /// The grant that it is about, if any.
    pub const fn tag(&self) -> Option<u64> {
        match *self {
            Self::Unlocked { tag, .. }
            | Self::Passed { tag, .. }
            | Self::NobodyPassed { tag, .. }
            | Self::Refused { tag, .. } => tag,
            _ => None,
        }
    }

    /// The same about nobody in particular.
    #[must_use]
    pub const fn without_tag(mut self) -> Self {
        if let Self::Unlocked { tag, .. }
        | Self::Passed { tag, .. }
        | Self::NobodyPassed { tag, .. }
        | Self::Refused { tag, .. } = &mut self
        {
            *tag = None;
        }
        self
    }

    /// The same in plain words: `unlocked on a request to exit`.
    pub fn describe(&self) -> String {
        let way = |lane: Passage| if lane == Passage::Exit { ", the way out" } else { "" };
        match *self {
            Self::Unlocked { lane, by, .. } => format!("unlocked {}{}", by.describe(), way(lane)),
            Self::Locked { lane } => format!("locked{}", way(lane)),
            Self::Opened => "the door opened".into(),
            Self::Closed => "the door closed".into(),
            Self::Passed { passage, seen: true, .. } => format!("passed{}", way(passage)),
            Self::Passed { passage, seen: false, .. } => format!("taken to have passed{}", way(passage)),
            Self::NobodyPassed { passage, .. } => format!("nobody passed in time{}", way(passage)),
            Self::Raised { alarm } => format!("ALARM: {}", alarm.describe()),
            Self::Cleared { alarm } => format!("not {} any more", alarm.describe()),
            Self::EmergencyBegan { released: true } => "FIRE: the door is released".into(),
            Self::EmergencyBegan { released: false } => "FIRE: the door stays as it is".into(),
            Self::EmergencyEnded => "no fire any more".into(),
            Self::LockdownBegan => "lockdown".into(),
            Self::LockdownEnded => "no lockdown any more".into(),
            Self::HoldBegan => "held unlocked by an operator".into(),
            Self::HoldEnded => "not held unlocked any more".into(),
            Self::FreeAccessBegan => "free access".into(),
            Self::FreeAccessEnded => "no free access any more".into(),
            Self::SensorFault { sensor } => format!("the input `{}` cannot be read", sensor.key()),
            Self::SensorRestored { sensor } => format!("the input `{}` can be read again", sensor.key()),
            Self::Refused { by, why, .. } => {
                let whom = match by {
                    Cause::Rex => "a request to exit",
                    Cause::Grant => "a grant",
                    _ => "a command",
                };
                format!("refused {whom}: {}", why.sentence())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{Refusal, Sensor};

    #[test]
    fn everything_is_said_and_nobody_is_named_twice() {
        let tagged = Happening::Passed { tag: Some(7), passage: Passage::Exit, seen: true };
        assert_eq!((tagged.tag(), tagged.without_tag().tag()), (Some(7), None));
        assert_eq!(tagged.describe(), "passed, the way out");
        for (happening, words) in [
            (Happening::Unlocked { lane: Passage::Entry, by: Cause::Rex, tag: None }, "unlocked on a request to exit"),
            (Happening::Raised { alarm: Alarm::ForcedOpen }, "ALARM: forced open"),
            (Happening::SensorFault { sensor: Sensor::Fire }, "the input `fire` cannot be read"),
            (
                Happening::Refused { by: Cause::Grant, tag: None, why: Refusal::Interlock },
                "refused a grant: another door of its interlock group is open or unlocked",
            ),
        ] {
            assert_eq!(happening.describe(), words);
            assert_eq!(happening.without_tag(), happening);
        }
    }
}
