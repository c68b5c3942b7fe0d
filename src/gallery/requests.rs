//! Requests that are done once, however often they are sent: what a client does that did not see its answer.
//!
//! A row of `requests` is stored in the transaction that stores the enrolment, so that there is never one without the other,
//! and deleted with it: of somebody who is erased nothing stays, and a request that is sent again then enrols anew. Two rows
//! are kept for each, told apart by their first byte:
//!
//! | key | value |
//! | --- | --- |
//! | 0, tenant u32, digest of the request's key 16 bytes | internal id u64, digest of its content 16 bytes, time i64 in microseconds since 1970; where there were any, the warnings as JSON |
//! | 1, internal id u64 | the first row's key |
//!
//! Digests are keyed with the master key: from the disk alone nobody learns whether a photograph was sent. Rows end after a day.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Gallery,
    enrol::unreadable,
    ids::TenantId,
    record::{Header, microseconds, timestamp},
    store::{View, Writer},
    types::{Enrolment, Warning},
};
use crate::error::{Error, Kind, Result};

/// How long a request counts as done.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Most requests that are remembered, of all tenants together; the oldest go first. No batch may be longer, or its first items would be
/// forgotten before it is sent again.
pub const MOST_REMEMBERED: u64 = 100_000;

/// How many old rows go when a new one comes.
const SWEPT: usize = 8;

const BY_KEY: u8 = 0;
const BY_ID: u8 = 1;

const PURPOSE: &str = "facegate gallery 2026 digest of a request that is done once";

/// A request that is to be done once: its key, and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Once {
    key: [u8; 16],
    content: [u8; 16],
}

/// What came of a request to enrol.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// What is stored.
    pub enrolment: Enrolment,
    /// What looks wrong and was let through all the same.
    pub warnings: Vec<Warning>,
    /// An earlier request that was the same has done it.
    pub before: bool,
}

/// A warning as it lies in a row: whom it is about stands there as the internal id of one of their embeddings, so that of
/// somebody who is erased no name stays.
#[derive(Serialize, Deserialize)]
struct Remembered<'a> {
    code: Cow<'a, str>,
    message: Cow<'a, str>,
    similarity: Option<f32>,
    other: Option<u64>,
}

impl Gallery {
    /// A request with this key, in a space of keys of its own, that says this. Without a key, what it says is its key.
    pub fn once(&self, space: &str, key: Option<&[u8]>, content: &[&[u8]]) -> Once {
        let content = self.request_digest(content);
        Once { key: self.request_digest(&[space.as_bytes(), key.unwrap_or(&content)]), content }
    }

    /// What came of a request, where it was done in the last 24 hours and has not been deleted.
    ///
    /// # Errors
    /// `IdempotencyKeyReused` where its key came with another content.
    pub fn done_before(&self, tenant: &TenantId, once: &Once) -> Result<Option<Done>> {
        let txn = self.store.read()?;
        let Some(row) = self.store.tenant(&txn, tenant)? else { return Ok(None) };
        self.find_request(&txn, row.number, row.slot, once)
    }

    /// The same within a transaction.
    pub(super) fn find_request(&self, txn: &View<'_>, tenant: u32, slot: u32, once: &Once) -> Result<Option<Done>> {
        let row = self.store.requests.get(txn, &by_key(tenant, once))?.and_then(parse);
        let Some(row) = row.filter(|row| !self.is_old(row.time)) else { return Ok(None) };
        if row.content != once.content {
            return Err(Error::new(
                Kind::IdempotencyKeyReused,
                "this Idempotency-Key came with another request before",
            )
            .help("make a new key for each new request"));
        }
        let Some(bytes) = self.store.records.get(txn, &row.id.to_be_bytes())? else { return Ok(None) };
        let Some((header, secret)) = self.open_record(txn, slot, bytes)? else { return Ok(None) };
        let remembered: Vec<Remembered<'_>> = match row.warnings {
            [] => Vec::new(),
            json => serde_json::from_slice(json).map_err(|_| unreadable())?,
        };
        let warnings =
            remembered.into_iter().map(|warning| self.recall(txn, tenant, warning)).collect::<Result<_>>()?;
        Ok(Some(Done { enrolment: header.into_enrolment(secret), warnings, before: true }))
    }

    /// A warning as it was told, as far as whom it is about is still enrolled.
    fn recall(&self, txn: &View<'_>, tenant: u32, warning: Remembered<'_>) -> Result<Warning> {
        let Remembered { code, message, similarity, other } = warning;
        let record = other.map(|id| self.store.records.get(txn, &id.to_be_bytes())).transpose()?.flatten();
        let whose = record.and_then(Header::parse).filter(|(header, _)| header.tenant == tenant);
        let gone = other.is_some() && whose.is_none();
        Ok(Warning {
            code: code.into_owned().into(),
            message: message.into_owned(),
            similarity: similarity.filter(|_| !gone),
            other: whose.map(|(header, _)| header.subject),
        })
    }

    /// Remembers a request within the transaction that does it.
    pub(super) fn put_request(
        &self,
        writer: &mut Writer<'_>,
        header: &Header,
        once: &Once,
        warnings: &[Warning],
    ) -> Result<()> {
        self.sweep_requests(writer)?;
        let key = by_key(header.tenant, once);
        let old = self.store.requests.get(writer.txn(), &key)?.and_then(parse).map(|old| old.id);
        if let Some(old) = old {
            self.store.requests.delete(writer.txn(), &by_id(old))?;
        }
        let mut value = Vec::with_capacity(32);
        value.extend(header.id.to_le_bytes());
        value.extend(once.content);
        value.extend(microseconds(self.clock.wall()).to_le_bytes());
        if !warnings.is_empty() {
            let mut remembered = Vec::with_capacity(warnings.len());
            for Warning { code, message, similarity, other } in warnings {
                let theirs = match other {
                    Some(other) => self.of_subject(writer.txn(), header.tenant, other)?.last().map(|row| row.id),
                    None => None,
                };
                let (code, message) = (code.as_ref().into(), message.as_str().into());
                remembered.push(Remembered { code, message, similarity: *similarity, other: theirs });
            }
            value.extend(serde_json::to_vec(&remembered).map_err(|_| unreadable())?);
        }
        self.store.requests.put(writer.txn(), &key, &value)?;
        Ok(self.store.requests.put(writer.txn(), &by_id(header.id), &key)?)
    }

    /// Forgets the request that made a record, within the transaction that deletes it.
    pub(super) fn drop_request(&self, writer: &mut Writer<'_>, id: u64) -> Result<()> {
        let Some(key) = self.store.requests.get(writer.txn(), &by_id(id))?.map(<[u8]>::to_vec) else { return Ok(()) };
        self.store.requests.delete(writer.txn(), &key)?;
        self.store.requests.delete(writer.txn(), &by_id(id))?;
        Ok(())
    }

    /// Requests that are remembered of records that are not there: none, where all is well.
    pub(super) fn stray_requests(&self, txn: &View<'_>) -> Result<u64> {
        let mut stray = 0;
        for row in self.store.requests.iter(txn)? {
            let (key, value) = row?;
            let id = match key.split_first() {
                Some((&BY_ID, id)) => id.try_into().ok().map(u64::from_be_bytes),
                _ => parse(value).map(|row| row.id),
            };
            let there = match id {
                Some(id) => self.store.records.get(txn, &id.to_be_bytes())?.is_some(),
                None => false,
            };
            stray += u64::from(!there);
        }
        Ok(stray)
    }

    /// Forgets some of the oldest, where they are old or too many. Ids rise, so the oldest come first.
    fn sweep_requests(&self, writer: &mut Writer<'_>) -> Result<()> {
        for _ in 0..SWEPT {
            let txn = writer.txn();
            let oldest = self.store.requests.prefix_iter(txn, &[BY_ID])?.next().transpose()?;
            let Some((by_id, key)) = oldest.map(|(by_id, key)| (by_id.to_vec(), key.to_vec())) else { return Ok(()) };
            let time = self.store.requests.get(txn, &key)?.and_then(parse).map(|row| row.time);
            let too_many = self.store.requests.len(txn)? / 2 >= MOST_REMEMBERED;
            if !too_many && time.is_some_and(|time| !self.is_old(time)) {
                return Ok(());
            }
            self.store.requests.delete(txn, &key)?;
            self.store.requests.delete(txn, &by_id)?;
        }
        Ok(())
    }

    /// By the wall clock. A time ahead of it is not old: the clock was put back.
    fn is_old(&self, time: i64) -> bool {
        self.clock.wall().duration_since(timestamp(time)).unsigned_abs() > KEPT
            && microseconds(self.clock.wall()) > time
    }

    /// Of some parts, told apart by their lengths.
    fn request_digest(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = self.vault.keyed(PURPOSE);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let mut digest = [0; 16];
        hasher.finalize_xof().fill(&mut digest);
        digest
    }
}

struct Row<'a> {
    id: u64,
    content: [u8; 16],
    time: i64,
    /// JSON; empty for none, and in rows of earlier versions.
    warnings: &'a [u8],
}

fn parse(value: &[u8]) -> Option<Row<'_>> {
    let (id, rest) = value.split_first_chunk()?;
    let (content, rest) = rest.split_first_chunk()?;
    let (time, warnings) = rest.split_first_chunk()?;
    Some(Row { id: u64::from_le_bytes(*id), content: *content, time: i64::from_le_bytes(*time), warnings })
}

fn by_key(tenant: u32, once: &Once) -> [u8; 21] {
    let mut key = [BY_KEY; 21];
    key[1..5].copy_from_slice(&tenant.to_be_bytes());
    key[5..].copy_from_slice(&once.key);
    key
}

fn by_id(id: u64) -> [u8; 9] {
    let mut key = [BY_ID; 9];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}
