//! Our networks against the same files with tract's operators alone and in another engine, in turns, so that a machine that
//! slows down slows all.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::Times;
use crate::{
    cli::output::DIM,
    error::{Context, Error, Kind, Result},
    vision::models::{Network, NetworkState, Pack},
};

/// Turns of each side.
const TURNS: usize = 10;
/// Runs of each turn.
const RUNS: usize = 20;

#[derive(Debug, Serialize)]
pub struct Report {
    /// The other engine.
    pub reference: String,
    pub networks: Vec<Compared>,
}

#[derive(Debug, Serialize)]
pub struct Compared {
    pub file: String,
    pub ours: Times,
    /// With tract's operators alone, none of ours.
    pub tracts: Times,
    /// In the other engine.
    pub theirs: Times,
    /// Ours over tract's, medians.
    pub to_tracts: f64,
    /// Ours over theirs, medians.
    pub ratio: f64,
}

#[derive(Deserialize)]
struct Answer {
    version: String,
    ms: Vec<f64>,
}

impl Report {
    pub fn words(&self, lines: &mut Vec<String>) {
        lines.push(format!("against {} (one thread, taking turns):", self.reference));
        for network in &self.networks {
            let Compared { file, ours, tracts, theirs, to_tracts, ratio } = network;
            lines.push(format!(
                "  {file:<20} {:>7.2} ms, there {:>7.2} ms: {ratio:.2} times; with tract's own operators {:>7.2} ms: {to_tracts:.2} times",
                ours.median_ms, theirs.median_ms, tracts.median_ms
            ));
        }
        lines.push(format!("  {DIM}promised of the recogniser: at most 1.6 times{DIM:#}"));
    }
}

/// Times every network of the pack but liveness, on its own input size, against `program`. The protocol is one line of JSON
/// a request and one an answer; `tests/bench/onnxruntime_reference.py` tells it.
pub fn measure(program: &Path, pack: &Pack) -> Result<Report> {
    let failed = || format!("the reference {} failed", program.display());
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context(Kind::NotFound, || format!("cannot start the reference {}", program.display()))?;
    let (mut to, from) = (child.stdin.take(), child.stdout.take());
    let mut from = BufReader::new(from.ok_or_else(|| Error::new(Kind::Internal, failed()))?);
    let mut ask = |file: &Path| -> Result<Answer> {
        let request = serde_json::json!({ "file": file, "runs": RUNS });
        let to = to.as_mut().ok_or_else(|| Error::new(Kind::Internal, failed()))?;
        writeln!(to, "{request}").and_then(|()| to.flush()).context(Kind::Io, failed)?;
        let mut line = String::new();
        from.read_line(&mut line).context(Kind::Io, failed)?;
        serde_json::from_str(&line).context(Kind::Io, failed)
    };
    let manifest = pack.manifest();
    let mut reference = String::new();
    let mut networks = Vec::new();
    for part in
        [Some(&manifest.detector), manifest.landmarks.as_ref(), Some(&manifest.recogniser)].into_iter().flatten()
    {
        let path = pack.path(part).canonicalize().context(Kind::Model, failed)?;
        let mut ours_ready = Network::load(pack, part)?.state()?;
        let mut tracts_ready = Network::load_for_comparison(pack, part)?.state()?;
        timed(&mut ours_ready, 1)?;
        timed(&mut tracts_ready, 1)?;
        let (mut ours, mut tracts, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.extend(timed(&mut ours_ready, RUNS)?);
            tracts.extend(timed(&mut tracts_ready, RUNS)?);
            let answer = ask(&path)?;
            reference = format!("onnxruntime {}", answer.version);
            theirs.extend(answer.ms);
        }
        let [ours, tracts, theirs] = [ours, tracts, theirs].map(Times::of);
        networks.push(Compared {
            file: part.file.clone(),
            to_tracts: ours.median_ms / tracts.median_ms,
            ratio: ours.median_ms / theirs.median_ms,
            ours,
            tracts,
            theirs,
        });
    }
    drop(to);
    child.wait().context(Kind::Io, failed)?;
    Ok(Report { reference, networks })
}

/// How long each of so many runs takes, in milliseconds.
fn timed(network: &mut NetworkState, runs: usize) -> Result<Vec<f64>> {
    let once = |_| {
        let from = Instant::now();
        network.run(|numbers| {
            for (at, number) in numbers.iter_mut().enumerate() {
                *number = (at % 251) as f32 / 125.0 - 1.0;
            }
        })?;
        Ok(from.elapsed().as_secs_f64() * 1e3)
    };
    (0..runs).map(once).collect()
}
