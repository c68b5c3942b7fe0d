//! Whether living people stand before a door: the evidence of each track in view, and the thread that gives advice.
//!
//! Where liveness is required, the door's loop asks before it decides. Where it is advisory, the loop decides first and hands a copy
//! of the frame to the [`Adviser`], which works behind the door and writes down what it found; what it cannot keep up with, it does
//! not see.
//!
//! What is seen of one person never speaks for another: evidence is of one track and of one subject. Whoever shows their own face
//! for a while and then somebody else's photograph in its place begins anew with it.

use std::{collections::HashMap, sync::Arc, thread, time::Duration};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use image::RgbImage;

use super::records;
use crate::{
    access::{PadPolicy, Policy, Subject},
    clock::Moment,
    config::Config,
    enrolment,
    error::{Context, Error, Kind, Result},
    journal::Journal,
    priority::Behind,
    tally,
    vision::{
        Face,
        engine::{Engine, Session},
        liveness::{Glimpse, Liveness, TrackLiveness},
        track::TrackId,
    },
};

/// A track that was not seen for so long is over: the tracker gives its number to nobody else.
const OVER: Duration = Duration::from_secs(2);

/// Most tracks of which evidence is held; the one that was not seen for the longest goes first.
const MOST: usize = 16;

/// The adviser has seen enough of somebody on a track after so many frames.
const ENOUGH: u32 = 30;

/// Refuses a pack without networks for liveness where the configuration asks for it.
///
/// # Errors
/// [`Kind::Config`], saying where it does.
pub fn provided(config: &Config, engine: &Engine) -> Result<()> {
    for door in &config.doors {
        asked_of(&door.access, engine).map_err(|error| error.within(&format!("door '{}'", door.name)))?;
    }
    let enrolment::Settings { liveness, .. } = config.api.recognition.enrolment;
    lacks("api.recognition.enrolment.liveness", liveness, engine)
}

/// The same for a door alone.
///
/// # Errors
/// [`Kind::Config`].
pub fn asked_of(policy: &Policy, engine: &Engine) -> Result<()> {
    lacks("access.liveness", policy.liveness, engine)
}

fn lacks(key: &str, policy: PadPolicy, engine: &Engine) -> Result<()> {
    if policy == PadPolicy::Off || engine.judges_liveness() {
        return Ok(());
    }
    let asked = if policy == PadPolicy::Required { "required" } else { "advisory" };
    Err(Error::new(Kind::Config, format!("{key} is \"{asked}\", and the pack has no network that judges it"))
        .help("choose a pack with a [[liveness]] network, as `facegate models list` shows them, or set it to \"off\""))
}

/// A face of a frame that is judged.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub picture: &'a RgbImage,
    pub face: &'a Face,
    /// 0 to 1.
    pub quality: f32,
    pub track: TrackId,
    pub at: Moment,
}

/// What is seen of one track, for whom the frames showed.
struct Evidence {
    subject: Subject,
    liveness: TrackLiveness,
    last: Moment,
}

/// The evidence of the tracks in view. It never passes from one track to another, nor from one subject to another.
#[derive(Default)]
pub struct Tracks(HashMap<TrackId, Evidence>);

impl Tracks {
    /// Takes in whom a frame of a track is most like, over the threshold or not; none where that is nobody. The evidence for anybody
    /// else is void. A frame of the same person that is only weak takes nothing away, since it adds nothing either.
    pub fn shows(&mut self, track: TrackId, whom: Option<&Subject>) {
        if self.0.get(&track).is_some_and(|evidence| Some(&evidence.subject) != whom) {
            self.0.remove(&track);
        }
    }

    /// Takes in a frame of a track that shows `subject`; gives what is found of them on it so far.
    ///
    /// # Errors
    /// [`Kind::Model`] where a network fails.
    pub fn see(&mut self, session: &mut Session, seen: Seen<'_>, subject: &Subject) -> Result<Option<Liveness>> {
        let Seen { picture, face, quality, track, at } = seen;
        self.shows(track, Some(subject));
        self.0.retain(|other, evidence| *other == track || at.since(evidence.last) < OVER);
        if self.0.len() >= MOST && !self.0.contains_key(&track) {
            let oldest =
                self.0.iter().min_by_key(|(track, evidence)| (evidence.last, **track)).map(|(track, _)| *track);
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        let network = session.liveness(picture, &face.area)?;
        let begin = || Evidence { subject: subject.clone(), liveness: TrackLiveness::default(), last: at };
        let evidence = self.0.entry(track).or_insert_with(begin);
        evidence.last = at;
        evidence.liveness.see(&Glimpse { picture, face, quality, network });
        Ok(evidence.liveness.verdict())
    }
}

/// What the adviser is asked about.
struct Question {
    picture: RgbImage,
    face: Face,
    quality: f32,
    track: TrackId,
    at: Moment,
    subject: Subject,
    policy: Policy,
}

/// A thread that judges the tracks of a door after the door has decided. It ends when this is dropped.
pub struct Adviser {
    questions: Sender<Question>,
}

/// Where the adviser writes.
pub struct Desk {
    pub door: Arc<str>,
    pub engine: Arc<Engine>,
    pub journal: Arc<Journal>,
    pub tally: Arc<tally::Door>,
}

impl Adviser {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Kind::Model`] where the networks cannot be made ready, [`Kind::Io`] where no thread can be had.
    pub fn start(desk: Desk) -> Result<Self> {
        let mut session = desk.engine.session()?;
        let (questions, asked) = bounded(1);
        let work = move || {
            Behind::Recognition.step_back_if_possible();
            if let Err(error) = desk.advise(&mut session, &asked) {
                tracing::error!(door = %desk.door, %error, "there is no more advice on liveness");
            }
        };
        thread::Builder::new()
            .name("liveness".into())
            .spawn(work)
            .context(Kind::Io, || "cannot start a thread for liveness")?;
        Ok(Self { questions })
    }

    /// Asks about a frame, unless the last one is still being looked at. Whether there is anybody to ask.
    pub fn ask(&self, seen: Seen<'_>, subject: &Subject, policy: &Policy) -> bool {
        if self.questions.is_full() {
            return true;
        }
        let Seen { picture, face, quality, track, at } = seen;
        let (picture, subject, policy) = (picture.clone(), subject.clone(), policy.clone());
        let question = Question { picture, face: *face, quality, track, at, subject, policy };
        !matches!(self.questions.try_send(question), Err(TrySendError::Disconnected(_)))
    }
}

impl Desk {
    fn advise(&self, session: &mut Session, asked: &Receiver<Question>) -> Result<()> {
        let (mut tracks, mut told) = (Tracks::default(), HashMap::<(TrackId, Subject), (Told, Moment)>::new());
        for question in asked {
            let Question { picture, face, quality, track, at, subject, policy } = &question;
            told.retain(|_, (_, last)| at.since(*last) < OVER);
            let (told, last) = told.entry((*track, subject.clone())).or_insert((Told::default(), *at));
            *last = *at;
            if told.frames >= ENOUGH {
                continue;
            }
            let seen = Seen { picture, face, quality: *quality, track: *track, at: *at };
            let verdict = self.tally.liveness.time(|| tracks.see(session, seen, subject))?;
            told.frames += 1;
            let Some(verdict) = verdict else { continue };
            let Some(lives) = policy.lives(Some(&verdict.living())) else { continue };
            // Told once, and once more where later frames say otherwise.
            if told.verdict == Some(lives) || told.twice {
                continue;
            }
            told.twice = told.verdict.is_some();
            told.verdict = Some(lives);
            if lives { &self.tally.live } else { &self.tally.not_live }.add(1);
            let reasons = verdict.reasons(policy.liveness_threshold);
            tracing::info!(door = %self.door, %subject, score = verdict.score, frames = verdict.frames, ?reasons, lives, "liveness");
            let record = records::liveness(&self.door, subject, *track, lives, &verdict, policy.liveness_threshold);
            self.journal.append(record);
        }
        Ok(())
    }
}

/// What was told of somebody on a track.
#[derive(Default)]
struct Told {
    frames: u32,
    verdict: Option<bool>,
    twice: bool,
}
