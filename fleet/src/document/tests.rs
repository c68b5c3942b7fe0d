use proptest::prelude::*;

use super::*;
use crate::{Name, keys::SealingKey};

fn stamp() -> impl Strategy<Value = Stamp> {
    (1u64..40, 0u16..2, 0usize..3).prop_map(|(ms, counter, device)| {
        let device: Name = ["a", "b", "c"][device].parse().expect("a name");
        Stamp::new(ms, counter, device).expect("in range")
    })
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(0u8..3, 0..3).prop_map(Bytes::from)
}

fn lww<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Lww<T>> {
    (stamp(), value).prop_map(|(stamp, value)| Lww { stamp, value })
}

fn embedding() -> impl Strategy<Value = Embedding> {
    (stamp(), bytes(), lww(prop::option::of(bytes()))).prop_map(|(added, template, metadata)| Embedding {
        added,
        fixed: Fixed { created: 5, model: "m".into(), template, quality: 0.5, liveness: None, source: None },
        metadata,
    })
}

fn id() -> impl Strategy<Value = EmbeddingId> {
    (0u8..3).prop_map(|id| [id; 16])
}

/// Whatever doors may have made of one subject, and what no door would.
fn subject() -> impl Strategy<Value = SubjectDocument> {
    let embeddings = prop::collection::btree_map(id(), embedding(), 0..3);
    let removed = prop::collection::btree_map(id(), stamp(), 0..3);
    let active = prop::option::of(lww(any::<bool>()));
    let rules = prop::option::of(lww(prop::option::of(bytes())));
    (prop::option::of(stamp()), active, rules, embeddings, removed).prop_map(
        |(erased, active, rules, embeddings, removed)| {
            let raw = SubjectDocument { erased, active, rules, embeddings, removed, ..SubjectDocument::new("t", "s") };
            // As it would lie anywhere: without what is dead.
            raw.merge(&raw)
        },
    )
}

fn document() -> impl Strategy<Value = Document> {
    subject().prop_map(Document::Subject)
}

fn rules() -> impl Strategy<Value = Document> {
    let value = prop::option::of(lww(prop::option::of(bytes())));
    value.prop_map(|value| Document::Rules(RulesDocument { tenant: "t".into(), name: "plan".into(), value }))
}

fn tenant() -> impl Strategy<Value = Document> {
    (prop::option::of(lww(any::<bool>())), prop::option::of(stamp()))
        .prop_map(|(exists, erased)| Document::Tenant(TenantDocument { tenant: "t".into(), exists, erased }))
}

/// Three documents of one kind.
fn three() -> impl Strategy<Value = [Document; 3]> {
    prop_oneof![
        4 => [document(), document(), document()],
        1 => [rules(), rules(), rules()],
        1 => [tenant(), tenant(), tenant()],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn merging_is_commutative_associative_and_idempotent([one, two, three] in three()) {
        prop_assert_eq!(one.merge(&two), two.merge(&one));
        prop_assert_eq!(one.merge(&two).merge(&three), one.merge(&two.merge(&three)));
        prop_assert_eq!(one.merge(&one), one.clone());
        let both = one.merge(&two);
        prop_assert_eq!(both.merge(&one), both.clone());
    }

    /// A tenant's erasure may come before, between and after its documents.
    #[test]
    fn erasing_a_tenant_and_merging_may_come_in_either_order([one, two, _] in three(), stamp in stamp()) {
        let erased = |document: &Document| {
            let mut document = document.clone();
            document.erase_until(&stamp);
            document
        };
        let last = erased(&one.merge(&two));
        prop_assert_eq!(erased(&erased(&one).merge(&two)), last.clone());
        prop_assert_eq!(erased(&one.merge(&erased(&two))), last.clone());
        prop_assert_eq!(erased(&last), last);
    }

    #[test]
    fn what_is_erased_or_removed_is_in_no_merge([one, two, _] in three()) {
        if let (Document::Subject(one), Document::Subject(two), Document::Subject(both)) = (&one, &two, one.merge(&two)) {
            for part in [one, two] {
                for (id, stamp) in part.removed.iter().chain(part.embeddings.keys().filter_map(|id| part.erased.as_ref().map(|erased| (id, erased)))) {
                    prop_assert!(both.embeddings.get(id).is_none_or(|embedding| embedding.added > *stamp));
                }
                if let Some(erased) = &part.erased {
                    prop_assert!(both.embeddings.values().all(|embedding| embedding.added > *erased));
                }
            }
            prop_assert_eq!(both.owner.is_some(), both.is_alive());
        }
    }

    #[test]
    fn a_document_is_the_same_when_it_is_written_and_read([one, two, _] in three()) {
        let bytes = one.to_bytes().unwrap();
        prop_assert_eq!(Document::from_bytes(&bytes).unwrap(), one.clone());
        let key = one.key(&SealingKey::from_bytes([1; 32])).unwrap_or(DocumentKey::from_bytes([2; 16]));
        let removed_aside = |document: &Document| {
            let mut document = document.clone();
            if let Document::Subject(subject) = &mut document {
                subject.removed.clear();
            }
            document
        };
        let alike = removed_aside(&one) == removed_aside(&two) || (!one.is_alive() && !two.is_alive());
        prop_assert_eq!(one.hash(&key) == two.hash(&key), alike);
        prop_assert!(!one.is_alive() || one.hash(&key) != one.hash(&DocumentKey::from_bytes([3; 16])));
    }

    /// Bytes that are cut, bent or made up are a document or an error; never a panic, never much memory.
    #[test]
    fn bytes_that_are_no_document_are_refused([one, _, _] in three(), at: prop::sample::Index, bit in 0u8..8, cut: bool) {
        let mut bytes = one.to_bytes().unwrap().to_vec();
        let place = at.index(bytes.len());
        if cut {
            bytes.truncate(place);
            prop_assert!(Document::from_bytes(&bytes).is_err());
        } else {
            bytes[place] ^= 1 << bit;
            if let Ok(bent) = Document::from_bytes(&bytes) {
                bent.to_bytes().unwrap();
            }
        }
    }

    #[test]
    fn whatever_arrives_the_store_ends_up_with_the_merge([own, arrived, _] in three(), oldest in 0u64..50) {
        let merged = apply(Some(&own), &arrived, None, oldest);
        let mut seen = arrived.clone();
        seen.prune(oldest);
        prop_assert_eq!(merged.changed, merged.document != own);
        if oldest == 0 {
            prop_assert_eq!(&merged.document, &own.merge(&arrived));
            prop_assert!(!apply(Some(&merged.document), &arrived, None, 0).changed);
        }
        prop_assert_eq!(merged.ahead, merged.document != seen);
        // What a tombstone has removed is gone, whether or not it is still remembered.
        if let (Document::Subject(arrived), Document::Subject(now)) = (&arrived, &merged.document) {
            for (id, stamp) in &arrived.removed {
                prop_assert!(now.embeddings.get(id).is_none_or(|embedding| embedding.added > *stamp));
            }
        }
    }
}

#[test]
fn limits_are_kept() {
    let mut subject = SubjectDocument::new("t", "s");
    let stamp = Stamp::new(1, 0, "a".parse().unwrap()).unwrap();
    let fixed = Fixed {
        created: 0,
        model: "m".into(),
        template: vec![0; 1024].into(),
        quality: 0.5,
        liveness: None,
        source: None,
    };
    let embedding = Embedding { added: stamp.clone(), fixed, metadata: Lww { stamp: stamp.clone(), value: None } };
    for number in 0..200u8 {
        let before = Document::Subject(subject.clone());
        subject.add([number; 16], embedding.clone());
        if Document::Subject(subject.clone()).to_bytes().is_err() {
            assert!((75..120).contains(&number), "{number}");
            assert!(before.to_bytes().is_ok());
            break;
        }
        assert_ne!(number, 199);
    }
    let with = |change: &dyn Fn(&mut SubjectDocument)| {
        let mut subject = SubjectDocument::new("t", "s");
        subject.add([1; 16], embedding.clone());
        change(&mut subject);
        Document::Subject(subject).to_bytes()
    };
    assert!(with(&|_| {}).is_ok());
    assert!(with(&|subject| subject.owner = None).is_err());
    assert!(with(&|subject| subject.owner.as_mut().unwrap().subject = "x".repeat(257)).is_err());
    assert!(with(&|subject| subject.owner.as_mut().unwrap().tenant = "a\0b".into()).is_err());
    let of = |subject: &mut SubjectDocument, change: &dyn Fn(&mut Fixed)| {
        change(&mut subject.embeddings.get_mut(&[1; 16]).unwrap().fixed);
    };
    assert!(with(&|subject| of(subject, &|fixed| fixed.quality = f32::NAN)).is_err());
    assert!(with(&|subject| of(subject, &|fixed| fixed.liveness = Some(1.5))).is_err());
    assert!(with(&|subject| of(subject, &|fixed| fixed.template = vec![0; 4097].into())).is_err());
    assert!(with(&|subject| of(subject, &|fixed| fixed.model.clear())).is_err());
    assert!(with(&|subject| of(subject, &|fixed| fixed.source = Some("x".repeat(257)))).is_err());
}

#[test]
fn a_person_that_was_erased_leaves_no_name_and_can_come_again() {
    let at = |ms| Stamp::new(ms, 0, "a".parse().unwrap()).unwrap();
    let fixed = Fixed {
        created: 0,
        model: "m".into(),
        template: vec![7; 4].into(),
        quality: 0.5,
        liveness: None,
        source: None,
    };
    let embedding =
        |ms| Embedding { added: at(ms), fixed: fixed.clone(), metadata: Lww { stamp: at(ms), value: None } };
    let mut subject = SubjectDocument::new("acme", "mara");
    subject.add([1; 16], embedding(1));
    let before = Document::Subject(subject.clone());
    subject.erase(at(5));
    let erased = Document::Subject(subject.clone());
    assert!(!erased.to_bytes().unwrap().windows(4).any(|bytes| bytes == b"mara" || bytes == [7; 4]));
    assert_eq!(erased.merge(&before), erased, "and what arrives late changes nothing");
    assert!(!erased.is_spent(5) && erased.is_spent(6), "until it is forgotten");
    subject.owner = Some(Owner { tenant: "acme".into(), subject: "mara".into() });
    subject.add([2; 16], embedding(6));
    let again = Document::Subject(subject).merge(&before);
    assert!(matches!(&again, Document::Subject(subject) if subject.embeddings.len() == 1 && subject.owner.is_some()));
}
