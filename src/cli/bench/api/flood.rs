//! The door while 200 connections send photographs as fast as they can, against the same door while nobody calls. The two take
//! turns.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::body::Bytes;
use serde::Serialize;

use super::{
    super::{
        Times,
        board::{Board, Running, TENANT, quoted},
    },
    NO_LIMITS,
    client::Client,
};
use crate::error::{Context, Error, Kind, Result};

/// What is promised of the ratio of the 95th percentiles.
pub const PROMISED: f64 = 1.3;

const CONNECTIONS: usize = 200;

/// Turns of quiet and flood.
const ROUNDS: u32 = 4;

/// What happens in the first moments of a flood, and after it, counts for neither.
const SETTLE: Duration = Duration::from_secs(2);

/// The client's threads step back as far as they can: in earnest they are other machines.
const NICENESS: i32 = 19;

#[derive(Debug, Serialize)]
pub struct Report {
    pub connections: usize,
    /// Times that the door opened, of each kind.
    pub edges: (usize, usize),
    /// From the frame's capture to the relay's edge.
    pub quiet: Times,
    pub flooded: Times,
    /// Of the 95th percentiles.
    pub flooded_over_quiet: f64,
    /// Answers a second: those with a result, and those that say that the daemon is busy.
    pub served_per_s: f64,
    pub refused_per_s: f64,
    pub resident_mb: f64,
    /// By how much memory rose above that, at the highest.
    pub growth_mb: f64,
}

/// `edges` of each kind are waited for, at least.
pub fn measure(board: &Board, photo: &Path, form: &Bytes, edges: usize) -> Result<Report> {
    let sections = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\nmax_connections = {}\n{NO_LIMITS}[api.recognition]\ncache = 0\n\
         [[door]]\nname = \"bench\"\ntenant = \"{TENANT}\"\npulse_ms = 100\naccess = {{ votes = 1, window = 1, cooldown_ms = 0 }}\n\
         [door.camera]\nsource = \"replay\"\nstills = {}\nrate_fps = 15.0\nhold_frames = 2\ngap_frames = 13\nnoise = 3.0\n",
        CONNECTIONS + 50,
        quoted(photo),
    );
    let daemon = board.start(&sections, None)?;
    let journal = board.path("journal").join("journal.ndjson");
    let each = edges.div_ceil(ROUNDS as usize);
    thread::sleep(SETTLE);
    let (mut quiet, mut flooded) = (collect(&journal, each)?, Vec::new());
    let resident_mb = daemon.resident_mb()?;
    daemon.forget_peak()?;
    let (mut seconds, counts) = (0.0, Arc::<Counts>::default());
    for round in 0..ROUNDS {
        let (flood, begun) = (Flood::start(&daemon, &board.key, form, &counts)?, Instant::now());
        thread::sleep(SETTLE);
        flooded.extend(collect(&journal, each)?);
        seconds += begun.elapsed().as_secs_f64();
        flood.end()?;
        if round + 1 < ROUNDS {
            thread::sleep(SETTLE);
            quiet.extend(collect(&journal, each)?);
        }
    }
    let growth_mb = daemon.peak_mb()? - resident_mb;
    let edges = (quiet.len(), flooded.len());
    let (quiet, flooded) = (Times::of(quiet), Times::of(flooded));
    Ok(Report {
        connections: CONNECTIONS,
        edges,
        flooded_over_quiet: flooded.p95_ms / quiet.p95_ms,
        quiet,
        flooded,
        served_per_s: counts.served.load(Ordering::Relaxed) as f64 / seconds,
        refused_per_s: counts.refused.load(Ordering::Relaxed) as f64 / seconds,
        resident_mb,
        growth_mb,
    })
}

/// The latencies of the next `count` openings, in milliseconds.
fn collect(journal: &Path, count: usize) -> Result<Vec<f64>> {
    // The door opens about once a second.
    let deadline = Instant::now() + Duration::from_secs(20) + 4 * Duration::from_secs(count as u64);
    let seen = latencies(journal)?.len();
    while Instant::now() < deadline {
        thread::sleep(Duration::from_millis(250));
        let mut all = latencies(journal)?;
        if all.len() >= seen + count {
            return Ok(all.drain(seen..seen + count).collect());
        }
    }
    Err(Error::new(Kind::NoFaceDetected, "the door does not open").help("use a photograph with one clear face"))
}

fn latencies(journal: &Path) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(journal).context(Kind::Io, || "the daemon's journal cannot be read")?;
    let edges = text.lines().filter(|line| line.contains("\"door_edge\""));
    let entries = edges.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    Ok(entries.filter_map(|entry| entry["latency_ms"].as_f64()).collect())
}

#[derive(Debug, Default)]
struct Counts {
    served: AtomicU64,
    refused: AtomicU64,
}

/// Connections that send, each on and on, until it is ended.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<()>>,
}

impl Flood {
    fn start(daemon: &Running, key: &str, form: &Bytes, counts: &Arc<Counts>) -> Result<Self> {
        let (stop, address, key) = (Arc::<AtomicBool>::default(), daemon.address()?, key.to_owned());
        let (form, counts, until) = (form.clone(), Arc::clone(counts), Arc::clone(&stop));
        let thread = thread::spawn(move || send_all(address, &key, &form, &counts, &until));
        Ok(Self { stop, thread })
    }

    fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a measuring thread panicked")))
    }
}

/// On one thread, whatever the number of connections: what the senders cost is not the daemon's.
fn send_all(address: SocketAddr, key: &str, form: &Bytes, counts: &Arc<Counts>, stop: &Arc<AtomicBool>) -> Result<()> {
    rustix::process::nice(NICENESS).context(Kind::Io, || "the flood cannot step back behind the daemon")?;
    super::runtime()?.block_on(async {
        let senders = (0..CONNECTIONS).map(|_| {
            let (key, form) = (key.to_owned(), form.clone());
            let (counts, stop) = (Arc::clone(counts), Arc::clone(stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // Ends where the daemon closes the connection; then comes another.
                    let _ = send(address, &key, &form, &counts, &stop).await;
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            // One that panicked sends no more, and that is all.
            let _ = sender.await;
        }
    });
    Ok(())
}

async fn send(address: SocketAddr, key: &str, form: &Bytes, counts: &Counts, stop: &AtomicBool) -> Result<()> {
    let mut client = Client::connect(address, key).await?;
    while !stop.load(Ordering::Relaxed) {
        let (status, _) = client.post("/v1/face-matching/search", form).await?;
        let count = if status == 200 { &counts.served } else { &counts.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

impl Report {
    pub fn words(&self, lines: &mut Vec<String>) {
        lines.push(format!(
            "  a door while {} connections send photographs ({:.0} a second served, {:.0} told to wait):",
            self.connections, self.served_per_s, self.refused_per_s
        ));
        lines.push(format!(
            "    frame to relay edge: {:.1} ms (p95 {:.1}, {} times), quiet {:.1} ms (p95 {:.1}, {} times): p95 {:.2} times the \
             quiet one (promised: at most {PROMISED})",
            self.flooded.median_ms,
            self.flooded.p95_ms,
            self.edges.1,
            self.quiet.median_ms,
            self.quiet.p95_ms,
            self.edges.0,
            self.flooded_over_quiet
        ));
        lines.push(format!(
            "    memory: {:.0} MB, and {:.0} MB more under the flood: {:.2} times",
            self.resident_mb,
            self.growth_mb,
            (self.resident_mb + self.growth_mb) / self.resident_mb
        ));
    }
}
