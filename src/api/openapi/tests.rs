use std::collections::BTreeSet;

use super::*;

#[test]
fn the_document_is_made() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let _: BTreeSet<u8> = BTreeSet::new();
}
