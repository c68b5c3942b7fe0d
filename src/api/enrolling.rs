//! One enrolment, from what a client sent to what is stored: for a call that enrols one face, and for one that enrols many.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::{
    State, blocking,
    cache::{For, Known},
    error::Failure,
    values::Values,
};
use crate::{
    enrolment::Warning,
    error::{Error, Kind, Result},
    gallery::{Done, Enrolment, NewEnrolment, Once, SubjectId, TenantId},
};

/// Longest `enrollment_source`, in bytes.
const LONGEST_SOURCE: usize = 256;

/// A face to be enrolled, as a client asks for it.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) subject: SubjectId,
    /// As given; else it is measured.
    pub(super) quality: Option<f64>,
    pub(super) liveness: Option<f64>,
    pub(super) source: Option<String>,
    pub(super) metadata: Option<Map<String, Value>>,
    /// Whether the face must look like a living person's, whatever the configuration asks for.
    pub(super) require_liveness: bool,
    pub(super) image: Vec<u8>,
}

impl Wanted {
    /// The fields that it is read from, beside the image.
    pub(super) const FIELDS: &'static [&'static str] =
        &["subject_id", "quality_score", "liveness_score", "enrollment_source", "metadata", "require_liveness"];

    /// Reads whose face it is.
    ///
    /// # Errors
    /// `MissingField`, `InvalidField`.
    pub(super) fn whose(values: &Values) -> Result<SubjectId> {
        let subject = values.subject("subject_id")?;
        subject.ok_or_else(|| Error::new(Kind::MissingField, "subject_id is required: your own id of the person"))
    }

    /// Reads all of it. What is wrong with the image is told last.
    ///
    /// # Errors
    /// `MissingField`, `InvalidField`, `InvalidMetadata`, and that of the image.
    pub(super) fn read(values: &Values, image: Result<Vec<u8>>) -> Result<Self> {
        Ok(Self {
            subject: Self::whose(values)?,
            quality: values.fraction("quality_score")?,
            liveness: values.fraction("liveness_score")?,
            source: values.label("enrollment_source", LONGEST_SOURCE)?,
            metadata: values.metadata("metadata")?,
            require_liveness: values.flag("require_liveness")?.unwrap_or_default(),
            image: image?,
        })
    }

    /// The request that it is: by a key of the client's, or by all that it says.
    pub(super) fn once(&self, state: &State, space: &str, key: Option<&[u8]>) -> Once {
        let number = |given: Option<f64>| given.map_or_else(Vec::new, |given| given.to_bits().to_le_bytes().to_vec());
        let (quality, liveness) = (number(self.quality), number(self.liveness));
        let metadata = self.metadata.as_ref().map(|metadata| serde_json::to_vec(metadata).unwrap_or_default());
        // Absent and empty are not the same.
        let mut given = [self.source.is_some(), self.metadata.is_some()].map(u8::from).to_vec();
        // Where it is not asked for, a request is what it was before this could be asked.
        given.extend(self.require_liveness.then_some(1));
        let source = self.source.as_deref().unwrap_or_default();
        let content: [&[u8]; 7] = [
            self.subject.as_str().as_bytes(),
            &quality,
            &liveness,
            &given,
            source.as_bytes(),
            metadata.as_deref().unwrap_or_default(),
            &self.image,
        ];
        state.gallery.once(space, key, &content)
    }
}

/// What came of it.
pub(super) struct Enrolled {
    pub(super) enrolment: Enrolment,
    /// It was enrolled by an earlier request that was the same.
    pub(super) repeated: bool,
    /// Whether the photograph was known; `None` where nobody looked.
    pub(super) known: Option<Known>,
    /// What looks wrong and was let through all the same.
    pub(super) warnings: Vec<Warning>,
}

/// Enrols a face. What `once` names is done once, however often it is asked for. `paid` is waited for before the photograph is
/// looked at, and not at all where nobody looks.
///
/// # Errors
/// Those of `paid`, of the recognition, of the [`enrolment`] settings and of
/// [`Gallery::enroll_in`](crate::gallery::Gallery::enroll_in); `RequestInProgress` where the same is under way.
///
/// [`enrolment`]: crate::enrolment
pub(super) async fn enrol(
    state: &Arc<State>,
    tenant: &TenantId,
    wanted: Wanted,
    once: Option<Once>,
    paid: impl Future<Output = Result<()>>,
) -> Result<Enrolled, Failure> {
    let _place = once.map(|once| state.under_way.take(tenant, once)).transpose()?;
    if let Some(once) = once {
        let (gallery, owner) = (Arc::clone(&state.gallery), tenant.clone());
        if let Some(Done { enrolment, warnings, .. }) = blocking(move || gallery.done_before(&owner, &once)).await? {
            return Ok(Enrolled { enrolment, repeated: true, known: None, warnings });
        }
    }
    paid.await?;
    let recognition = state.recognition()?;
    let settings = state.settings.recognition.enrolment.clone();
    let scale = recognition.calibration().clone();
    let kept = state.gallery.keeps_photographs().then(|| wanted.image.clone());
    let (probe, known) = state.cache.look(&state.gallery, recognition, tenant, For::Enrolment, wanted.image).await?;
    let mut warnings = settings.living(probe.liveness.as_ref(), wanted.require_liveness)?;
    let photograph = match kept {
        Some(file) => Some(recognition.portrait(file, probe.face.area).await?.into()),
        None => None,
    };
    let new = NewEnrolment {
        subject: wanted.subject,
        quality_score: wanted.quality.map_or(probe.quality_score(), |given| given as f32),
        liveness_score: wanted.liveness.map(|given| given as f32).or(probe.liveness_score()),
        embedding: probe.embedding,
        source: wanted.source,
        metadata: wanted.metadata,
        photograph,
    };
    let (gallery, tenant) = (Arc::clone(&state.gallery), tenant.clone());
    let Done { enrolment, warnings, before } = blocking(move || {
        gallery.enroll_in(&tenant, new, once.as_ref(), |new| {
            if settings.compares() {
                warnings.extend(settings.compare(&gallery.likeness(&tenant, &new.subject, &new.embedding)?, &scale)?);
            }
            Ok(warnings)
        })
    })
    .await?;
    Ok(Enrolled { enrolment, repeated: before, known: Some(known), warnings })
}

/// Requests that are done once and are being done.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<HashSet<(TenantId, Once)>>);

impl UnderWay {
    fn take(&self, tenant: &TenantId, once: Once) -> Result<Place<'_>> {
        let name = (tenant.clone(), once);
        if self.0.lock().insert(name.clone()) {
            return Ok(Place { all: self, name });
        }
        Err(Error::new(Kind::RequestInProgress, "the same request is being worked on").help("try again in a moment"))
    }
}

/// A request's place, given back when it is dropped.
struct Place<'a> {
    all: &'a UnderWay,
    name: (TenantId, Once),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.name);
    }
}
