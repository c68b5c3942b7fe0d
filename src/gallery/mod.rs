//! Who is enrolled.

mod ids;
mod types;

use std::sync::Arc;

pub use self::{
    ids::{EmbeddingId, MAX_SUBJECT_BYTES, MAX_TENANT_BYTES, SubjectId, TenantId},
    types::{CheckReport, Enrolment, Finding, KeyInfo, ListFilter, Match, NewEnrolment, NewKey, Page, Settings, Stats},
};
use crate::{clock::Clock, error::Result, vision::Embedding};

/// The enrolled faces of all tenants, and the API keys. Share it by `Arc`; all calls but `best_two` may wait for the disk.
pub struct Gallery {}

#[allow(unused_variables, clippy::todo)]
impl Gallery {
    /// Opens the store, making it where there is none, and builds the indexes.
    pub fn open(settings: &Settings, model_id: &str, clock: Arc<dyn Clock>) -> Result<Gallery> {
        todo!()
    }
    /// Stores a face.
    pub fn enroll(&self, tenant: &TenantId, new: NewEnrolment) -> Result<Enrolment> {
        todo!()
    }
    /// The best embedding of each subject.
    pub fn search(&self, tenant: &TenantId, probe: &Embedding, limit: usize, least_cosine: f32) -> Result<Vec<Match>> {
        todo!()
    }
    /// The best two subjects, from memory alone.
    pub fn best_two(&self, tenant: &TenantId, probe: &Embedding) -> Result<Vec<(SubjectId, EmbeddingId, f32)>> {
        todo!()
    }
    /// The best active embedding of a subject.
    pub fn compare(&self, tenant: &TenantId, subject: &SubjectId, probe: &Embedding) -> Result<Match> {
        todo!()
    }
    /// Counts a verification that succeeded.
    pub fn record_verification(&self, tenant: &TenantId, id: &EmbeddingId) -> Result<()> {
        todo!()
    }
    /// A page of enrolments.
    pub fn list(&self, tenant: &TenantId, filter: &ListFilter) -> Result<Page> {
        todo!()
    }
    /// Deletes one embedding.
    pub fn delete_embedding(&self, tenant: &TenantId, id: &EmbeddingId) -> Result<()> {
        todo!()
    }
    /// Deletes all embeddings of a subject; how many there were.
    pub fn delete_subject(&self, tenant: &TenantId, subject: &SubjectId) -> Result<usize> {
        todo!()
    }
    /// Deletes all embeddings of a tenant; how many there were.
    pub fn delete_all(&self, tenant: &TenantId) -> Result<usize> {
        todo!()
    }
    /// Takes in what another process committed; whether there was anything.
    pub fn refresh(&self) -> Result<bool> {
        todo!()
    }
    /// Compares store and index.
    pub fn check(&self) -> Result<CheckReport> {
        todo!()
    }
    /// How full the gallery is.
    pub fn stats(&self) -> Result<Stats> {
        todo!()
    }
    /// Makes an API key.
    pub fn add_key(&self, tenant: &TenantId, label: Option<&str>) -> Result<NewKey> {
        todo!()
    }
    /// The valid keys.
    pub fn keys(&self) -> Result<Vec<KeyInfo>> {
        todo!()
    }
    /// Makes a key invalid.
    pub fn revoke_key(&self, id: &str) -> Result<()> {
        todo!()
    }
    /// Whose key this is.
    pub fn authenticate(&self, secret: &str) -> Result<TenantId> {
        todo!()
    }
}
