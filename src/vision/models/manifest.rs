//! A pack's manifest: which networks it has, where they come from, and how they are fed.

use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use crate::error::{Error, Kind, Result};

/// What `manifest.toml` of a pack says. See `models/README.md` for how to write one.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the manifest's format; 1.
    pub format: u32,
    /// The pack's name, the same as its folder's.
    pub name: String,
    /// One line for people.
    pub summary: String,
    pub detector: Part,
    /// Finds the five points where the detector gives none.
    pub landmarks: Option<Part>,
    pub recogniser: Part,
    /// Networks that tell a living face from a picture of one; their scores are averaged. May be missing.
    #[serde(default)]
    pub liveness: Vec<Part>,
    /// Where `models/fetch` gets the files from; not the daemon's business.
    #[serde(default, rename = "source", skip_serializing)]
    _source: Vec<toml::Table>,
}

/// One network of a pack.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How its outputs are read: `yunet` or `ultraface` for a detector, `points68` for landmarks, `softmax` for liveness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The recogniser's name, stored with every embedding that it makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The file's name, beside the manifest.
    pub file: String,
    /// The file's size.
    pub bytes: u64,
    /// The file's SHA-256 in hexadecimal.
    pub sha256: String,
    /// Where it was published, for people.
    pub origin: String,
    pub licence: String,
    /// What is not known or not allowed, for people.
    #[serde(default)]
    pub caveats: String,
    pub input: Input,
    /// Of a recogniser. A pack without it can be measured, and runs no door.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Of a liveness network: which output means a living face.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_index: Option<usize>,
    /// Of a liveness network: how much larger than the face its crop is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_scale: Option<f32>,
}

/// What a network is fed: planes of `(value − mean) / scale`, value 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Pixels, 16 to 1,280.
    pub width: usize,
    /// Pixels, 16 to 1,280.
    pub height: usize,
    pub colour: Colour,
    pub mean: f32,
    /// Not 0.
    pub scale: f32,
}

/// The order of a network's input planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    Rgb,
    Bgr,
    Grey,
}

impl Colour {
    /// How many planes that is.
    pub fn planes(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

/// The detectors whose outputs we can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectorKind {
    /// Anchor-free, five landmarks: ShiqiYu/libfacedetection.train.
    YuNet,
    /// SSD-style boxes without landmarks: Ultra-Light-Fast-Generic-Face-Detector RFB-320.
    UltraFace,
}

/// How a liveness network is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Liveness {
    pub live_index: usize,
    pub crop_scale: f32,
}

impl Manifest {
    /// Reads and checks the text of a manifest, said to come from `origin`.
    ///
    /// # Errors
    /// [`Kind::Model`], naming the place and what is wrong there.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let refuse = |what: String| Error::new(Kind::Model, format!("{origin}: {what}"));
        let manifest: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            refuse(format!("line {line}: {}", error.message().replace('\n', ", ")))
        })?;
        if manifest.format != 1 {
            return Err(refuse(format!("format is {}; this facegate reads format 1", manifest.format)));
        }
        manifest.detector_kind().map_err(|error| error.within(origin))?;
        let parts = [("detector", Some(&manifest.detector)), ("landmarks", manifest.landmarks.as_ref())];
        let parts = parts.into_iter().chain([("recogniser", Some(&manifest.recogniser))]);
        let parts = parts.chain(manifest.liveness.iter().map(|part| ("liveness", Some(part))));
        for (place, part) in parts.filter_map(|(place, part)| Some((place, part?))) {
            part.check().map_err(|error| error.within(&format!("{origin}: [{place}]")))?;
        }
        for part in &manifest.liveness {
            part.liveness().map_err(|error| error.within(&format!("{origin}: [[liveness]]")))?;
        }
        if let Some(points) = &manifest.landmarks
            && points.kind.as_deref() != Some("points68")
        {
            return Err(refuse("[landmarks]: kind takes 'points68'".into()));
        }
        if manifest.recogniser.id.as_deref().unwrap_or_default().is_empty() {
            return Err(refuse("[recogniser]: id is missing: a name that is stored with every embedding".into()));
        }
        if let Some(calibration) = &manifest.recogniser.calibration {
            calibration.check().map_err(|what| refuse(format!("[recogniser.calibration]: {what}")))?;
        }
        if manifest.landmarks.is_none() && manifest.detector_kind()? == DetectorKind::UltraFace {
            return Err(refuse("the detector ultraface gives no landmarks and there is no [landmarks]".into()));
        }
        Ok(manifest)
    }

    /// How the detector's outputs are read.
    ///
    /// # Errors
    /// [`Kind::Model`] where `kind` names none that we can read.
    pub fn detector_kind(&self) -> Result<DetectorKind> {
        match self.detector.kind.as_deref() {
            Some("yunet") => Ok(DetectorKind::YuNet),
            Some("ultraface") => Ok(DetectorKind::UltraFace),
            other => Err(Error::new(
                Kind::Model,
                format!("[detector]: kind is '{}'; it takes 'yunet' or 'ultraface'", other.unwrap_or_default()),
            )),
        }
    }

    /// Every network of the pack.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        [Some(&self.detector), self.landmarks.as_ref(), Some(&self.recogniser)]
            .into_iter()
            .flatten()
            .chain(&self.liveness)
    }
}

impl Part {
    /// How it is used as a liveness network.
    ///
    /// # Errors
    /// [`Kind::Model`] where it is none.
    pub fn liveness(&self) -> Result<Liveness> {
        match (self.kind.as_deref(), self.live_index, self.crop_scale) {
            (Some("softmax"), Some(live_index), Some(crop_scale)) if (1.0..=8.0).contains(&crop_scale) => {
                Ok(Liveness { live_index, crop_scale })
            }
            _ => Err(Error::new(Kind::Model, "needs kind = 'softmax', live_index and crop_scale (1 to 8)")),
        }
    }

    fn check(&self) -> Result<()> {
        let refuse = |what: &str| Err(Error::new(Kind::Model, what));
        if self.file.is_empty() || self.file.contains(['/', '\\']) || self.file.starts_with('.') {
            return refuse("file names a file beside the manifest, without folders");
        }
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return refuse("sha256 takes 64 hexadecimal digits");
        }
        let input = &self.input;
        if !(16..=1280).contains(&input.width) || !(16..=1280).contains(&input.height) {
            return refuse("input.width and input.height take 16 to 1280 pixels");
        }
        if !input.mean.is_finite() || !input.scale.is_normal() {
            return refuse("input.mean must be a number and input.scale one that is not 0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        format = 1
        name = "mine"
        summary = "s"
        [detector]
        kind = "yunet"
        file = "d.onnx"
        bytes = 1
        sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
        origin = "o"
        licence = "l"
        input = { width = 320, height = 320, colour = "bgr", mean = 0.0, scale = 1.0 }
        [recogniser]
        id = "r"
        file = "r.onnx"
        bytes = 1
        sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
        origin = "o"
        licence = "l"
        input = { width = 112, height = 112, colour = "rgb", mean = 127.5, scale = 127.5 }
        [recogniser.calibration]
        fmr = 1e-4
        cosine = 0.3
        data = "d"
        [[source]]
        anything = true
    "#;

    #[test]
    fn a_manifest_is_read_and_every_fault_is_named() {
        Manifest::parse(MANIFEST, "m").expect("valid");
        for (from, to, said) in [
            ("format = 1", "format = 2", "reads format 1"),
            ("\"yunet\"", "\"yolo\"", "'yunet' or 'ultraface'"),
            ("\"yunet\"", "\"ultraface\"", "gives no landmarks"),
            ("\"d.onnx\"", "\"../d.onnx\"", "without folders"),
            ("scale = 1.0", "scale = 0.0", "input.scale"),
            ("id = \"r\"", "", "id is missing"),
            ("cosine = 0.3", "cosine = 1.3", "cosine between 0 and 1"),
            (
                "data = \"d\"",
                "data = \"d\"\npoints = [{ fmr = 1e-3, false_matches = 9, cosine = 1.2, fnmr = 0.1, fnmr_interval = [0.0, 1.0] }]",
                "points",
            ),
            ("origin = \"o\"", "orgin = \"o\"", "orgin"),
            ("width = 320", "width = 0", "16 to 1280"),
        ] {
            let error = Manifest::parse(&MANIFEST.replacen(from, to, 1), "m").unwrap_err();
            assert!(error.to_string().contains(said), "{from} → {to}: {error}");
        }
    }
}
