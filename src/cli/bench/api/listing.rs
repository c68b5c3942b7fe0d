//! All enrolments of a tenant, listed: how long that takes, and how much memory.

use std::time::Instant;

use serde::Serialize;

use super::{
    super::board::Running,
    client::{Client, fine},
};
use crate::error::{Context, Kind, Result};

const ROUNDS: usize = 5;

#[derive(Debug, Serialize)]
pub struct Report {
    pub embeddings: usize,
    /// Answers in which they came.
    pub answers: usize,
    pub answers_mb: f64,
    pub seconds: f64,
    /// By how much the daemon's resident memory rose above what it was before, at the highest; the first time that it lists.
    pub growth_mb: f64,
    /// The same, over the size of all answers together, which is what it would be if nothing were streamed or paged.
    pub growth_over_answers: f64,
}

pub async fn measure(daemon: &Running, client: &mut Client) -> Result<Report> {
    daemon.forget_peak()?;
    let before = daemon.resident_mb()?;
    let mut best: Option<Report> = None;
    let mut growth_mb = 0.0;
    for round in 0..ROUNDS {
        let begun = Instant::now();
        let (embeddings, answers, bytes) = list(client).await?;
        let seconds = begun.elapsed().as_secs_f64();
        if round == 0 {
            growth_mb = daemon.peak_mb()? - before;
        }
        let answers_mb = bytes as f64 / f64::from(1 << 20);
        if best.as_ref().is_none_or(|best| seconds < best.seconds) {
            let growth_over_answers = growth_mb / answers_mb;
            best = Some(Report { embeddings, answers, answers_mb, seconds, growth_mb, growth_over_answers });
        }
    }
    Ok(best.expect("there is a round"))
}

/// How many there are, in how many answers of how many bytes together.
async fn list(client: &mut Client) -> Result<(usize, usize, usize)> {
    let (mut embeddings, mut answers, mut bytes, mut cursor) = (0, 0, 0, String::new());
    loop {
        let answer = fine(client.get(&format!("/v1/face-matching/embeddings?cursor={cursor}")).await?)?;
        let page: serde_json::Value =
            serde_json::from_slice(&answer).context(Kind::Internal, || "a list cannot be read")?;
        embeddings += page["embeddings"].as_array().map_or(0, Vec::len);
        answers += 1;
        bytes += answer.len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return Ok((embeddings, answers, bytes)),
        }
    }
}

impl Report {
    pub fn words(&self, lines: &mut Vec<String>) {
        lines.push(format!(
            "  listing {} embeddings: {:.3} s, {:.1} MB in {} answers; the daemon's memory rose by {:.1} MB: {:.2} times \
             the answers (promised: at most 1)",
            self.embeddings,
            self.seconds,
            self.answers_mb,
            self.answers,
            self.growth_mb,
            self.growth_over_answers
        ));
    }
}
