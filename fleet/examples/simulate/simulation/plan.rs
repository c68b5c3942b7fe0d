//! How large a site is simulated, and what befalls it.

/// Milliseconds.
pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;

/// What is simulated. All of it follows from this, the seed included: the same plan is the same history.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub doors: usize,
    pub subjects: usize,
    /// How long enrolling everybody takes.
    pub enrolling: u64,
    /// How long changes and troubles go on after that.
    pub churning: u64,
    /// So many changes happen in that time: enrolments, metadata, suspensions, removals, erasures.
    pub changes: usize,
    /// One in so many doors is cut off together with others for a while, and goes on changing.
    pub cut_off_one_in: usize,
    /// One in so many doors is off for a while.
    pub off_one_in: usize,
    /// So many doors join empty.
    pub joining: usize,
    /// Of a million deliveries, so many are lost, doubled, or late by up to 3 s.
    pub lost: u32,
    pub doubled: u32,
    pub late: u32,
    /// How many messages the broker keeps for a door that is away; what comes after is dropped.
    pub kept_for_away: usize,
    /// A door's link, in bytes a second: how fast it is sent what the broker keeps.
    pub link: u64,
    /// Give up where the doors are not alike so long after the last change.
    pub patience: u64,
}

impl Plan {
    /// The size that the issue asks for.
    pub fn full(seed: u64) -> Self {
        Self {
            seed,
            doors: 1_000,
            subjects: 100_000,
            enrolling: 4 * HOUR,
            churning: 2 * HOUR,
            changes: 10_000,
            cut_off_one_in: 10,
            off_one_in: 20,
            joining: 5,
            lost: 10,
            doubled: 1_000,
            late: 10_000,
            kept_for_away: 1_000,
            link: 2_500_000,
            patience: 6 * HOUR,
        }
    }

    /// One that takes a second or two.
    pub fn small(seed: u64) -> Self {
        Self {
            doors: 50,
            subjects: 2_000,
            enrolling: HOUR,
            churning: HOUR,
            changes: 1_000,
            joining: 2,
            lost: 200,
            kept_for_away: 50,
            ..Self::full(seed)
        }
    }
}
