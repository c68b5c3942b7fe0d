//! What a door is told, and what it tells.

use serde::{Deserialize, Serialize};

use crate::{Class, Passage};

/// What a door is told. Repeating any of it does no harm, save a request to exit, which is a new one each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody may pass, once. A `tag` that was heard among the last eight is not heard again: a message that is delivered
    /// twice lets nobody else in.
    Grant { tag: u64, class: Class, passage: Passage },
    /// An input's level, as it is on the wire. The door itself waits until it is steady.
    Level { sensor: Sensor, active: bool },
    /// The input cannot be read any more. Its last steady level stands, except that a lost fire input counts as fire where
    /// the door is fail-safe.
    SensorLost(Sensor),
    /// The input can be read again; its level follows.
    SensorFound(Sensor),
    /// An operator's.
    Command(Command),
    /// Whether a schedule has the door unlocked now (office hours).
    FreeAccess(bool),
    /// Whether the other doors of every interlock group are closed and locked.
    InterlockFree(bool),
    /// Time has passed.
    Tick,
    /// The daemon ends: back to rest. From here on nothing unlocks but fire.
    Shutdown,
}

/// What is wired to a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensor {
    /// Request to exit: a button, a handle or a motion detector on the inside. Active: somebody wants out.
    Rex,
    /// The door contact. Active: the door is open.
    Contact,
    /// The housing's tamper switch. Active: somebody opened it.
    Tamper,
    /// The fire panel's output. Active: fire.
    Fire,
    /// A turnstile's sensor for people who come in. Active: somebody stands in it.
    PassageEntry,
    /// A turnstile's sensor for people who go out.
    PassageExit,
}

impl Sensor {
    /// Every sensor, by index.
    pub const ALL: [Self; 6] =
        [Self::Rex, Self::Contact, Self::Tamper, Self::Fire, Self::PassageEntry, Self::PassageExit];

    /// Its place in [`Sensor::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The key under `[door.inputs]`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Rex => "rex",
            Self::Contact => "contact",
            Self::Tamper => "tamper",
            Self::Fire => "fire",
            Self::PassageEntry => "passage_entry",
            Self::PassageExit => "passage_exit",
        }
    }

    /// A turnstile's sensor for that way.
    pub const fn passage(passage: Passage) -> Self {
        match passage {
            Passage::Entry => Self::PassageEntry,
            Passage::Exit => Self::PassageExit,
        }
    }
}

/// What an operator may ask of a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Unlock for one pulse; on a turnstile for one person that way.
    Unlock {
        #[serde(default)]
        passage: Passage,
    },
    /// Unlock until [`Command::Release`].
    Hold,
    /// Free access until it is switched off, beside whatever the schedule says.
    FreeAccess { on: bool },
    /// Lock now; refuse grants, commands to unlock and free access until [`Command::Release`].
    Lockdown,
    /// Back to what the schedule and the people say: ends a hold, a lockdown and free access by command.
    Release,
    /// Ends an emergency that outlasts the fire input (`fire_latches`). Not heard while there is fire.
    EndEmergency,
    /// Takes note of every alarm: they are cleared. A door that still stands open will be told again in its time.
    ResetAlarms,
}

/// Why a door is unlocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Grant,
    Rex,
    /// An operator's pulse.
    Command,
    /// An operator's hold.
    Hold,
    FreeAccess,
    Emergency,
}

/// Why somebody was refused by the door itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    Lockdown,
    /// Another door of the interlock group is open or unlocked.
    Interlock,
    /// The same grant was heard before.
    Repeated,
    /// As many people as the door can keep apart are waiting already.
    Busy,
    /// The fire input is still active.
    Fire,
    /// The grant came too late: whoever it was for has gone.
    Late,
    /// The daemon is ending.
    Stopped,
}

impl Refusal {
    /// The stable code, in snake case.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Lockdown => "lockdown",
            Self::Interlock => "interlock",
            Self::Repeated => "repeated",
            Self::Busy => "busy",
            Self::Fire => "fire",
            Self::Late => "late",
            Self::Stopped => "stopped",
        }
    }

    /// The same in plain words.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Lockdown => "the door is in lockdown",
            Self::Interlock => "another door of its interlock group is open or unlocked",
            Self::Repeated => "this grant has been used",
            Self::Busy => "too many people are waiting at this door already",
            Self::Fire => "the fire input is still active",
            Self::Late => "it came too late, and whoever it was for has gone",
            Self::Stopped => "the daemon is stopping",
        }
    }
}

/// What is wrong at a door. Each is raised once and cleared once, by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// The door stands open, and the alarm will follow.
    HeldOpenWarning,
    /// The door has stood open for too long, or somebody stands in the turnstile.
    HeldOpen,
    /// The door was opened while it was locked, or somebody passed the turnstile without a grant.
    ForcedOpen,
    /// Somebody followed another through the turnstile.
    Tailgating,
    /// The housing was opened.
    Tamper,
}

impl Alarm {
    /// Every alarm, by index.
    pub const ALL: [Self; 5] =
        [Self::HeldOpenWarning, Self::HeldOpen, Self::ForcedOpen, Self::Tailgating, Self::Tamper];
}

/// What happened at a door, in the order in which it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "happening", rename_all = "snake_case")]
pub enum Happening {
    /// A lock let go. `lane` tells the two relays of a turnstile apart; a door has the one of [`Passage::Entry`].
    Unlocked {
        lane: Passage,
        by: Cause,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<u64>,
    },
    /// A lock holds again.
    Locked {
        lane: Passage,
    },
    /// The door opened, by right or by force.
    Opened,
    /// The door closed.
    Closed,
    /// Who was granted has passed. Where no sensor can see it (`seen` is false), it is taken for granted.
    Passed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<u64>,
        passage: Passage,
        seen: bool,
    },
    /// Who was granted has not passed in time, and may not any more.
    NobodyPassed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<u64>,
        passage: Passage,
    },
    /// An alarm stands from now on.
    Raised {
        alarm: Alarm,
    },
    /// An alarm does not stand any more.
    Cleared {
        alarm: Alarm,
    },
    /// Fire. `released` says whether the door lets go for it.
    EmergencyBegan {
        released: bool,
    },
    /// No fire any more.
    EmergencyEnded,
    LockdownBegan,
    LockdownEnded,
    HoldBegan,
    HoldEnded,
    FreeAccessBegan,
    FreeAccessEnded,
    /// An input cannot be read.
    SensorFault {
        sensor: Sensor,
    },
    /// An input can be read again.
    SensorRestored {
        sensor: Sensor,
    },
    /// The door itself refused.
    Refused {
        by: Cause,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<u64>,
        why: Refusal,
    },
}

/// What a door is like, for people: the first that applies, from the top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Released by fire.
    Emergency,
    Lockdown,
    /// Opened by force.
    Forced,
    /// Stands open for too long.
    HeldOpen,
    /// Held unlocked by an operator.
    Held,
    FreeAccess,
    /// For one pulse.
    Unlocked,
    #[default]
    Locked,
}

/// What the door's lines are to be from now on: levels, not edges. Whoever drives them repeats what did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// The relay of the strike or magnet, or of a turnstile's way in: energised, with the fail state taken into account.
    pub strike: bool,
    /// The relay of a turnstile's way out. On a door it rests.
    pub exit_strike: bool,
    pub green: bool,
    pub red: bool,
    pub buzzer: bool,
    /// The alarm relay.
    pub alarm: bool,
}

/// What follows from an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub outputs: Outputs,
    /// When to come again with [`Input::Tick`] at the latest, where anything is due.
    pub deadline: Option<crate::Moment>,
}
