use std::fmt;

use super::plan::{HOUR, MINUTE, Plan, SECOND};

/// What came of a simulation.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub plan: String,
    pub doors: usize,
    pub subjects: usize,
    /// Changes that people made.
    pub changes: u64,
    /// Documents that were published: for a change, and for others' sake.
    pub documents: u64,
    pub digests: u64,
    pub receipts: u64,
    /// Buckets that doors had sent again.
    pub resubscriptions: u64,
    /// Messages that a session of a door that was away had no room for, and those that were lost on the way.
    pub dropped: u64,
    pub lost: u64,
    pub refused: u64,
    /// How many doors differed from the first when the troubles ended.
    pub differing: usize,
    /// From the last change and the end of the last trouble until all doors had the same, in milliseconds; and whether that is
    /// what was to come of all changes.
    pub converged: Option<u64>,
    pub right: bool,
    /// The broker's messages and bytes, in and out.
    pub broker_in: (u64, u64),
    pub broker_out: (u64, u64),
    /// Its most messages out within a second of simulated time.
    pub peak_out: u64,
    /// What it keeps.
    pub kept: (usize, u64),
    /// Of one door on average, bytes: in, and out.
    pub door_in: u64,
    pub door_out: u64,
    /// Bytes to fill one door that joined.
    pub filling: u64,
    /// What a door sends and receives in a minute where nothing happens, in bytes, without MQTT's pings.
    pub idle_out: u64,
    pub idle_in: u64,
    /// Simulated time, milliseconds.
    pub time: u64,
}

impl Report {
    /// Whether all doors came to have what they should.
    pub const fn is_good(&self) -> bool {
        self.converged.is_some() && self.right
    }
}

fn duration(ms: u64) -> String {
    if ms < MINUTE {
        format!("{:.1} s", ms as f64 / SECOND as f64)
    } else {
        format!("{} h {:02} min", ms / HOUR, ms % HOUR / MINUTE)
    }
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |count: u64| count as f64 / self.changes.max(1) as f64;
        writeln!(f, "{}", self.plan)?;
        writeln!(f, "simulated                     {}", duration(self.time))?;
        match self.converged {
            Some(ms) => {
                writeln!(f, "all doors alike after         {} ({} differed at first)", duration(ms), self.differing)?
            }
            None => writeln!(f, "all doors alike               NEVER ({} differed at first)", self.differing)?,
        }
        writeln!(f, "and as they should be         {}", if self.right { "yes" } else { "NO" })?;
        writeln!(f, "changes                       {}", self.changes)?;
        writeln!(f, "documents published           {} ({:.3} a change)", self.documents, each(self.documents))?;
        writeln!(f, "digests, receipts             {}, {}", self.digests, self.receipts)?;
        writeln!(f, "buckets sent again            {}", self.resubscriptions)?;
        writeln!(f, "lost, dropped by sessions     {}, {}", self.lost, self.dropped)?;
        writeln!(f, "refused                       {}", self.refused)?;
        writeln!(f, "broker, in                    {} messages, {}", self.broker_in.0, bytes(self.broker_in.1))?;
        writeln!(f, "broker, out                   {} messages, {}", self.broker_out.0, bytes(self.broker_out.1))?;
        writeln!(f, "broker, out, busiest second   {} messages", self.peak_out)?;
        writeln!(f, "broker keeps                  {} documents, {}", self.kept.0, bytes(self.kept.1))?;
        writeln!(f, "a door, in                    {}", bytes(self.door_in))?;
        writeln!(f, "a door, out                   {}", bytes(self.door_out))?;
        writeln!(f, "filling a new door            {}", bytes(self.filling))?;
        writeln!(
            f,
            "a door at rest, in a minute   {} out, {} in, pings aside",
            bytes(self.idle_out),
            bytes(self.idle_in)
        )
    }
}

impl Plan {
    /// In a line.
    pub fn describe(&self) -> String {
        format!(
            "seed {}: {} doors, {} subjects; everybody enrolled within {}, then {} changes within {}; 1 door in {} cut off, \
             1 in {} off, {} joining",
            self.seed,
            self.doors,
            self.subjects,
            duration(self.enrolling),
            self.changes,
            duration(self.churning),
            self.cut_off_one_in,
            self.off_one_in,
            self.joining,
        )
    }
}
