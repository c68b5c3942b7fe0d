//! Writing the file.

use std::sync::Arc;

use super::{FORMAT, Line, Portable, written};
use crate::{
    error::Result,
    gallery::{
        Gallery,
        ids::{EmbeddingId, SubjectId, TenantId},
        record::{Header, Secret},
    },
};

/// Embeddings of a chunk: some 2 kB each.
const AT_ONCE: usize = 256;

/// A tenant's file in the making, a chunk at a time: memory holds one of them.
///
/// What is enrolled or deleted meanwhile may be in it or not; each embedding that is, is whole.
pub struct Export {
    gallery: Arc<Gallery>,
    tenant: TenantId,
    digest: blake3::Hasher,
    embeddings: u64,
    next: Part,
}

enum Part {
    Start,
    Suspended { after: Option<SubjectId> },
    Embeddings { after: Option<EmbeddingId> },
    Done,
}

impl Export {
    /// The file of a tenant, who must be there.
    ///
    /// # Errors
    /// `NotFound` where there is no such tenant.
    pub fn new(gallery: Arc<Gallery>, tenant: TenantId) -> Result<Self> {
        gallery.existing(&*gallery.store.read()?, &tenant)?;
        Ok(Self { gallery, tenant, digest: blake3::Hasher::new(), embeddings: 0, next: Part::Start })
    }

    /// How many embeddings it has so far.
    pub fn embeddings(&self) -> u64 {
        self.embeddings
    }

    /// The next chunk, whole lines; `None` behind the last one.
    ///
    /// # Errors
    /// `Store` where something cannot be read: then there is no whole file.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let lines = match &self.next {
            Part::Start => self.start(),
            Part::Suspended { after } => self.suspended(after.clone())?,
            Part::Embeddings { after } => self.some(*after)?,
            Part::Done => return Ok(None),
        };
        let mut chunk = Vec::new();
        for line in lines {
            let bytes = line.to_bytes()?;
            self.digest.update(&bytes);
            chunk.extend_from_slice(&bytes);
        }
        Ok(Some(chunk))
    }

    fn start(&mut self) -> Vec<Line> {
        self.next = Part::Suspended { after: None };
        vec![Line::Start {
            format: FORMAT,
            tenant: self.tenant.clone(),
            model: self.gallery.model.clone(),
            made_at: self.gallery.clock.wall(),
        }]
    }

    fn suspended(&mut self, after: Option<SubjectId>) -> Result<Vec<Line>> {
        let (subjects, more) = self.gallery.suspended(&self.tenant, after.as_ref(), AT_ONCE)?;
        self.next = match subjects.last() {
            Some(last) if more => Part::Suspended { after: Some(last.clone()) },
            _ => Part::Embeddings { after: None },
        };
        Ok(subjects.into_iter().map(|subject_id| Line::Suspended { subject_id }).collect())
    }

    fn some(&mut self, after: Option<EmbeddingId>) -> Result<Vec<Line>> {
        let mut found = Vec::new();
        let next = self.gallery.walk(&self.tenant, after, AT_ONCE, |header, secret| found.push((header, secret)))?;
        self.embeddings += found.len() as u64;
        let mut lines: Vec<_> = found.into_iter().map(|(header, secret)| portable(header, secret)).collect();
        self.next = match next {
            Some(after) => Part::Embeddings { after: Some(after) },
            None => {
                // The digest is of what stands before the end, these lines too.
                let mut digest = self.digest.clone();
                for line in &lines {
                    digest.update(&line.to_bytes()?);
                }
                lines.push(Line::End { embeddings: self.embeddings, digest: digest.finalize().to_hex().to_string() });
                Part::Done
            }
        };
        Ok(lines)
    }
}

fn portable(header: Header, secret: Secret) -> Line {
    let embedding = written(&secret.embedding);
    let enrolment = header.into_enrolment(secret);
    Line::Embedding(Box::new(Portable {
        id: enrolment.id,
        subject_id: enrolment.subject,
        model: enrolment.model,
        embedding,
        quality_score: enrolment.quality_score,
        liveness_score: enrolment.liveness_score,
        enrollment_source: enrolment.source,
        metadata: enrolment.metadata,
        created_at: enrolment.created_at,
        active: enrolment.active,
        verification_count: enrolment.verification_count,
        last_verified_at: enrolment.last_verified_at,
    }))
}
