//! Searches among many templates, against FAISS that reads them all.

use std::time::Duration;

use serde::Serialize;

use super::Times;
use crate::{error::Result, gallery};

/// Templates that are searched.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// So many of the nearest; a door asks for ten, where subjects have five embeddings at most.
const NEAREST: usize = 8;

#[derive(Debug, Serialize)]
pub struct Report {
    pub templates: usize,
    pub nearest: usize,
    pub search: Times,
    /// FAISS alone, by turns with it.
    pub faiss: Times,
    /// Ratio of the medians.
    pub over_faiss: f64,
}

pub fn measure(times: u32) -> Result<Vec<Report>> {
    SIZES.into_iter().map(|templates| of(templates, times as usize)).collect()
}

fn of(templates: usize, times: usize) -> Result<Report> {
    let measured = gallery::searches(templates, NEAREST, times)?;
    let times =
        |all: Vec<Duration>| Times::of(all.into_iter().map(|time| time.as_secs_f64() * 1e3).collect::<Vec<_>>());
    let (search, faiss) = (times(measured.ours), times(measured.faiss));
    Ok(Report { templates, nearest: NEAREST, search, faiss, over_faiss: search.median_ms / faiss.median_ms })
}

pub fn words(all: &[Report], lines: &mut Vec<String>) {
    for report in all {
        lines.push(format!(
            "the {} nearest of {} templates: median {:.3} ms, p95 {:.3} ms; FAISS that reads them all {:.3} and {:.3}: {:.2} times its time",
            report.nearest,
            report.templates,
            report.search.median_ms,
            report.search.p95_ms,
            report.faiss.median_ms,
            report.faiss.p95_ms,
            report.over_faiss
        ));
    }
}
