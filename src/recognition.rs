//! Photographs in, embeddings out: what the API and the command line ask of the networks.
//!
//! [`Recogniser`] does the work where it is called. [`Recognition`] is a few threads with one each, behind a bounded queue,
//! at a lower priority than the door's: a client that sends photographs as fast as it can delays other clients, not the
//! door.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    enrolment,
    error::{Context, Error, Kind, Result},
    intake,
    priority::Behind,
    tally::Photographs,
    vision::{
        Embedding, Face, Rect,
        engine::{Calibration, Engine, Session},
        liveness::{Glimpse, Liveness, TrackLiveness},
        quality::{self, Quality},
        template::Purpose,
    },
};

/// A second face makes a photograph ambiguous when its area is at least this part of the largest one's. Smaller ones are
/// passers-by in the background.
const RIVAL_AREA: f32 = 0.25;

/// Most faces of a photograph that are looked at one by one: each costs the liveness networks' time.
pub const MOST_FACES: usize = 10;

/// `[api.recognition]` of the configuration. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Photographs that are worked on at a time, each on a thread of its own: 1 to 64.
    pub workers: usize,
    /// Photographs that wait for a thread; more are answered `busy`: 1 to 1,000.
    pub queue: usize,
    /// Largest image file, in bytes: 1,024 to 268,435,456.
    pub max_image_bytes: usize,
    /// Most pixels of an image, seen before it is decoded: 10,000 to 200,000,000. An image being worked on takes three
    /// bytes a pixel, or a small multiple.
    pub max_image_pixels: u64,
    /// Templates of photographs of each tenant that are kept in memory, so that one that comes again skips the networks: 0 (none) to
    /// 6,250, some 2 kB each; of 16 tenants at most.
    pub cache: usize,
    /// What a face must be like to be enrolled.
    #[serde(deserialize_with = "quality::EnrolmentLimits::deserialize")]
    pub quality: quality::Limits,
    /// What else is asked of an enrolment.
    pub enrolment: enrolment::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 1,
            queue: 8,
            max_image_bytes: 10 << 20,
            max_image_pixels: 25_000_000,
            cache: 256,
            quality: quality::Limits::enrolment(),
            enrolment: enrolment::Settings::default(),
        }
    }
}

impl Settings {
    /// Refuses values out of their range.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the key and its range.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("workers", self.workers as u64, 1, 64),
            ("queue", self.queue as u64, 1, 1_000),
            ("max_image_bytes", self.max_image_bytes as u64, 1 << 10, 256 << 20),
            ("max_image_pixels", self.max_image_pixels, 10_000, 200_000_000),
            ("cache", self.cache as u64, 0, 6_250),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(Error::new(Kind::Config, format!("api.recognition.{key} is {value}"))
                    .help(format!("set api.recognition.{key} to {least} to {most}")));
            }
        }
        self.enrolment.validate()?;
        self.quality.validate()
    }
}

/// What was seen of the largest face of a photograph.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Where it is, in pixels of the photograph as it is meant to be looked at (EXIF orientation applied).
    pub face: Face,
    /// Its template.
    pub embedding: Embedding,
    /// How good a picture of a face it is, by the limits for enrolment. `None` where it was looked at to be matched alone: a
    /// search takes any face, and judging it would take its time.
    pub quality: Option<Quality>,
    /// How much it looks like a living person, 0 to 1. `None` where the pack has no network for it, or nobody asked.
    pub liveness: Option<Liveness>,
    /// How many faces there are in the photograph.
    pub faces: usize,
}

impl Probe {
    /// The score of its quality, 0 to 1; 0 where nobody asked for it.
    pub fn quality_score(&self) -> f32 {
        self.quality.as_ref().map_or(0.0, |quality| quality.score)
    }

    /// How much it looks like a living person, 0 to 1, where anybody asked and the pack can tell.
    pub fn liveness_score(&self) -> Option<f32> {
        self.liveness.as_ref().map(|liveness| liveness.score)
    }
}

/// What was seen in a photograph.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Width and height in pixels of the photograph as it is meant to be looked at (EXIF orientation applied).
    pub size: (u32, u32),
    /// How many faces there are.
    pub count: usize,
    /// The largest [`MOST_FACES`] of them, the largest first.
    pub faces: Vec<SeenFace>,
}

/// One of the faces of a photograph.
#[derive(Clone, Debug)]
pub struct SeenFace {
    /// Where it is, in pixels of the photograph as it is meant to be looked at.
    pub face: Face,
    /// How good a picture of a face it is, by the limits for enrolment.
    pub quality: Quality,
    /// How much it looks like a living person, 0 to 1. `None` where the pack has no network for it.
    pub liveness: Option<Liveness>,
}

/// One thread's use of the networks.
pub struct Recogniser {
    session: Session,
    image_limits: intake::Limits,
    quality_limits: quality::Limits,
    tally: Arc<Photographs>,
}

impl Recogniser {
    /// A recogniser with a session of its own.
    ///
    /// # Errors
    /// [`Kind::Model`] where the engine cannot make a session.
    pub fn new(engine: &Arc<Engine>, settings: &Settings) -> Result<Self> {
        Ok(Self {
            session: engine.session()?,
            image_limits: intake::Limits { max_bytes: settings.max_image_bytes, max_pixels: settings.max_image_pixels },
            quality_limits: settings.quality.clone(),
            tally: Arc::default(),
        })
    }

    /// Takes down in `tally` how long its stages take.
    fn counted_in(self, tally: &Arc<Photographs>) -> Self {
        Self { tally: Arc::clone(tally), ..self }
    }

    fn decode(&self, file: &[u8]) -> Result<RgbImage> {
        self.tally.decode.time(|| intake::decode(file, &self.image_limits))
    }

    /// Looks at a photograph for a search or a verification: the largest face, however good the picture.
    ///
    /// # Errors
    /// Those of [`intake::decode`]; [`Kind::NoFaceDetected`]; [`Kind::Model`] where a network fails.
    pub fn probe(&mut self, file: &[u8]) -> Result<Probe> {
        let image = self.decode(file)?;
        self.probe_image(&image)
    }

    /// Looks at a photograph for an enrolment: exactly one face, which must be good enough.
    ///
    /// Faces with less than a quarter of the largest one's area do not count: they are in the background.
    ///
    /// # Errors
    /// Those of [`Recogniser::probe`]; [`Kind::MultipleFaces`]; [`Kind::FaceQualityTooLow`], saying why and what to do.
    pub fn enrolment(&mut self, file: &[u8]) -> Result<Probe> {
        let image = self.decode(file)?;
        self.enrolment_image(&image)
    }

    /// Looks at all faces of a photograph; there may be none.
    ///
    /// # Errors
    /// Those of [`intake::decode`]; [`Kind::Model`] where a network fails.
    pub fn detect(&mut self, file: &[u8]) -> Result<Seen> {
        let image = self.decode(file)?;
        let found = self.tally.detect.time(|| self.session.detect_in_photograph(&image))?;
        let looked_at = found.iter().take(MOST_FACES).map(|&face| {
            let quality = quality::assess(&image, &face, &self.quality_limits);
            let liveness = self.living(&image, &face, quality.score)?;
            Ok(SeenFace { face, quality, liveness })
        });
        let faces = looked_at.collect::<Result<_>>()?;
        Ok(Seen { size: image.dimensions(), count: found.len(), faces })
    }

    /// [`Recogniser::probe`] of a picture that is decoded already.
    ///
    /// # Errors
    /// As there, without those of decoding.
    pub fn probe_image(&mut self, image: &RgbImage) -> Result<Probe> {
        let faces = self.faces(image)?;
        self.template(image, &faces, Purpose::Probe)
    }

    /// [`Recogniser::enrolment`] of a picture that is decoded already.
    ///
    /// # Errors
    /// As there, without those of decoding.
    pub fn enrolment_image(&mut self, image: &RgbImage) -> Result<Probe> {
        let faces = self.faces(image)?;
        let rivals = rivals(&faces);
        if rivals > 0 {
            return Err(Error::new(Kind::MultipleFaces, format!("the image shows {} faces", rivals + 1))
                .help("send one that shows only the person to enrol"));
        }
        let quality = quality::assess(image, &faces[0], &self.quality_limits);
        if !quality.reasons.is_empty() {
            return Err(too_low(&quality));
        }
        let liveness = self.living(image, &faces[0], quality.score)?;
        Ok(Probe { quality: Some(quality), liveness, ..self.template(image, &faces, Purpose::Enrolment)? })
    }

    /// Whether the face looks like a living person's, as far as one picture tells; none where the pack has no network for it.
    fn living(&mut self, image: &RgbImage, face: &Face, quality: f32) -> Result<Option<Liveness>> {
        self.tally.liveness.time(|| {
            let Some(network) = self.session.liveness(image, &face.area)? else { return Ok(None) };
            let glimpse = Glimpse { picture: image, face, quality, network: Some(network) };
            let mut track = TrackLiveness::default();
            track.see(&glimpse);
            Ok(track.verdict())
        })
    }

    /// The faces of a picture, the largest first; at least one.
    fn faces(&mut self, image: &RgbImage) -> Result<Vec<Face>> {
        let faces = self.tally.detect.time(|| self.session.detect_in_photograph(image))?;
        if faces.is_empty() {
            return Err(Error::new(Kind::NoFaceDetected, "no face was found in the image"));
        }
        Ok(faces)
    }

    fn template(&mut self, image: &RgbImage, faces: &[Face], purpose: Purpose) -> Result<Probe> {
        let face = faces[0];
        let embedding = self.tally.embed.time(|| self.session.embed(image, &face.landmarks, purpose))?;
        self.tally.networks.add(self.session.timings().networks());
        Ok(Probe { face, embedding, quality: None, liveness: None, faces: faces.len() })
    }
}

/// How many faces besides the first, largest one are large enough to be meant.
fn rivals(faces: &[Face]) -> usize {
    let Some((largest, others)) = faces.split_first() else { return 0 };
    others.iter().filter(|face| face.area.size() >= RIVAL_AREA * largest.area.size()).count()
}

fn too_low(quality: &Quality) -> Error {
    let reasons: Vec<_> = quality.reasons.iter().map(|reason| reason.code()).collect();
    let mut advice: Vec<_> = quality.reasons.iter().map(|reason| quality.advice(*reason).text()).collect();
    advice.dedup();
    Error::new(Kind::FaceQualityTooLow, format!("the face cannot be enrolled from this image ({})", reasons.join(", ")))
        .help(advice.join("; "))
}

/// What a thread does with its recogniser, which is made anew where a panic has lost it, and whom it tells.
type Job = Box<dyn FnOnce(&mut Option<Recogniser>, &dyn Fn() -> Result<Recogniser>) + Send>;

/// A pool of [`Recogniser`]s, for callers that must not block. The threads end when it is dropped.
pub struct Recognition {
    jobs: Sender<Job>,
    engine: Arc<Engine>,
    tally: Arc<Photographs>,
}

impl Recognition {
    /// Starts the threads; all are ready when this returns.
    ///
    /// # Errors
    /// [`Kind::Config`] where a setting is out of its range, [`Kind::Model`] where the engine cannot make a session,
    /// [`Kind::Io`] where a thread cannot be started.
    pub fn start(engine: Arc<Engine>, settings: &Settings) -> Result<Self> {
        settings.validate()?;
        let (jobs, queue) = crossbeam_channel::bounded::<Job>(settings.queue);
        let (report, started) = crossbeam_channel::bounded(settings.workers);
        let tally = Arc::<Photographs>::default();
        for number in 0..settings.workers {
            let (engine, settings) = (Arc::clone(&engine), settings.clone());
            let (queue, report, tally) = (queue.clone(), report.clone(), Arc::clone(&tally));
            thread::Builder::new()
                .name(format!("recognise-{number}"))
                .spawn(move || {
                    work(&|| Ok(Recogniser::new(&engine, &settings)?.counted_in(&tally)), &queue, &report);
                })
                .context(Kind::Io, || "cannot start a thread for the recognition")?;
        }
        for _ in 0..settings.workers {
            started.recv().context(Kind::Internal, || "a thread of the recognition ended at its start")??;
        }
        Ok(Self { jobs, engine, tally })
    }

    /// As [`Recogniser::probe`].
    ///
    /// # Errors
    /// As there; [`Kind::Busy`] where the queue is full; [`Kind::Internal`] where the work panicked.
    pub async fn probe(&self, file: Vec<u8>) -> Result<Probe> {
        self.submit(move |recogniser| recogniser.probe(&file)).await
    }

    /// As [`Recogniser::enrolment`].
    ///
    /// # Errors
    /// As there; [`Kind::Busy`] where the queue is full; [`Kind::Internal`] where the work panicked.
    pub async fn enrolment(&self, file: Vec<u8>) -> Result<Probe> {
        self.submit(move |recogniser| recogniser.enrolment(&file)).await
    }

    /// As [`Recogniser::detect`].
    ///
    /// # Errors
    /// As there; [`Kind::Busy`] where the queue is full; [`Kind::Internal`] where the work panicked.
    pub async fn detect(&self, file: Vec<u8>) -> Result<Seen> {
        self.submit(move |recogniser| recogniser.detect(&file)).await
    }

    /// As [`intake::portrait`], of a photograph that was looked at before.
    ///
    /// # Errors
    /// As there; [`Kind::Busy`] where the queue is full; [`Kind::Internal`] where the work panicked.
    pub async fn portrait(&self, file: Vec<u8>, area: Rect) -> Result<Vec<u8>> {
        self.submit(move |recogniser| intake::portrait(&file, &recogniser.image_limits, &area)).await
    }

    /// The recogniser's name.
    pub fn model_id(&self) -> &str {
        self.engine.model_id()
    }

    /// What makes similarities of cosines.
    pub fn calibration(&self) -> &Calibration {
        self.engine.calibration()
    }

    /// Photographs that wait for a thread, 0 to `queue`.
    pub fn waiting(&self) -> usize {
        self.jobs.len()
    }

    /// How long the stages took.
    pub fn tally(&self) -> &Arc<Photographs> {
        &self.tally
    }

    async fn submit<T, F>(&self, task: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Recogniser) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let (sent, tally) = (Instant::now(), Arc::clone(&self.tally));
        let job: Job = Box::new(move |recogniser, renew| {
            tally.waiting.add(sent.elapsed());
            // Else the client has gone, or its time is over.
            if !reply.is_closed() {
                // Who does not wait any more needs no answer.
                let _ = reply.send(guarded(recogniser, renew, task));
            }
        });
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Error::new(Kind::Busy, "the queue of the recognition is full")),
            Err(TrySendError::Disconnected(_)) => return Err(ended()),
        }
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> Error {
    Error::new(Kind::Internal, "the threads of the recognition have ended")
}

/// A thread's life: a session, then job after job. A job that panics gets an error, the next one a new session.
fn work(renew: &dyn Fn() -> Result<Recogniser>, queue: &Receiver<Job>, report: &Sender<Result<()>>) {
    Behind::Recognition.step_back_if_possible();
    let mut recogniser = match renew() {
        Ok(recogniser) => Some(recogniser),
        Err(error) => {
            // Nobody to tell means that another thread's start failed before.
            let _ = report.send(Err(error));
            return;
        }
    };
    let _ = report.send(Ok(()));
    for job in queue {
        job(&mut recogniser, renew);
    }
}

/// Runs `job` with what is in `slot`, or with a new one. After a panic the slot is empty: what was left half-way in it is
/// never used again.
fn guarded<R, T>(
    slot: &mut Option<R>,
    renew: impl FnOnce() -> Result<R>,
    job: impl FnOnce(&mut R) -> Result<T>,
) -> Result<T> {
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        let mut tool = match slot.take() {
            Some(tool) => tool,
            None => renew()?,
        };
        let outcome = job(&mut tool);
        *slot = Some(tool);
        outcome
    }));
    attempt.unwrap_or_else(|_| Err(Error::new(Kind::Internal, "the recognition of an image panicked")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vision::Landmarks;

    fn face(side: f32) -> Face {
        let area = Rect { left: 0.0, top: 0.0, width: side, height: side };
        Face { area, confidence: 0.9, landmarks: Landmarks::default() }
    }

    #[test]
    fn a_face_in_the_background_is_no_rival_and_one_beside_is() {
        assert_eq!(rivals(&[face(100.0)]), 0);
        assert_eq!(rivals(&[face(100.0), face(49.0)]), 0, "under a quarter of the area");
        assert_eq!(rivals(&[face(100.0), face(50.0), face(10.0)]), 1);
        assert_eq!(rivals(&[]), 0);
    }

    proptest! {
        #[test]
        fn every_face_that_is_as_large_as_the_first_is_a_rival(side in 1.0f32..1000.0, count in 1usize..20) {
            prop_assert_eq!(rivals(&vec![face(side); count]), count - 1);
        }
    }

    #[test]
    fn after_a_panic_there_is_an_error_and_then_a_new_tool() {
        let mut made = 0;
        let mut slot = Some(0);
        let outcome = guarded(&mut slot, || unreachable!("there is one"), |_| -> Result<()> { panic!("in a job") });
        assert_eq!(outcome.expect_err("it panicked").kind(), Kind::Internal);
        assert!(slot.is_none(), "what was in use is not used again");
        let mut renew = || {
            made += 1;
            Ok(made)
        };
        assert_eq!(guarded(&mut slot, &mut renew, |tool| Ok(*tool)).expect("a new one"), 1);
        assert_eq!(guarded(&mut slot, &mut renew, |tool| Ok(*tool)).expect("the same"), 1);
        let failed = guarded(&mut slot, &mut renew, |_| Err::<(), _>(Error::new(Kind::NoFaceDetected, "x")));
        assert!(failed.is_err() && slot == Some(1), "an ordinary error costs no session");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        Settings::default().validate().expect("defaults are valid");
        let settings = Settings { queue: 0, ..Settings::default() };
        assert_eq!(settings.validate().expect_err("0 places").kind(), Kind::Config);
    }
}
