//! From the decision that somebody is known to the relay's edge, through the rules of a large site.

use std::{sync::Arc, time::Duration};

use facegate_control::{Passage, access::rules::Rulebook};
use serde::Serialize;

use crate::{
    clock::Clock,
    door::{self, Driver, Grant, Hardware, Report as Told},
    error::{Error, Kind, Result},
    rulebook::{Bell, Gate, Pass, TenantAccess, zones},
};

const SUBJECTS: usize = 100_000;
const GROUPS: usize = 1_000;
/// Each group may pass so many doors, each on a schedule of its own: that many lines are rules.
const LINES: usize = 10;
const DOORS: usize = 500;
const SCHEDULES: usize = 100;

/// Grants that are measured.
const GRANTS: usize = 1_000;

#[derive(Debug, Serialize)]
pub struct Report {
    pub rules: usize,
    pub subjects: usize,
    pub grants: usize,
    pub median_ms: f64,
    pub p99_ms: f64,
    /// The 99th percentile over what is promised, 1 ms.
    pub p99_over_promised: f64,
}

impl Report {
    pub fn words(&self, lines: &mut Vec<String>) {
        lines.push(format!(
            "decision to relay edge, {} rules and {} subjects, {} grants: median {:.3} ms, p99 {:.3} ms: {:.2} times the \
             promised 1 ms",
            self.rules, self.subjects, self.grants, self.median_ms, self.p99_ms, self.p99_over_promised
        ));
    }
}

/// A site of 10,000 rules: every group may pass the door that is measured, and nine others.
fn site() -> serde_json::Value {
    let hours = serde_json::json!([{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "24:00"}]);
    let named = |what: &str, n: usize| format!("{what} {n}");
    serde_json::json!({
        "schedules": (0..SCHEDULES)
            .map(|n| serde_json::json!({"name": named("hours", n), "zone": "Europe/Brussels", "week": hours}))
            .collect::<Vec<_>>(),
        "areas": [{"name": "hall", "anti_passback": "soft"}],
        "doors": (0..DOORS)
            .map(|n| serde_json::json!({"name": named("door", n), "inside": "hall"}))
            .collect::<Vec<_>>(),
        "groups": (0..GROUPS)
            .map(|n| {
                let line = |k: usize| {
                    let door = if k == 0 { 0 } else { (n * 7 + k * 53) % DOORS };
                    serde_json::json!({"doors": [named("door", door)], "schedule": named("hours", (n + k) % SCHEDULES)})
                };
                serde_json::json!({"name": named("group", n), "access": (0..LINES).map(line).collect::<Vec<_>>()})
            })
            .collect::<Vec<_>>(),
        "subjects": (0..SUBJECTS)
            .map(|n| serde_json::json!({"id": named("EMP", n), "groups": [named("group", n % GROUPS)]}))
            .collect::<Vec<_>>(),
    })
}

/// Asks the rules and drives a simulated relay, again and again, the door shut before each.
pub fn measure(clock: &Arc<dyn Clock>) -> Result<Report> {
    let broken = |what: &str| Error::new(Kind::Internal, format!("the measured site: {what}"));
    let rules = serde_json::from_value(site()).map_err(|error| broken("its rules are none").source(error))?;
    let access = TenantAccess::new(Bell::default());
    access.set_book(Rulebook::compile(&rules, &zones)?);
    let gate = Gate::new(Arc::new(access), "door 0".into());

    let settings = door::Settings { pulse_ms: 100, ..door::Settings::default() };
    let hardware = Hardware::at_rest(&settings, clock)?;
    let driver = Driver::start(&settings, hardware, None, Arc::clone(clock))?;
    let reports = driver.reports();
    let edge = |open: bool| loop {
        match reports.recv_timeout(Duration::from_secs(2)) {
            Ok(Told::Edge(edge)) if edge.open == open => return Ok(edge.at),
            Ok(_) => {}
            Err(_) => return Err(broken("the relay did not move")),
        }
    };
    let mut took = Vec::with_capacity(GRANTS);
    for n in 0..GRANTS {
        let subject = format!("EMP {}", n * 7_919 % SUBJECTS);
        let (tag, passage, at) = (n as u64, Passage::Entry, clock.wall());
        let now = clock.now();
        if !gate.admit(Pass { subject: &subject, passage, tag, at, now }).allowed() {
            return Err(broken("its rules deny"));
        }
        driver.grant(Grant { tag, class: Default::default(), passage, card: None, at: now })?;
        took.push(edge(true)?.since(now));
        gate.passed(tag, at, now);
        edge(false)?;
    }
    driver.stop()?;
    took.sort_unstable();
    let ms = |place: usize| took[place].as_secs_f64() * 1e3;
    let p99_ms = ms(GRANTS * 99 / 100);
    Ok(Report {
        rules: GROUPS * LINES,
        subjects: SUBJECTS,
        grants: GRANTS,
        median_ms: ms(GRANTS / 2),
        p99_ms,
        p99_over_promised: p99_ms,
    })
}
