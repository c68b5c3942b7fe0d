//! What `facegate access` prints.

use serde_json::{Map, json};

use super::super::{
    Context,
    output::{BAD, DIM, GOOD, WARN},
};
use crate::{
    access::rules::{
        Area, Calendar, Door, Explanation, Finding, Group, Interlock, Place, Rules, Schedule, Whereabouts,
    },
    gallery::{StoredRules, TenantId},
    rulebook::Item,
};

/// The rules in short.
pub(super) fn summary(context: &Context, tenant: &TenantId, stored: Option<&StoredRules>, subjects: usize) {
    let rules = stored.map(|stored| stored.rules.clone()).unwrap_or_default();
    fn names<T: Item>(rules: &Rules) -> (&'static str, Vec<String>) {
        let mut rules = rules.clone();
        (T::MANY, T::all(&mut rules).iter().map(|item| item.name().to_owned()).collect())
    }
    let all = [
        names::<Calendar>(&rules),
        names::<Schedule>(&rules),
        names::<Area>(&rules),
        names::<Door>(&rules),
        names::<Interlock>(&rules),
        names::<Group>(&rules),
    ];
    let mut line = Map::new();
    line.insert("tenant".into(), tenant.as_str().into());
    line.insert("revision".into(), stored.map(|stored| stored.revision).into());
    line.extend(all.iter().map(|(kind, names)| ((*kind).to_owned(), json!(names))));
    line.insert("subjects".into(), subjects.into());
    context.out.result(&line, |_| {
        let Some(stored) = stored else {
            return format!("tenant {tenant} has {WARN}no rules{WARN:#}: whoever is enrolled may pass at any time");
        };
        let mut text = format!("rules of tenant {tenant}, revision {}", stored.revision);
        for (kind, names) in &all {
            text.push_str(&format!("\n  {kind:<11} {:>6}  {DIM}{}{DIM:#}", names.len(), shortened(names)));
        }
        text.push_str(&format!("\n  {:<11} {subjects:>6}", "subjects"));
        text
    });
}

fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", "))
}

/// An answer with its steps.
pub(super) fn told(explanation: &Explanation) -> String {
    let (style, word) = if explanation.allowed { (GOOD, "would be let in") } else { (BAD, "would not be let in") };
    let mut text = format!(
        "{} {style}{word}{style:#} at door '{}', {}: {}",
        explanation.subject, explanation.door, explanation.at, explanation.sentence
    );
    for step in &explanation.steps {
        let (style, sign) = match step.finding {
            Finding::Yes => (GOOD, '+'),
            Finding::No => (BAD, '-'),
            Finding::Note => (DIM, ' '),
        };
        let next = step.changes_at.map(|at| format!("{DIM}; next change {at}{DIM:#}")).unwrap_or_default();
        text.push_str(&format!("\n  {style}{sign}{style:#} {}{next}", step.text));
    }
    text
}

/// Where somebody is.
pub(super) fn whereabouts(subject: &str, known: &Whereabouts) -> String {
    let place = |place: &Place| place.area().map_or_else(|| "outside".to_owned(), |area| format!("in {area}"));
    let here = known.place.as_ref().map_or_else(|| "-".to_owned(), place);
    let pending = known.pending.as_ref().map(|to| format!(", perhaps {}", place(to))).unwrap_or_default();
    format!("{subject}  {here}{pending}  {DIM}by door '{}', {}{DIM:#}", known.door, known.at)
}
