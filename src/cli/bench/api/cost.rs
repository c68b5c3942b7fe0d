//! What a call costs besides the networks: its time, from the first byte that is sent to the last that is received, less the
//! networks' own, which the daemon tells of the same call.
//!
//! One call is made at a time, and nothing else is done while it is: the client waits, and its own processor time is told. Between
//! calls the daemon is asked what its stages took. What it writes of a call to its journal, it writes after its answer.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::{
    super::Times,
    SUBJECT,
    client::{Client, fine},
};
use crate::error::{Context, Error, Kind, Result};

/// What is promised of the 95th percentile, in milliseconds.
pub const PROMISED_MS: f64 = 3.0;

/// Calls before those that are measured.
const WARM_UP: u32 = 10;

#[derive(Debug, Serialize)]
pub struct Report {
    pub calls: u32,
    pub search: Call,
    pub verify: Call,
}

#[derive(Debug, Serialize)]
pub struct Call {
    /// All of it, as the client sees it.
    pub whole: Times,
    /// The networks in it.
    pub networks: Times,
    /// The difference, call by call.
    pub around: Times,
    /// Ratio of the medians of the whole and of the networks.
    pub whole_over_networks: f64,
    /// The difference's 95th percentile over what is promised of it, 3 ms.
    pub around_over_promised: f64,
    /// Of what the difference consists, as the daemon tells it of each call: decoding the JPEG.
    pub decode: Times,
    /// Scaling, aligning and reading what the networks said.
    pub prepare: Times,
    /// Waiting for a thread that has networks.
    pub waiting: Times,
    /// The handler without all of these: the gallery, and handing over from thread to thread.
    pub gallery: Times,
    /// Outside of the handler: the client, the connection, the key, the form, the answer.
    pub http: Times,
    /// The client's own processor time, which is part of the last.
    pub client: Times,
}

/// One call, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct One {
    whole: f64,
    /// In the handler, as the answer says.
    handler: f64,
    client: f64,
    stages: Stages,
}

/// One call at a time, by turns of the two.
pub async fn measure(client: &mut Client, form: &Bytes, calls: u32) -> Result<Report> {
    let paths = ["/v1/face-matching/search".to_owned(), format!("/v1/face-matching/verify/{SUBJECT}")];
    let mut all = [const { Vec::new() }; 2];
    let mut until_now = Stages::ask(client).await?;
    for number in 0..calls + WARM_UP {
        for (path, all) in paths.iter().zip(&mut all) {
            let (processor, begun) = (processor_time(), Instant::now());
            let answer = fine(client.post(path, form).await?)?;
            let whole = ms(begun.elapsed());
            let client_s_own = ms(processor_time().saturating_sub(processor));
            let before = std::mem::replace(&mut until_now, Stages::ask(client).await?);
            if number >= WARM_UP {
                let (handler, stages) = (handler_ms(&answer)?, until_now.since(before));
                all.push(One { whole, handler, client: client_s_own, stages });
            }
        }
    }
    let [search, verify] = all.map(|all| Call::of(&all));
    Ok(Report { calls, search, verify })
}

/// How long the handler took, which every answer says.
fn handler_ms(answer: &[u8]) -> Result<f64> {
    let answer: serde_json::Value =
        serde_json::from_slice(answer).context(Kind::Internal, || "a call was not answered in JSON")?;
    let seconds = answer["processing_time"].as_f64();
    seconds.map(|s| s * 1e3).ok_or_else(|| Error::new(Kind::Internal, "an answer does not say how long it took"))
}

/// Of this thread, which is the only one that a client has.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Call {
    fn of(all: &[One]) -> Self {
        let times = |part: fn(&One) -> f64| Times::of(all.iter().map(part).collect());
        let (whole, networks) = (times(|one| one.whole), times(|one| one.stages.networks));
        let around = times(|one| one.whole - one.stages.networks);
        Self {
            whole_over_networks: whole.median_ms / networks.median_ms,
            around_over_promised: around.p95_ms / PROMISED_MS,
            whole,
            networks,
            around,
            decode: times(|one| one.stages.decode),
            prepare: times(|one| one.stages.detect_and_embed - one.stages.networks),
            waiting: times(|one| one.stages.waiting),
            gallery: times(|one| one.handler - one.stages.waiting - one.stages.decode - one.stages.detect_and_embed),
            http: times(|one| one.whole - one.handler),
            client: times(|one| one.client),
        }
    }

    fn words(&self, name: &str, calls: u32, lines: &mut Vec<String>) {
        lines.push(format!(
            "  {name}, {calls} calls: {:.2} ms (p95 {:.2}), the networks of them {:.2} ms: {:.3} times",
            self.whole.median_ms, self.whole.p95_ms, self.networks.median_ms, self.whole_over_networks
        ));
        lines.push(format!(
            "    all but the networks: {:.2} ms (p95 {:.2}): {:.2} times the promised {PROMISED_MS} ms at p95",
            self.around.median_ms, self.around.p95_ms, self.around_over_promised
        ));
        for (what, part) in [
            ("decoding", self.decode),
            ("around the networks", self.prepare),
            ("waiting for a thread that has them", self.waiting),
            ("the gallery, and from thread to thread", self.gallery),
            ("HTTP, the key, the form, and the client", self.http),
            ("  of it the client's own processor time", self.client),
        ] {
            lines.push(format!("      {what}: {:.2} ms (p95 {:.2})", part.median_ms, part.p95_ms));
        }
    }
}

/// How long the API's recognition did what since the daemon's start, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Stages {
    waiting: f64,
    decode: f64,
    detect_and_embed: f64,
    networks: f64,
}

impl Stages {
    async fn ask(client: &mut Client) -> Result<Self> {
        let page = fine(client.get("/metrics").await?)?;
        let page = String::from_utf8_lossy(&page);
        let ms = |name: &str| {
            let sum = page.lines().find_map(|line| line.strip_prefix("facegate_recognition_")?.strip_prefix(name));
            let seconds: Option<f64> = sum.and_then(|sum| sum.trim().parse().ok());
            seconds.map(|s| s * 1e3).ok_or_else(|| Error::new(Kind::Internal, "the daemon does not tell its stages"))
        };
        let stage = |stage: &str| ms(&format!("stage_seconds_sum{{stage=\"{stage}\"}}"));
        Ok(Self {
            waiting: stage("waiting")?,
            decode: stage("decode")?,
            detect_and_embed: stage("detect")? + stage("embed")?,
            networks: ms("networks_seconds_sum")?,
        })
    }

    /// What was spent since `before`.
    fn since(self, before: Self) -> Self {
        Self {
            waiting: self.waiting - before.waiting,
            decode: self.decode - before.decode,
            detect_and_embed: self.detect_and_embed - before.detect_and_embed,
            networks: self.networks - before.networks,
        }
    }
}

impl Report {
    pub fn words(&self, lines: &mut Vec<String>) {
        self.search.words("search", self.calls, lines);
        self.verify.words("verify", self.calls, lines);
    }
}
