//! Our networks against the same files in another engine, in turns, so that a machine that slows down slows both.

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
    vision::models::{Network, Pack},
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
    pub theirs: Times,
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
            lines.push(format!(
                "  {:<30} {:>7.2} ms, there {:>7.2} ms: {:.2} times",
                network.file, network.ours.median_ms, network.theirs.median_ms, network.ratio
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
        let mut network = Network::load(pack, part)?.state()?;
        let mut once = || -> Result<f64> {
            let from = Instant::now();
            network.run(|numbers| {
                for (at, number) in numbers.iter_mut().enumerate() {
                    *number = (at % 251) as f32 / 125.0 - 1.0;
                }
            })?;
            Ok(from.elapsed().as_secs_f64() * 1e3)
        };
        once()?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            for _ in 0..RUNS {
                ours.push(once()?);
            }
            let answer = ask(&path)?;
            reference = format!("onnxruntime {}", answer.version);
            theirs.extend(answer.ms);
        }
        let (ours, theirs) = (Times::of(ours), Times::of(theirs));
        networks.push(Compared { file: part.file.clone(), ours, theirs, ratio: ours.median_ms / theirs.median_ms });
    }
    drop(to);
    child.wait().context(Kind::Io, failed)?;
    Ok(Report { reference, networks })
}
