//! Who cannot be matched any more, since all embeddings are another recogniser's.

use super::{
    Gallery,
    enrol::{internal_id, unreadable},
    ids::{SubjectId, TenantId},
    record::Header,
};
use crate::error::Result;

/// Bytes of an embedding's id at the end of a row's key.
const ID: usize = 16;

impl Gallery {
    /// Everybody who has embeddings, and none of the loaded recogniser's: they need enrolling again. By tenant, then by
    /// subject; of one tenant, or of all. Reads every record's header: some milliseconds for 10,000 faces.
    ///
    /// # Errors
    /// `Store` where a row cannot be read.
    pub fn to_enrol_again(&self, tenant: Option<&TenantId>) -> Result<Vec<(TenantId, SubjectId)>> {
        let txn = self.store.read()?;
        let mut all = Vec::new();
        for row in self.store.all_tenants(&txn)? {
            if tenant.is_some_and(|tenant| *tenant != row.name) {
                continue;
            }
            let mut last: Option<(Vec<u8>, bool)> = None;
            let mut done = |subject: Option<(Vec<u8>, bool)>| -> Result<()> {
                if let Some((subject, false)) = subject {
                    let name = std::str::from_utf8(&subject).map_err(|_| unreadable())?;
                    all.push((row.name.clone(), name.parse()?));
                }
                Ok(())
            };
            for entry in self.store.subjects.prefix_iter(&txn, &row.number.to_be_bytes())? {
                let (key, value) = entry?;
                // The tenant's number, the subject's id, a zero byte, the embedding's id.
                let subject = key.get(4..key.len().saturating_sub(ID + 1)).ok_or_else(unreadable)?;
                if last.as_ref().is_none_or(|(last, _)| last != subject) {
                    done(last.replace((subject.to_vec(), false)))?;
                }
                let Some((_, ours)) = last.as_mut().filter(|(_, ours)| !*ours) else { continue };
                let id = internal_id(value.get(..8).ok_or_else(unreadable)?)?;
                let record = self.store.records.get(&txn, &id.to_be_bytes())?.ok_or_else(unreadable)?;
                *ours = Header::parse(record).is_some_and(|(header, _)| header.model == self.model);
            }
            done(last)?;
        }
        Ok(all)
    }
}
