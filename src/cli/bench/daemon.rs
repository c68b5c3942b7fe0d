//! A daemon with a full gallery: how soon it is ready, what it keeps in memory, what it does while nobody is in view.

use std::{
    io::{BufRead, BufReader},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::board::{Board, Running, TENANT, quoted};
use crate::error::{Context, Error, Kind, Result};

const IDLE_FPS: u32 = 10;
/// How long the daemon is watched while nobody is in view.
const IDLE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize)]
pub struct Report {
    pub faces: u32,
    /// From the start of the process to ready.
    pub ready_s: f64,
    /// Resident memory after the time of idling.
    pub resident_mb: f64,
    pub idle_fps: u32,
    /// Processor time over that time.
    pub idle_core_percent: f64,
    /// Frames that the motion gate let through to the detector, of those that came.
    pub idle_searched: u64,
    pub idle_frames: u64,
}

impl Report {
    pub fn words(&self, lines: &mut Vec<String>) {
        lines.push(format!("a daemon with {} faces enrolled:", self.faces));
        lines.push(format!("  ready after {:.2} s (promised: 3)", self.ready_s));
        lines.push(format!("  {:.0} MB resident (promised: under 200)", self.resident_mb));
        lines.push(format!(
            "  nobody in view, {} frames a second: {:.1} % of a core (promised: under 15), the gate let {} of {} frames through",
            self.idle_fps, self.idle_core_percent, self.idle_searched, self.idle_frames
        ));
    }
}

pub fn measure(board: &Board, faces: u32) -> Result<Report> {
    // An empty corridor: a still picture without anybody, with a sensor's noise.
    let corridor = board.path("corridor.png");
    image::RgbImage::from_fn(640, 480, |x, y| image::Rgb([(60 + x / 8) as u8, (70 + y / 6) as u8, 90]))
        .save(&corridor)
        .context(Kind::Io, || format!("cannot write {}", corridor.display()))?;
    let sections = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n[[door]]\nname = \"bench\"\ntenant = \"{TENANT}\"\n[door.camera]\n\
         source = \"replay\"\nstills = {}\nrate_fps = {IDLE_FPS}\nnoise = 3.0\n",
        quoted(&corridor),
    );
    let mut daemon = board.start(&sections, Some("error,facegate::daemon::doorway=debug"))?;
    // What it does first is no idling.
    thread::sleep(Duration::from_secs(3));
    let (before, from) = (daemon.processor_time()?, Instant::now());
    thread::sleep(IDLE);
    let used = daemon.processor_time()? - before;
    let passed = from.elapsed().as_secs_f64();
    let resident_mb = daemon.resident_mb()?;
    let (idle_searched, idle_frames) = gate_counts(&mut daemon)?;
    Ok(Report {
        faces,
        ready_s: daemon.ready_s,
        resident_mb,
        idle_fps: IDLE_FPS,
        idle_core_percent: 100.0 * used / passed,
        idle_searched,
        idle_frames,
    })
}

/// Ends the daemon and reads from its log how many frames the gate let through, of how many.
fn gate_counts(daemon: &mut Running) -> Result<(u64, u64)> {
    let pid = rustix::process::Pid::from_child(&daemon.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)
        .context(Kind::Io, || "the daemon cannot be ended")?;
    let stderr =
        daemon.child.stderr.take().ok_or_else(|| Error::new(Kind::Internal, "the daemon's log is not there"))?;
    let mut counts = None;
    for line in BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
        let Ok(entry) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
        let field = |name: &str| entry.get("fields")?.get(name)?.as_u64();
        counts = field("searched").zip(field("frames")).or(counts);
    }
    counts.ok_or_else(|| Error::new(Kind::Internal, "the daemon did not say how many frames it searched"))
}
