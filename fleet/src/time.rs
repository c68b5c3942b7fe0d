/// What time it is, by both clocks, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, since 1970. It may be wrong, by a year or more; only stamps and expiries go by it.
    pub wall: u64,
    /// The monotonic clock, since its own start. All that waits goes by it.
    pub mono: u64,
    /// Whether the wall clock can be relied on (a time server has set it). Where it cannot, nothing expires by it.
    pub trusted: bool,
}

impl Now {
    /// The same `ms` later.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self { wall: self.wall.saturating_add(ms), mono: self.mono.saturating_add(ms), trusted: self.trusted }
    }

    /// The wall clock where it can be relied on.
    pub fn trusted_wall(self) -> Option<u64> {
        self.trusted.then_some(self.wall)
    }
}
