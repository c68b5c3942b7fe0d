//! A document put together: stamps from its state, everything else from where it lies.

use std::collections::BTreeMap;

use facegate_fleet::document::{Bytes, Document, Embedding, EmbeddingId, Fixed, Lww, RulesDocument, SubjectDocument};
use zeroize::Zeroizing;

use super::state::{RulesState, State, SubjectState};
use crate::{
    error::Result,
    gallery::{
        Gallery,
        access::{OF_ALL, Of, Row, key},
        enrol::id_key,
        ids::{SubjectId, TenantId},
        record::{Header, Plain},
        store::{Tenant, View},
    },
};

impl Gallery {
    /// The document of a state. What cannot be opened is left out, so that another door's copy takes its place.
    pub(super) fn compose(&self, txn: &View<'_>, state: &State) -> Result<Document> {
        Ok(match state {
            State::Subject(subject) => Document::Subject(self.compose_subject(txn, subject)?),
            State::Rules(rules) => Document::Rules(self.compose_rules(txn, rules)?),
            State::Tenant(tenant) => Document::Tenant(tenant.clone()),
        })
    }

    fn compose_subject(&self, txn: &View<'_>, state: &SubjectState) -> Result<SubjectDocument> {
        let mut document = SubjectDocument {
            owner: state.owner.clone(),
            erased: state.erased.clone(),
            active: state.active.clone(),
            rules: None,
            embeddings: BTreeMap::new(),
            removed: state.removed.clone(),
        };
        let Some(owner) = &state.owner else { return Ok(document) };
        let tenant = self.tenant_named(txn, &owner.tenant)?;
        if let Some(rules) = &state.rules {
            let value = match &tenant {
                Some(tenant) => self.rules_of(txn, tenant, &owner.subject)?,
                None => None,
            };
            document.rules = Some(Lww { stamp: rules.stamp.clone(), value: value.map(bytes) });
        }
        let Some(tenant) = tenant else { return Ok(document) };
        for (id, known) in &state.embeddings {
            let Some((header, plain)) = self.stored_embedding(txn, &tenant, id)? else { continue };
            let Some(plain) = Plain::parse(&plain) else { continue };
            let embedding = Embedding {
                added: known.added.clone(),
                fixed: Fixed {
                    created: header.created,
                    model: header.model,
                    template: Bytes::from(plain.template.to_vec()),
                    quality: header.quality,
                    liveness: header.liveness,
                    source: plain.source.map(str::to_owned),
                },
                metadata: Lww {
                    stamp: known.metadata.stamp.clone(),
                    value: (!plain.metadata.is_empty()).then(|| Bytes::from(plain.metadata.to_vec())),
                },
            };
            document.embeddings.insert(*id, embedding);
        }
        Ok(document)
    }

    fn compose_rules(&self, txn: &View<'_>, state: &RulesState) -> Result<RulesDocument> {
        let value = match (&state.value, self.tenant_named(txn, &state.tenant)?) {
            (Some(known), tenant) => {
                let written = tenant.map(|tenant| self.plan_of(txn, &tenant)).transpose()?.flatten();
                Some(Lww { stamp: known.stamp.clone(), value: written.map(bytes) })
            }
            (None, _) => None,
        };
        Ok(RulesDocument { tenant: state.tenant.clone(), name: state.name.clone(), value })
    }

    /// A record by its embedding's id, unsealed. `None` where there is none, or it cannot be opened.
    pub(super) fn stored_embedding(
        &self,
        txn: &View<'_>,
        tenant: &Tenant,
        id: &EmbeddingId,
    ) -> Result<Option<(Header, Zeroizing<Vec<u8>>)>> {
        let internal = self.store.ids.get(txn, &id_key(tenant.number, &(*id).into()))?;
        let Some(internal) = internal.and_then(|id| <[u8; 8]>::try_from(id).ok()).map(u64::from_le_bytes) else {
            return Ok(None);
        };
        match self.store.records.get(txn, &internal.to_be_bytes())? {
            Some(record) => self.unseal_record(tenant.slot, record),
            None => Ok(None),
        }
    }

    /// The rules of a subject, as they are written.
    pub(super) fn rules_of(
        &self,
        txn: &View<'_>,
        tenant: &Tenant,
        subject: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>> {
        self.written(txn, tenant, self.digest(tenant.number, subject))
    }

    /// A tenant's rules but those of subjects, as they are written.
    pub(super) fn plan_of(&self, txn: &View<'_>, tenant: &Tenant) -> Result<Option<Zeroizing<Vec<u8>>>> {
        self.written(txn, tenant, OF_ALL)
    }

    fn written(&self, txn: &View<'_>, tenant: &Tenant, digest: u64) -> Result<Option<Zeroizing<Vec<u8>>>> {
        match self.row(txn, Of::Rules, &key(tenant.number, digest))? {
            Row::Readable(plain) => Ok(Some(plain)),
            Row::Missing | Row::Unreadable => Ok(None),
        }
    }

    /// The row of a tenant; `None` where there is none of this name, or it is no name.
    pub(super) fn tenant_named(&self, txn: &View<'_>, name: &str) -> Result<Option<Tenant>> {
        match name.parse::<TenantId>() {
            Ok(name) => self.store.tenant(txn, &name),
            Err(_) => Ok(None),
        }
    }
}

fn bytes(plain: Zeroizing<Vec<u8>>) -> Bytes {
    Bytes::from(plain.to_vec())
}

/// A subject's name; it was one when it was stored.
pub(super) fn subject_named(name: &str) -> Option<SubjectId> {
    name.parse().ok()
}
