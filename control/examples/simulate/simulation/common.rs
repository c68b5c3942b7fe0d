//! What the rules of a door and of a turnstile have in common.

use facegate_control::door::{Command, FailState, Happening, Input, Setup};

use super::{Micros, wires::Wires};

/// What either kind was told, and whether it stands open for everybody by that.
pub struct Common {
    pub setup: Setup,
    pub wires: Wires,
    pub hold: bool,
    /// By the schedule, and by command.
    pub free: [bool; 2],
    pub lockdown: bool,
    pub interlock_free: bool,
    pub ended: bool,
    /// Released by fire, as it was told and found to be right.
    pub released: bool,
    /// Every tag that was heard.
    pub tags: Vec<u64>,
}

impl Common {
    pub fn new(setup: &Setup) -> Self {
        Self {
            setup: setup.clone(),
            wires: Wires::new(setup),
            hold: false,
            free: [false; 2],
            lockdown: false,
            interlock_free: true,
            ended: false,
            released: false,
            tags: Vec::new(),
        }
    }

    pub fn releases(&self) -> bool {
        self.setup.fail == FailState::Safe || self.setup.settings.release_on_fire == Some(true)
    }

    pub fn stands_open(&self) -> bool {
        let operated = (self.hold || self.free[0] || self.free[1]) && !self.lockdown && self.interlock_free;
        let by_fire = self.released && !(self.ended && self.setup.fail == FailState::Secure);
        by_fire || (operated && !self.ended)
    }

    /// Whether that grant was heard a short while ago.
    pub fn repeated(&self, tag: u64) -> bool {
        self.tags.iter().rev().take(8).any(|&other| other == tag)
    }

    /// Takes in what an operator or the world around the door says.
    pub fn hear(&mut self, input: Input, refused: bool) {
        match input {
            Input::InterlockFree(free) => self.interlock_free = free,
            Input::Shutdown => self.ended = true,
            _ if self.ended => {}
            Input::FreeAccess(on) => self.free[0] = on,
            Input::Command(Command::Hold) => self.hold |= !refused,
            Input::Command(Command::FreeAccess { on }) => self.free[1] = on && !self.lockdown,
            Input::Command(Command::Lockdown) => (self.lockdown, self.hold, self.free[1]) = (true, false, false),
            Input::Command(Command::Release) => (self.lockdown, self.hold, self.free[1]) = (false, false, false),
            _ => {}
        }
    }

    /// Takes in what it says of fire.
    pub fn told_of_fire(&mut self, happening: Happening, now: Micros) {
        match happening {
            Happening::EmergencyBegan { released } => {
                assert!(self.wires.may_be_fire(self.setup.fail, now), "an emergency without fire");
                self.released = self.releases();
                assert!(released == self.released || self.ended);
            }
            Happening::EmergencyEnded => self.released = false,
            _ => {}
        }
    }

    /// Where there is fire for certain, whatever lets go for it has.
    pub fn check_fire(&self, now: Micros) {
        let must = self.releases() && self.wires.must_be_fire(self.setup.fail, now);
        assert!(self.released || !must, "fire, and not released");
    }
}
