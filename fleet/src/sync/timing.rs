/// How long things take, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Within this time a door publishes what others lack, at a random point of it.
    pub republish: u64,
    /// And this longer for each door of the site, so that most of the time one of them does it for all.
    pub republish_a_door: u64,
    /// How long no retained message must have come, for a door to have been sent all.
    pub quiet: u64,
    /// How often a digest is published where nothing happens; each time up to a tenth sooner.
    pub digest: u64,
    /// How long another door's digest may differ before something is done about it, at least; at most twice that.
    pub settle: u64,
    /// How often a device publishes its figures. This and the next are for whoever holds the connection.
    pub telemetry: u64,
    /// After how long without a message a device and its broker ask each other whether they are there (MQTT's keep-alive).
    pub keep_alive: u64,
    /// How long tombstones are kept. A door that was away for longer may bring back what was deleted meanwhile.
    pub horizon: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            republish: 2_000,
            republish_a_door: 50,
            quiet: 5_000,
            digest: 3_600_000,
            settle: 120_000,
            telemetry: 900_000,
            keep_alive: 30_000,
            horizon: 90 * 86_400_000,
        }
    }
}
