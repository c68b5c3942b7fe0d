//! Reading the file.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use super::{FORMAT, LONGEST_LINE, Line, Portable, template};
use crate::{
    error::{Error, Kind, Result},
    gallery::{
        Gallery,
        enrol::{check_score, check_source, id_key},
        ids::{SubjectId, TenantId},
        record::{Header, Secret, microseconds},
        seal::new_secret,
        store::{Room, Tenant, Writer},
    },
};

/// Lines that are stored in one transaction.
const AT_ONCE: usize = 256;

/// Most subjects that are suspended before their embeddings come. It bounds the memory.
const MOST_SUSPENDED: usize = 100_000;

/// How far clocks of two boards may be apart.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Most verifications of an embedding: what readers of JSON take for a whole number.
const MOST_VERIFICATIONS: u64 = 1 << 53;

/// What an import came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Embeddings that are stored now and were not before.
    pub imported: u64,
    /// Embeddings that were there already; they stay as they are.
    pub already_there: u64,
    /// Of the imported ones, those of another recogniser than the loaded one: they are kept and listed, never matched.
    pub foreign: u64,
    /// Subjects that were suspended.
    pub suspended: u64,
}

/// A file on its way into a tenant's gallery.
///
/// What it has taken is stored even where the file turns out to be cut: taken in again, it goes on, for what is there already is
/// passed over.
pub struct Import {
    gallery: Arc<Gallery>,
    tenant: TenantId,
    digest: blake3::Hasher,
    /// The number of the line that is read next, from 1.
    line: u64,
    /// What is not stored yet, each with the number of its line.
    waiting: Vec<(u64, Portable)>,
    /// Whom the file suspends and of whom nothing has come yet. Each is suspended together with the first embedding of it:
    /// where the file breaks off before, nobody is suspended whom no call shows.
    suspended: BTreeSet<SubjectId>,
    embeddings: u64,
    so_far: Imported,
    ended: bool,
}

impl Import {
    /// Into a tenant, who must be there. The file may be another tenant's.
    ///
    /// # Errors
    /// `NotFound` where there is no such tenant.
    pub fn new(gallery: Arc<Gallery>, tenant: TenantId) -> Result<Self> {
        gallery.existing(&*gallery.store.read()?, &tenant)?;
        Ok(Self {
            gallery,
            tenant,
            digest: blake3::Hasher::new(),
            line: 1,
            waiting: Vec::new(),
            suspended: BTreeSet::new(),
            embeddings: 0,
            so_far: Imported::default(),
            ended: false,
        })
    }

    /// Takes the next line, without its end.
    ///
    /// # Errors
    /// `InvalidField` where it is no line of an export, damaged, or not what may come here, with its number;
    /// `CapacityReached`, `StorageFull`. What came before is stored where there is room.
    pub fn take(&mut self, line: &[u8]) -> Result<()> {
        let number = self.line;
        self.line += 1;
        let line = self.read_line(line).map_err(|error| {
            // Where that fails too, it is the first error that is to be told.
            let _ = self.store();
            error.within(&format!("line {number}"))
        })?;
        match line {
            Line::Start { .. } => Ok(()),
            Line::Suspended { subject_id } => {
                self.suspended.insert(subject_id);
                Ok(())
            }
            Line::Embedding(portable) => {
                self.embeddings += 1;
                self.waiting.push((number, *portable));
                if self.waiting.len() < AT_ONCE { Ok(()) } else { self.store() }
            }
            Line::End { .. } => {
                self.ended = true;
                self.store()?;
                self.suspend_the_rest()
            }
        }
    }

    /// What is stored.
    pub fn so_far(&self) -> Imported {
        self.so_far
    }

    /// Ends the import.
    ///
    /// # Errors
    /// `InvalidField` where the file has no end: it was cut.
    pub fn finish(&mut self) -> Result<Imported> {
        self.store()?;
        if self.ended {
            return Ok(self.so_far);
        }
        Err(Error::new(Kind::InvalidField, "the file is cut: its last line is missing")
            .help("what it has is stored; take in the whole file to go on"))
    }

    /// Reads a line, which must be one that may come here.
    fn read_line(&mut self, bytes: &[u8]) -> Result<Line> {
        if bytes.len() > LONGEST_LINE {
            return Err(refused(&format!("it is longer than {LONGEST_LINE} bytes")));
        }
        if self.ended {
            return Err(refused("it stands behind the end"));
        }
        let line = Line::read(bytes)?;
        if let Line::End { embeddings, digest } = &line {
            let all = self.digest.finalize().to_hex();
            if *embeddings != self.embeddings || *digest != all.as_str() {
                return Err(refused("lines before it are missing, were added or stand elsewhere"));
            }
        }
        self.digest.update(bytes).update(b"\n");
        match (&line, self.line) {
            (Line::Start { format: FORMAT, .. }, 2) => Ok(line),
            (Line::Start { format, .. }, 2) => {
                Err(refused(&format!("the file has form {format}, this version reads {FORMAT}")))
            }
            (Line::Start { .. }, _) => Err(refused("another file begins here")),
            (_, 2) => Err(refused("the file does not begin with its start")),
            (Line::Suspended { .. }, _) if self.suspended.len() >= MOST_SUSPENDED => {
                Err(refused(&format!("more than {MOST_SUSPENDED} subjects are suspended before their embeddings come")))
            }
            _ => Ok(line),
        }
    }

    /// Suspends whom the file suspends without an embedding of them: those who are enrolled here all the same.
    fn suspend_the_rest(&mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.suspended);
        if rest.is_empty() {
            return Ok(());
        }
        let mut writer = self.gallery.write()?;
        let row = self.gallery.existing(writer.txn(), &self.tenant)?;
        let mut done = self.so_far;
        for subject in &rest {
            if !self.gallery.of_subject(writer.txn(), row.number, subject)?.is_empty() {
                self.gallery.suspend(&mut writer, row.number, subject)?;
                self.gallery.replicate(&mut writer, &row, subject)?;
                done.suspended += 1;
            }
        }
        writer.commit(Room::Configured)?;
        self.so_far = done;
        self.gallery.catch_up().map(drop)
    }

    /// Stores what waits. Of what cannot be stored the first is told, by its line, and what stands before it is stored.
    fn store(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut at = 0;
        self.store_these(&waiting, &mut at).map_err(|error| {
            let Some((number, _)) = waiting.get(at) else { return error };
            // Where that fails too, it is the first error that is to be told.
            let _ = self.store_these(&waiting[..at], &mut 0);
            error.within(&format!("line {number}"))
        })
    }

    /// Stores these, all or none; `at` is the one that is worked on, and none of them where it is the whole that fails.
    fn store_these(&mut self, waiting: &[(u64, Portable)], at: &mut usize) -> Result<()> {
        if waiting.is_empty() {
            return Ok(());
        }
        *at = waiting.len();
        let gallery = Arc::clone(&self.gallery);
        let mut writer = gallery.write()?;
        let mut row = gallery.existing(writer.txn(), &self.tenant)?;
        let mut done = self.so_far;
        let subjects: BTreeSet<_> = waiting.iter().map(|(_, portable)| portable.subject_id.clone()).collect();
        // Before the first embedding of it is stored: so it is never active, not for a moment.
        for subject in subjects.intersection(&self.suspended) {
            gallery.suspend(&mut writer, row.number, subject)?;
            done.suspended += 1;
        }
        for (number, (_, portable)) in waiting.iter().enumerate() {
            *at = number;
            let foreign = portable.model != gallery.model;
            if gallery.store_portable(&mut writer, &mut row, portable)? {
                done.imported += 1;
                done.foreign += u64::from(foreign);
            } else {
                done.already_there += 1;
            }
        }
        *at = waiting.len();
        let mut slots = Vec::new();
        for subject in &subjects {
            gallery.make_room(&mut writer, &row, subject, &mut slots)?;
            gallery.replicate(&mut writer, &row, subject)?;
        }
        writer.commit(Room::Configured)?;
        self.so_far = done;
        self.suspended.retain(|subject| !subjects.contains(subject));
        let caught_up = gallery.catch_up();
        gallery.store.erase_free(&gallery.vault.slots, slots)?;
        caught_up.map(drop)
    }
}

impl Gallery {
    /// Whether it was not there.
    fn store_portable(&self, writer: &mut Writer<'_>, row: &mut Tenant, portable: &Portable) -> Result<bool> {
        let within = |error: Error| error.within(&format!("embedding {}", portable.id));
        if self.store.ids.get(writer.txn(), &id_key(row.number, &portable.id))?.is_some() {
            return Ok(false);
        }
        check_score("quality_score", portable.quality_score).map_err(within)?;
        portable.liveness_score.map_or(Ok(()), |score| check_score("liveness_score", score)).map_err(within)?;
        check_source(portable.enrollment_source.as_deref()).map_err(within)?;
        portable.metadata.as_ref().map_or(Ok(()), |metadata| self.check_metadata_size(metadata)).map_err(within)?;
        let embedding = template(&portable.embedding).ok_or_else(|| within(refused("its template is none")))?;
        if portable.model.is_empty() {
            return Err(within(refused("it names no model")));
        }
        self.check_times(portable).map_err(within)?;
        if portable.verification_count > MOST_VERIFICATIONS {
            return Err(within(refused(&format!("its verification_count is more than {MOST_VERIFICATIONS}"))));
        }
        let secret =
            Secret { embedding, source: portable.enrollment_source.clone(), metadata: portable.metadata.clone() };
        let header = Header {
            active: portable.active && !self.is_suspended(writer.txn(), row.number, &portable.subject_id)?,
            verification_count: portable.verification_count,
            last_verified: portable.last_verified_at.map(microseconds),
            tenant: row.number,
            id: writer.next("next_id")?,
            embedding: portable.id,
            slot: writer.take_slot(&*new_secret()?)?,
            created: microseconds(portable.created_at),
            quality: portable.quality_score,
            liveness: portable.liveness_score,
            model: portable.model.clone(),
            subject: portable.subject_id.clone(),
        };
        self.check_max_faces(writer.txn(), row.number)?;
        self.put_record(writer, row, &header, &secret.to_bytes()?)?;
        self.retire(writer, row.number, &header.subject)?;
        Ok(true)
    }

    /// A record from a future would have the daemon believe that its clock is not set, and schedules let nobody in.
    fn check_times(&self, portable: &Portable) -> Result<()> {
        let latest = self.clock.wall().saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
        let times = [("created_at", Some(portable.created_at)), ("last_verified_at", portable.last_verified_at)];
        for (name, time) in times {
            if time.is_some_and(|time| !(Timestamp::UNIX_EPOCH..=latest).contains(&time)) {
                let error = refused(&format!("its {name} is before 1970 or ahead of this board's clock"));
                return Err(error.help("check the clock of the board that made the file, and of this one"));
            }
        }
        Ok(())
    }
}

fn refused(what: &str) -> Error {
    Error::new(Kind::InvalidField, what.to_owned())
}
