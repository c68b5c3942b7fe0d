//! What is asked of an enrolment besides a good picture: that the face is nobody else's who is enrolled, that it is like the
//! subject's other photographs, and, where wanted, that it looks like a living person's. For the API and the command line alike.
//!
//! One bad enrolment spoils a gallery for years: everybody is compared with it.

use serde::{Deserialize, Serialize};

use crate::{
    access::PadPolicy,
    error::{Error, Kind, Result},
    gallery::Likeness,
    vision::{engine::Calibration, liveness::Liveness},
};

pub use crate::gallery::Warning;

/// What is done about an enrolment that looks wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nobody looks.
    Off,
    /// It is stored, and the answer says so.
    #[default]
    Warn,
    /// It is not stored.
    Refuse,
}

/// `[api.recognition.enrolment]` of the configuration. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is done about a face that is like another subject's of the tenant.
    pub duplicates: Action,
    /// From which similarity on it is: above 0 and up to 1.
    pub duplicate_similarity: f32,
    /// What is done about a face that is unlike all of the subject's own active embeddings.
    pub unlike: Action,
    /// Below which similarity it is: above 0 and up to 1.
    pub unlike_similarity: f32,
    /// Whether the face must look like a living person's: `advisory` warns, `required` refuses.
    pub liveness: PadPolicy,
    /// The least liveness that counts, above 0 and up to 1.
    pub liveness_threshold: f32,
}

impl Default for Settings {
    /// Similarities are read off the error rates of `docs/accuracy.md`: of pairs of two people one in some 600,000 reaches the
    /// first, of pairs of one person one in some 300 does not reach the second.
    fn default() -> Self {
        Self {
            duplicates: Action::Warn,
            duplicate_similarity: 0.65,
            unlike: Action::Warn,
            unlike_similarity: 0.4,
            liveness: PadPolicy::Off,
            liveness_threshold: 0.5,
        }
    }
}

impl Settings {
    /// Refuses values out of their range.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the key and its range.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("duplicate_similarity", self.duplicate_similarity),
            ("unlike_similarity", self.unlike_similarity),
            ("liveness_threshold", self.liveness_threshold),
        ] {
            if !(value > 0.0 && value <= 1.0) {
                let message = format!("api.recognition.enrolment.{key} is {value}");
                return Err(Error::new(Kind::Config, message).help("it takes a number above 0, at most 1"));
            }
        }
        Ok(())
    }

    /// Whether anything is asked that the gallery has to be asked for.
    pub fn compares(&self) -> bool {
        self.duplicates != Action::Off || self.unlike != Action::Off
    }

    /// What is to be said about a face that is so like the gallery's.
    ///
    /// # Errors
    /// [`Kind::DuplicateSubject`] and [`Kind::UnlikeSubject`], where these are refused; neither says whom it is like.
    pub fn compare(&self, likeness: &Likeness, scale: &Calibration) -> Result<Vec<Warning>> {
        let mut warnings = Vec::new();
        if let Some((other, cosine)) = &likeness.other
            && scale.similarity(*cosine) >= self.duplicate_similarity
        {
            let message = "the face is like one that is enrolled as another subject";
            let similarity = Some(scale.similarity(*cosine));
            let help = "if it is the same person, enrol under that subject_id, or delete the other subject first";
            let kind = Kind::DuplicateSubject;
            let other = Some(other.clone());
            let found = Warning { code: kind.code().into(), message: message.into(), similarity, other };
            judged(self.duplicates, kind, found, help, &mut warnings)?;
        }
        if let Some(cosine) = likeness.own
            && scale.similarity(cosine) < self.unlike_similarity
        {
            let message = "the face is not like the other photographs of this subject";
            let similarity = Some(scale.similarity(cosine));
            let help = "is it the right person? if so, delete what is enrolled wrongly, or take the photograph again";
            let kind = Kind::UnlikeSubject;
            let found = Warning { code: kind.code().into(), message: message.into(), similarity, other: None };
            judged(self.unlike, kind, found, help, &mut warnings)?;
        }
        Ok(warnings)
    }

    /// What is to be said about a face that looks so much like a living person's. `required` is asked for by a client, beyond what
    /// the configuration asks for.
    ///
    /// # Errors
    /// [`Kind::LivenessFailed`] where it must and does not; [`Kind::InvalidField`] where it must and the pack cannot tell.
    pub fn living(&self, seen: Option<&Liveness>, required: bool) -> Result<Vec<Warning>> {
        let policy = if required { PadPolicy::Required } else { self.liveness };
        let action = match policy {
            PadPolicy::Off => return Ok(Vec::new()),
            PadPolicy::Advisory => Action::Warn,
            PadPolicy::Required => Action::Refuse,
        };
        let Some(seen) = seen else {
            if policy == PadPolicy::Advisory {
                return Ok(Vec::new());
            }
            return Err(Error::new(
                Kind::InvalidField,
                "liveness is required, and the pack has no network that judges it",
            ));
        };
        let mut warnings = Vec::new();
        if seen.score < self.liveness_threshold {
            let kind = Kind::LivenessFailed;
            let found = Warning { code: kind.code().into(), message: seen.describe(), similarity: None, other: None };
            let help = "photograph the person, not a picture or a screen; mind the light and come closer";
            judged(action, kind, found, help, &mut warnings)?;
        }
        Ok(warnings)
    }
}

fn judged(action: Action, kind: Kind, found: Warning, help: &str, warnings: &mut Vec<Warning>) -> Result<()> {
    match action {
        Action::Off => {}
        Action::Warn => warnings.push(found),
        Action::Refuse => return Err(Error::new(kind, found.message).help(help)),
    }
    Ok(())
}
