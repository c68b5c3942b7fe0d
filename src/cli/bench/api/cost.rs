//! What a call costs besides the networks: its time, from the first byte that is sent to the last that is received, less the
//! networks' own, which the daemon tells of the same call.

use std::time::Instant;

use axum::body::Bytes;
use serde::Serialize;

use super::{
    super::Times,
    SUBJECT,
    client::{Client, fine},
};
use crate::error::{Error, Kind, Result};

/// What is promised of the 95th percentile, in milliseconds.
pub const PROMISED_MS: f64 = 3.0;

/// Calls before those that are measured.
const WARM_UP: u32 = 10;

#[derive(Debug, Serialize)]
pub struct Report {
    pub calls: u32,
    pub search: Call,
    pub verify: Call,
    /// Of the mean call of either kind, in milliseconds, as the daemon tells it: waiting for a thread, decoding the JPEG,
    /// scaling and aligning around the networks, and what is left: HTTP, the key, the gallery, the record.
    pub waiting_ms: f64,
    pub decode_ms: f64,
    pub prepare_ms: f64,
    pub rest_ms: f64,
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
}

/// One call at a time, by turns of the two.
pub async fn measure(client: &mut Client, form: &Bytes, calls: u32) -> Result<Report> {
    let paths = ["/v1/face-matching/search".to_owned(), format!("/v1/face-matching/verify/{SUBJECT}")];
    let mut times = [const { (Vec::new(), Vec::new()) }; 2];
    let mut until_now = Spent::ask(client).await?;
    let mut warm = until_now;
    for number in 0..calls + WARM_UP {
        for (path, (whole, networks)) in paths.iter().zip(&mut times) {
            let begun = Instant::now();
            fine(client.post(path, form).await?)?;
            let took = begun.elapsed().as_secs_f64() * 1e3;
            let before = std::mem::replace(&mut until_now, Spent::ask(client).await?);
            if number >= WARM_UP {
                whole.push(took);
                networks.push(until_now.since(before).networks);
            } else {
                warm = until_now;
            }
        }
    }
    let together = until_now.since(warm);
    let means = f64::from(2 * calls);
    let whole: f64 = times.iter().flat_map(|(whole, _)| whole).sum();
    let rest = whole - together.waiting - together.decode - together.detect_and_embed;
    let [search, verify] = times.map(|(whole, networks)| call(whole, networks));
    Ok(Report {
        calls,
        search,
        verify,
        waiting_ms: together.waiting / means,
        decode_ms: together.decode / means,
        prepare_ms: (together.detect_and_embed - together.networks) / means,
        rest_ms: rest / means,
    })
}

fn call(whole: Vec<f64>, networks: Vec<f64>) -> Call {
    let around = Times::of(whole.iter().zip(&networks).map(|(whole, networks)| whole - networks).collect());
    let (whole, networks) = (Times::of(whole), Times::of(networks));
    Call {
        whole_over_networks: whole.median_ms / networks.median_ms,
        around_over_promised: around.p95_ms / PROMISED_MS,
        whole,
        networks,
        around,
    }
}

/// How long the API's recognition did what since the daemon's start, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    waiting: f64,
    decode: f64,
    detect_and_embed: f64,
    networks: f64,
}

impl Spent {
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
        for (name, call) in [("search", &self.search), ("verify", &self.verify)] {
            lines.push(format!(
                "  {name}, {} calls: {:.2} ms (p95 {:.2}), the networks of them {:.2} ms: {:.3} times",
                self.calls, call.whole.median_ms, call.whole.p95_ms, call.networks.median_ms, call.whole_over_networks
            ));
            lines.push(format!(
                "    all but the networks: {:.2} ms (p95 {:.2}): {:.2} times the promised {PROMISED_MS} ms at p95",
                call.around.median_ms, call.around.p95_ms, call.around_over_promised
            ));
        }
        lines.push(format!(
            "    of it: decoding {:.2} ms, around the networks {:.2}, waiting for a thread {:.2}, everything else {:.2}",
            self.decode_ms, self.prepare_ms, self.waiting_ms, self.rest_ms
        ));
    }
}
