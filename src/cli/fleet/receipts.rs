//! `facegate fleet receipts`: which doors have erased what was erased, and who is missing.

use std::collections::{BTreeMap, BTreeSet};

use facegate_fleet::{Name, document::DocumentKey, open::Body, topic::Topic, voucher::Role, wire::Receipt};
use serde_json::json;

use super::{Answer, Context, settings};
use crate::{error::Result, fleet::console::Console};

/// When something was erased and at which door: the later of two is the greater.
type Stamp = (u64, u16, Name);

/// The latest erasure of a document.
#[derive(Debug, PartialEq, Eq)]
struct Erasure {
    document: DocumentKey,
    stamp: Stamp,
    /// Who has it durably.
    done: BTreeSet<Name>,
    /// Which doors have not said so.
    missing: BTreeSet<Name>,
}

/// Puts receipts together. Of a document that was erased more than once, only the latest erasure counts: whoever did an earlier one
/// has not done this one, since the person may have been enrolled again meanwhile.
fn erasures(receipts: impl IntoIterator<Item = (Name, DocumentKey, Receipt)>, doors: &BTreeSet<Name>) -> Vec<Erasure> {
    let mut by_document: BTreeMap<DocumentKey, Vec<(Stamp, Name)>> = BTreeMap::new();
    for (device, key, receipt) in receipts {
        let stamp = (receipt.erased_ms, receipt.erased_counter, receipt.erased_by);
        by_document.entry(key).or_default().push((stamp, device));
    }
    let all = by_document.into_iter().filter_map(|(document, told)| {
        let stamp = told.iter().map(|(stamp, _)| stamp).max()?.clone();
        // Whoever erased it had it erased before anybody heard of it.
        let done = told.into_iter().filter(|(of, _)| *of == stamp).map(|(_, device)| device);
        let done: BTreeSet<_> = done.chain([stamp.2.clone()]).collect();
        let missing = doors.difference(&done).cloned().collect();
        Some(Erasure { document, stamp, done, missing })
    });
    all.collect()
}

/// Lists them. The answer is no where a door has not said yet that it has erased everything.
pub fn run(context: &Context) -> Result<Answer> {
    let mut console = Console::connect(&settings(context)?)?;
    let receipts =
        console.gather(&["receipts/+/+"])?.into_iter().filter_map(|opened| match (opened.topic, opened.body) {
            (Topic::Receipt(device, key), Body::Receipt(receipt)) => Some((device, key, *receipt)),
            _ => None,
        });
    let receipts: Vec<_> = receipts.collect();
    let registry = console.registry();
    let doors: BTreeSet<Name> = registry
        .vouchers()
        .map(|vouched| &vouched.voucher)
        .filter(|voucher| voucher.role == Role::Door && !voucher.revoked)
        .map(|voucher| voucher.device.clone())
        .collect();
    let mut complete = true;
    for Erasure { document, stamp: (ms, _, by), done, missing } in erasures(receipts, &doors) {
        complete &= missing.is_empty();
        let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        let line = json!({
            "document": document.to_string(), "erased": at.to_string(), "by": by, "erased_at": done, "missing": missing,
        });
        context.out.result(&line, |_| {
            let begun = format!("{document}  {at:.0}, at {by}: erased at {} doors", done.len());
            if missing.is_empty() {
                return format!("{begun}, all of them");
            }
            let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
            format!("{begun}; missing: {}", names.join(", "))
        });
    }
    Ok(if complete { Answer::Yes } else { Answer::No })
}

#[cfg(test)]
mod tests {
    use facegate_fleet::wire::V1;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn receipt(by: &str, key: u8, ms: u64, erased_by: &str) -> (Name, DocumentKey, Receipt) {
        let (erased_ms, erased_counter, erased_by) = (ms, 0, name(erased_by));
        let receipt = Receipt { v: V1, by: name(by), at: 9, erased_ms, erased_counter, erased_by };
        (name(by), DocumentKey::from_bytes([key; 16]), receipt)
    }

    fn names(all: &[&str]) -> BTreeSet<Name> {
        all.iter().map(|text| name(text)).collect()
    }

    #[test]
    fn who_has_erased_something_earlier_has_not_erased_it_now() {
        let doors = names(&["a", "b", "c"]);
        let of = |receipts: Vec<_>| erasures(receipts, &doors);
        // Nobody but who erased it: it is told, and that door is not missing.
        let [only] = &of(vec![receipt("a", 1, 5, "a")])[..] else { panic!("one erasure") };
        assert_eq!((&only.done, &only.missing), (&names(&["a"]), &names(&["b", "c"])));
        // The eraser's own receipt is on its way yet, or it is an older program's, which gives none.
        let [one] = &of(vec![receipt("b", 1, 5, "a"), receipt("c", 1, 5, "a")])[..] else { panic!("one erasure") };
        assert!(one.missing.is_empty() && one.done == doors);
        // Erased again later, at another door.
        let again = of(vec![
            receipt("a", 1, 5, "a"),
            receipt("b", 1, 7, "b"),
            receipt("c", 1, 5, "a"),
            receipt("c", 2, 5, "a"),
        ]);
        assert_eq!(again.len(), 2);
        assert_eq!((&again[0].done, &again[0].missing), (&names(&["b"]), &names(&["a", "c"])));
        assert_eq!((&again[1].done, &again[1].missing), (&names(&["a", "c"]), &names(&["b"])));
    }
}
