//! A decision with all its steps, for people.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::{Presence, Request, Rulebook, Ruling};
use crate::{Class, Passage};

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It speaks for letting the subject pass.
    Yes,
    /// It speaks against it.
    No,
    /// It is worth knowing.
    Note,
}

/// One thing that was looked at on the way to a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Step {
    /// What was looked at: `subject`, `validity`, `door`, `group`, `schedule`, `card`, `area`.
    pub check: &'static str,
    pub finding: Finding,
    /// In words.
    pub text: String,
    /// When a schedule that was looked at opens or closes next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes_at: Option<Timestamp>,
}

impl Step {
    pub(super) fn new(check: &'static str, finding: Finding, text: impl Into<String>) -> Self {
        Self { check, finding, text: text.into(), changes_at: None }
    }
}

/// Where the steps of a decision go. The door's way throws them away unmade.
pub(super) trait Trace {
    fn step(&mut self, step: impl FnOnce() -> Step);
}

/// Nobody asks why.
pub(super) struct Silent;

impl Trace for Silent {
    fn step(&mut self, _: impl FnOnce() -> Step) {}
}

impl Trace for Vec<Step> {
    fn step(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}

/// A decision and how it was come to. It is the decision that the door would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Explanation {
    pub subject: String,
    pub door: String,
    pub passage: Passage,
    pub at: Timestamp,
    pub allowed: bool,
    /// `allowed`, or the code of the reason.
    pub code: &'static str,
    /// The same in a sentence.
    pub sentence: &'static str,
    /// How much time they would get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The code of an area's rule that would be broken, and only noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag: Option<&'static str>,
    pub steps: Vec<Step>,
}

impl Rulebook {
    /// Decides as [`rule`](Self::rule) does, and tells how.
    pub fn explain(&self, request: &Request<'_>, presence: &Presence) -> Explanation {
        let mut steps = Vec::new();
        let ruling = self.decide(request, presence, &mut steps);
        let allowed = match &ruling {
            Ruling::Allowed(allowed) => Some(allowed),
            Ruling::Denied(_) => None,
        };
        Explanation {
            subject: request.subject.to_owned(),
            door: request.door.to_owned(),
            passage: request.passage,
            at: request.at,
            allowed: ruling.allowed(),
            code: ruling.code(),
            sentence: ruling.sentence(),
            class: allowed.map(|allowed| allowed.class),
            flag: allowed.and_then(|allowed| allowed.flag).map(|flag| flag.code()),
            steps,
        }
    }
}

impl fmt::Display for Explanation {
    /// The answer on the first line, then a line for each step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.allowed { "allowed" } else { "denied" }, self.sentence)?;
        for step in &self.steps {
            let sign = match step.finding {
                Finding::Yes => '+',
                Finding::No => '-',
                Finding::Note => ' ',
            };
            write!(f, "\n  {sign} {}", step.text)?;
        }
        Ok(())
    }
}
