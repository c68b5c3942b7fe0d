//! How much was simulated.

/// What was simulated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub door_days: u64,
    /// Inputs that the doors were told, ticks included.
    pub events: u64,
    pub unlocked: u64,
    pub alarms: u64,
    pub restarts: u64,
    /// How often the rules were asked, where there are any, and what they said.
    pub asked: u64,
    pub denied: u64,
    pub flagged: u64,
}

impl Totals {
    pub fn add(&mut self, other: Self) {
        self.door_days += other.door_days;
        self.events += other.events;
        self.unlocked += other.unlocked;
        self.alarms += other.alarms;
        self.restarts += other.restarts;
        self.asked += other.asked;
        self.denied += other.denied;
        self.flagged += other.flagged;
    }
}
