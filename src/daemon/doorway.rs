//! One door's loop: the newest frame in, a decision out. Read downwards and you follow a frame to the relay.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use facegate_control::{Passage, door::Refusal};
use image::RgbImage;

use super::{
    events::{Event, Listeners},
    living::{self, Adviser, Desk, Seen, Tracks},
    passers::{Ending, Passers},
    records,
};
use crate::{
    access::{
        Decider, Decision, Flaw, Observation, Outcome, PadPolicy, Policy, Sighting, Subject, Track,
        rules::{Allowed, Ruling},
    },
    camera::{Feed, Frame},
    clock::{Beat, Clock, Moment},
    config::Doorway as Config,
    door::{Driver, Grant},
    error::{Error, Kind, Result},
    gallery::{Gallery, LastSeen, TenantId},
    journal::Journal,
    rulebook::{Gate, Pass},
    strictness::Strictness,
    tally,
    vision::{
        Face,
        engine::{Engine, Session},
        liveness::Liveness,
        motion,
        quality::{self, Limits},
        region::Region,
        template::Purpose,
        track::Tracker,
    },
};

/// How many faces of one frame are recognised, largest first. A crowd must not slow the door for those in front.
const FACES_PER_FRAME: usize = 4;

/// How long the loop waits for a frame before it looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// As many of the newest grants may be given back.
const GRANTS: usize = 16;

/// After the door itself has refused somebody, they are granted anew no sooner than this: they wait until it no longer does, and
/// what is told of it must not become a flood.
const AGAIN: Duration = Duration::from_secs(1);

/// Nobody is let in by a frame that is older than this: whoever it shows may have gone, and somebody else have come. No board needs as
/// long for a frame; a loop that was held up, or a process that was stopped, has one in hand that may be of any age.
const OLDEST: Duration = Duration::from_secs(5);

/// The same where a board is so slow that it was told to let older frames vote, however old.
const OLDEST_ON_A_SLOW_BOARD: Duration = Duration::from_secs(10);

/// The bits of a tag that tell apart the grants of one frame. What they stand for in time, 256 ns, is not missed.
const WITHIN_A_FRAME: u64 = 0xff;

/// How old a frame may be that lets somebody in.
fn oldest(policy: &Policy) -> Duration {
    policy.vote_age().clamp(OLDEST, OLDEST_ON_A_SLOW_BOARD)
}

/// A grant is told apart by its frame's time of capture, so that the relay's edge can be measured from there, and by its
/// number, since one frame may show two people who are granted, and a door may have two cameras.
///
/// Even numbers are those of a door's first camera, odd ones of its second.
fn tag_of(frame_at: Moment, number: u64) -> u64 {
    let nanos = u64::try_from(frame_at.since_start().as_nanos()).unwrap_or(u64::MAX);
    (nanos & !WITHIN_A_FRAME) | (number & WITHIN_A_FRAME)
}

/// The time of capture of the frame whose grant bears this tag.
pub(super) fn frame_of(tag: u64) -> Moment {
    Moment::from_start(Duration::from_nanos(tag & !WITHIN_A_FRAME))
}

/// Whom a frame is most like, be it less than the threshold asks, or that it is nobody: not even half as like. None where it is not worth
/// recognising, and says nothing of anybody.
fn shown(sighting: &Sighting, threshold: f32) -> Option<Option<&Subject>> {
    match sighting {
        Sighting::Match { subject, similarity, .. } => Some((*similarity >= threshold / 2.0).then_some(subject)),
        Sighting::Stranger { .. } => Some(None),
        Sighting::PoorQuality(_) => None,
    }
}

/// What can change while the door is in use.
#[derive(Clone, Debug)]
pub struct Tuning {
    pub access: Policy,
    pub quality: Limits,
    pub motion_gate: bool,
    /// Where people stand in the picture who want to pass.
    pub region: Region,
}

impl Tuning {
    /// That of a door's camera whose people stand there.
    pub fn new(config: &Config, region: Region) -> Self {
        let (access, quality) = (config.access.clone(), config.quality.clone());
        Self { access, quality, motion_gate: config.motion.gate, region }
    }
}

/// Everything that a door's loop works with.
pub struct Parts {
    pub name: Arc<str>,
    pub tenant: TenantId,
    /// Which way they pass whom the camera sees.
    pub passage: Passage,
    /// Tells the door's cameras apart: 0 or 1.
    pub side: u64,
    /// Who was granted.
    pub passers: Arc<Passers>,
    pub engine: Arc<Engine>,
    pub gallery: Arc<Gallery>,
    pub driver: Arc<Driver>,
    /// Asks the rules.
    pub gate: Arc<Gate>,
    pub journal: Arc<Journal>,
    pub tuning: Arc<ArcSwap<Tuning>>,
    pub clock: Arc<dyn Clock>,
    pub listeners: Listeners,
    pub tally: Arc<tally::Door>,
    /// Tells others that the loop comes round.
    pub beat: Beat,
}

/// A door's loop, with its memory of who is in view.
pub struct Doorway {
    parts: Parts,
    tuning: Arc<Tuning>,
    /// What a chance of a false accept comes to, where one is asked for, and with how many embeddings enrolled that was last
    /// looked at.
    strictness: Option<(Strictness, usize)>,
    session: Session,
    gate: motion::Gate,
    tracker: Tracker,
    decider: Decider,
    /// The newest grants, by their tags.
    granted: VecDeque<(u64, Decision)>,
    /// What speaks for living people, where the door requires it.
    living: Tracks,
    /// Gives advice on it, where that is wanted.
    adviser: Option<Adviser>,
    /// Frames that were looked at, and those of them that were searched for faces.
    frames: u64,
    searched: u64,
    /// How many were granted.
    grants: u64,
}

impl Doorway {
    /// A loop that has seen nobody yet.
    ///
    /// # Errors
    /// [`Kind::Model`] where the networks cannot be made ready; [`Kind::Config`] where a chance of a false accept is asked for
    /// and the pack's calibration has no curve, or liveness and it has no network for it.
    pub fn new(parts: Parts) -> Result<Self> {
        let tuning = parts.tuning.load_full();
        let mut doorway = Self {
            strictness: None,
            session: parts.engine.session()?,
            gate: motion::Gate::default(),
            tracker: Tracker::default(),
            decider: Decider::new(tuning.access.clone()),
            granted: VecDeque::with_capacity(GRANTS),
            living: Tracks::default(),
            adviser: None,
            tuning,
            parts,
            frames: 0,
            searched: 0,
            grants: 0,
        };
        doorway.adopt()?;
        Ok(doorway)
    }

    /// Looks at the newest frame, again and again, until `stop`.
    ///
    /// Whatever goes wrong with one frame, a panic included, costs that frame: nobody in view is remembered but for whom the door
    /// has opened a moment ago, the state of the networks is made anew and the loop goes on. A door that is open shuts in its time,
    /// which is the driver's to keep.
    pub fn run(mut self, feed: &Feed, stop: &AtomicBool) {
        let mut seen = 0;
        while !stop.load(Ordering::Relaxed) {
            self.parts.beat.note();
            let Some(frame) = feed.latest(seen, PATIENCE) else { continue };
            seen = frame.sequence;
            let looked = catch_unwind(AssertUnwindSafe(|| self.look(&frame)))
                .unwrap_or_else(|_| Err(Error::new(Kind::Internal, "looking at a frame panicked")));
            if let Err(error) = looked {
                tracing::error!(door = %self.parts.name, %error, "a frame was lost");
                self.forget_everybody();
            }
        }
        let (frames, searched) = (self.frames, self.searched);
        tracing::debug!(door = %self.parts.name, frames, searched, "the door's loop ends");
    }

    /// Sees one frame through, from pixels to the relay. Gives the number of faces that were recognised.
    ///
    /// # Errors
    /// [`Kind::Model`] where a network fails.
    pub fn look(&mut self, frame: &Frame) -> Result<usize> {
        self.take_in_tuning();
        self.take_back(frame.at);
        self.frames += 1;
        let tally = Arc::clone(&self.parts.tally);
        if self.tuning.motion_gate && !tally.motion.time(|| self.gate.moved(&frame.image, frame.at)) {
            return Ok(0);
        }
        self.searched += 1;
        let faces = tally.detect.time(|| self.session.detect(&frame.image))?;
        let tracks = tally.track.time(|| self.tracker.update(&faces, frame.at));
        if !faces.is_empty() {
            self.gate.keep_open(frame.at);
        }
        let (mut looked_at, mut recognised) = (0, 0);
        let (width, height) = frame.image.dimensions();
        let region = self.tuning.region;
        let before_the_door = faces.iter().zip(tracks).filter(|(face, _)| region.takes(&face.area, width, height));
        for (face, track) in before_the_door.take(FACES_PER_FRAME) {
            let (sighting, quality) = self.recognise(&frame.image, face)?;
            looked_at += 1;
            recognised += usize::from(!matches!(sighting, Sighting::PoorQuality(_)));
            let seen = Seen { picture: &frame.image, face, quality, track, at: frame.at };
            if let Some(whom) = shown(&sighting, self.decider.policy().threshold) {
                self.living.shows(track, whom);
            }
            let known = self.known(&sighting);
            let liveness = self.liveness(seen, known.as_ref())?;
            let living = liveness.as_ref().map(Liveness::living);
            let observation = Observation { track: Track(track.0), sighting, living, at: frame.at };
            tally.decide.time(|| self.decide(observation, liveness.as_ref()));
            if let Some(subject) = known.filter(|_| self.tuning.access.liveness == PadPolicy::Advisory) {
                self.advise(seen, &subject);
            }
        }
        tally.faces_left_out.add(faces.len() - looked_at);
        self.decider.expire(frame.at);
        Ok(recognised)
    }

    fn decide(&mut self, observation: Observation, liveness: Option<&Liveness>) {
        let at = observation.at;
        if let Some(decision) = self.decider.observe(observation) {
            self.act(at, decision, liveness);
        }
    }

    /// Whom the frame shows, where that is similar enough.
    fn known(&self, sighting: &Sighting) -> Option<Subject> {
        match sighting {
            Sighting::Match { subject, similarity, .. } if *similarity >= self.decider.policy().threshold => {
                Some(subject.clone())
            }
            _ => None,
        }
    }

    /// Whether a living person is seen, by the track's frames of them so far, where the door requires it of somebody for whom it
    /// has not opened yet.
    fn liveness(&mut self, seen: Seen<'_>, known: Option<&Subject>) -> Result<Option<Liveness>> {
        let asked = self.tuning.access.liveness == PadPolicy::Required && !self.decider.has_opened(Track(seen.track.0));
        let Some(subject) = known.filter(|_| asked) else { return Ok(None) };
        let (tally, session) = (&self.parts.tally, &mut self.session);
        let liveness = tally.liveness.time(|| self.living.see(session, seen, subject))?;
        if let Some(lives) = self.tuning.access.lives(liveness.as_ref().map(Liveness::living).as_ref()) {
            if lives { &tally.live } else { &tally.not_live }.add(1);
        }
        Ok(liveness)
    }

    /// Has somebody else look at it, later.
    fn advise(&mut self, seen: Seen<'_>, subject: &Subject) {
        if self.adviser.is_none() {
            let Parts { name, engine, journal, tally, .. } = &self.parts;
            let (engine, journal, tally) = (Arc::clone(engine), Arc::clone(journal), Arc::clone(tally));
            match Adviser::start(Desk { door: Arc::clone(name), engine, journal, tally }) {
                Ok(adviser) => self.adviser = Some(adviser),
                Err(error) => {
                    tracing::error!(door = %self.parts.name, %error, "there is no advice on liveness");
                    return;
                }
            }
        }
        let goes_on = self.adviser.as_ref().is_some_and(|adviser| adviser.ask(seen, subject, &self.tuning.access));
        if !goes_on {
            self.adviser = None;
        }
    }

    /// Who that face is, as far as one frame tells, and how good a picture of it the frame is.
    fn recognise(&mut self, picture: &RgbImage, face: &Face) -> Result<(Sighting, f32)> {
        let tally = &self.parts.tally;
        let quality = tally.quality.time(|| quality::assess(picture, face, &self.tuning.quality));
        if let Some(reason) = quality.reasons.first() {
            tally.faces_poor.add(1);
            let flaw = Flaw { code: reason.code(), advice: quality.advice(*reason).text() };
            return Ok((Sighting::PoorQuality(flaw), quality.score));
        }
        let embedding = tally.embed.time(|| self.session.embed(picture, &face.landmarks, Purpose::Frame))?;
        let best = tally.matching.time(|| self.parts.gallery.best_two(&self.parts.tenant, &embedding))?;
        let similarity = |cosine| self.parts.engine.calibration().similarity(cosine);
        let mut best = best.into_iter().map(|(subject, _, cosine)| (subject, similarity(cosine)));
        let first = best.next();
        let known = first.as_ref().is_some_and(|(_, similarity)| *similarity >= self.decider.policy().threshold);
        if known { &tally.faces_known } else { &tally.faces_strange }.add(1);
        let sighting = match first {
            None => Sighting::Stranger { similarity: 0.0 },
            Some((subject, similarity)) => Sighting::Match {
                subject: Subject::from(subject.as_str()),
                similarity,
                runner_up: best.next().map(|(_, similarity)| similarity),
            },
        };
        Ok((sighting, quality.score))
    }

    /// Opens the door where the decision is to open it and the rules allow it, then says and records what was decided.
    fn act(&mut self, frame_at: Moment, decision: Decision, liveness: Option<&Liveness>) {
        let now = self.parts.clock.now();
        if decision.granted() && now.since(frame_at) > oldest(self.decider.policy()) {
            self.decider.give_back(&decision, frame_at + AGAIN);
            let age_ms = now.since(frame_at).as_secs_f64() * 1e3;
            tracing::warn!(door = %self.parts.name, age_ms, "a frame was too old to let anybody in by; the next one may");
            return;
        }
        if let Outcome::Granted { subject, .. } = &decision.outcome {
            let seen = LastSeen { door: self.parts.name.to_string(), at: self.parts.clock.wall() };
            self.parts.gallery.note_seen(&self.parts.tenant, subject.as_str().into(), seen);
        }
        self.grants += 1;
        let tag = tag_of(frame_at, self.grants << 1 | self.parts.side);
        let Some((decision, allowed)) = self.ask_the_rules(tag, decision, now) else { return };
        if let Some(allowed) = &allowed {
            self.open(tag, &decision, allowed, now);
        }
        let tally = &self.parts.tally;
        if decision.granted() { &tally.granted } else { &tally.denied }.add(1);
        let flag = allowed.and_then(|allowed| allowed.flag).map(|flag| flag.code());
        let latency = now.since(frame_at);
        self.parts.journal.append(records::decision(
            &self.parts.name,
            &decision,
            self.parts.engine.model_id(),
            latency,
            flag,
            liveness.map(|liveness| records::pad(liveness, self.tuning.access.liveness_threshold)),
        ));
        tracing::info!(door = %self.parts.name, latency_ms = latency.as_secs_f64() * 1e3, flag, "{}", decision.describe());
        self.parts.listeners.tell(|| Event::Decision { door: self.parts.name.clone(), decision, latency });
    }

    /// Whom the face would let in, the rules may not. Gives what is to be told of, and how they allow it; none where it was
    /// told a moment ago.
    fn ask_the_rules(&mut self, tag: u64, decision: Decision, now: Moment) -> Option<(Decision, Option<Allowed>)> {
        let Outcome::Granted { subject, .. } = &decision.outcome else { return Some((decision, None)) };
        let (subject, passage, at) = (subject.as_str(), self.parts.passage, self.parts.clock.wall());
        match self.parts.gate.admit(Pass { subject, passage, tag, at, now }) {
            Ruling::Allowed(allowed) => Some((decision, Some(allowed))),
            Ruling::Denied(reason) => self.decider.refuse(&decision, reason).map(|denied| (denied, None)),
        }
    }

    /// Whether somebody goes through is told by the door later: see [`super::telling`].
    fn open(&mut self, tag: u64, decision: &Decision, allowed: &Allowed, now: Moment) {
        let Outcome::Granted { subject, .. } = &decision.outcome else { return };
        self.parts.passers.remember(tag, subject);
        let (class, card) = (allowed.class, allowed.card);
        let grant = Grant { tag, class, passage: self.parts.passage, card, at: now };
        if let Err(error) = self.parts.driver.grant(grant) {
            self.parts.gate.unused(tag);
            self.decider.give_back(decision, now + AGAIN);
            tracing::error!(door = %self.parts.name, %error, help = error.advice(), "the door did not open");
            return;
        }
        if self.granted.len() == GRANTS {
            self.granted.pop_front();
        }
        self.granted.push_back((tag, decision.clone()));
    }

    /// Hears of grants by which nobody passed. What the door itself refused is given back; where nobody passed in time it is not:
    /// see [`Decider::missed`].
    fn take_back(&mut self, now: Moment) {
        let side = self.parts.side;
        while let Some((tag, ending)) = self.parts.passers.take_ending(|tag| tag & 1 == side) {
            let Some(at) = self.granted.iter().position(|(granted, _)| *granted == tag) else { continue };
            let Some((_, decision)) = self.granted.remove(at) else { continue };
            match ending {
                Ending::Missed => self.decider.missed(&decision),
                // Those end when an operator says so, and not in a moment.
                Ending::Refused(Refusal::Lockdown | Refusal::Stopped) => {
                    self.decider.give_back(&decision, now + self.decider.policy().deny_interval());
                }
                Ending::Refused(_) => self.decider.give_back(&decision, now + AGAIN),
            }
        }
    }

    fn take_in_tuning(&mut self) {
        let tuning = self.parts.tuning.load();
        if !Arc::ptr_eq(&tuning, &self.tuning) {
            let old = std::mem::replace(&mut self.tuning, Arc::clone(&tuning));
            self.strictness = None;
            self.decider.set_policy(self.tuning.access.clone());
            if let Err(error) = self.adopt() {
                tracing::error!(door = %self.parts.name, %error, help = error.advice(), "the door goes on as it was set before");
                self.tuning = Arc::new(Tuning { access: old.access.clone(), ..Tuning::clone(&tuning) });
                // Unless a newer one has come meanwhile, which is taken in with the next frame.
                self.parts.tuning.compare_and_swap(&tuning, Arc::clone(&self.tuning));
                self.strictness = None;
                self.decider.set_policy(self.tuning.access.clone());
                // At once: not even one frame is decided by the policy's own threshold where more was derived.
                if let Err(error) = self.follow_the_gallery() {
                    tracing::error!(door = %self.parts.name, %error, "the threshold does not follow the gallery");
                }
            }
        } else if let Err(error) = self.follow_the_gallery() {
            tracing::error!(door = %self.parts.name, %error, "the threshold does not follow the gallery");
        }
    }

    /// Sees whether the pack has what is asked for.
    fn adopt(&mut self) -> Result<()> {
        living::asked_of(&self.tuning.access, &self.parts.engine)?;
        self.follow_the_gallery()
    }

    /// Derives the threshold anew where a chance of a false accept is asked for and the gallery has grown or shrunk enough.
    fn follow_the_gallery(&mut self) -> Result<()> {
        if self.tuning.access.false_accept.is_none() {
            return Ok(());
        }
        let compared_with = self.parts.gallery.compared_with(&self.parts.tenant);
        // Of every frame: nothing is derived unless somebody came or went.
        if self.strictness.as_ref().is_some_and(|(_, with)| *with == compared_with) {
            return Ok(());
        }
        let Some(derived) = Strictness::of(&self.tuning.access, self.parts.engine.calibration(), compared_with)? else {
            return Ok(());
        };
        if self.strictness.as_ref().is_none_or(|(strictness, _)| *strictness != derived) {
            self.decider.set_policy(Policy { threshold: derived.threshold, ..self.tuning.access.clone() });
            tracing::info!(door = %self.parts.name, "{}", derived.describe());
            self.parts.journal.append(records::threshold(&self.parts.name, &derived));
        }
        self.strictness = Some((derived, compared_with));
        Ok(())
    }

    /// Begins anew: nobody is in view, nothing counts, the networks' state is fresh. Only cooldowns stand, or one bad frame would have
    /// the door open once more for somebody who is still in view.
    pub fn forget_everybody(&mut self) {
        // Tracks are counted from the start again. Grants are told apart by their frames as well, so that none is taken for another's.
        self.tracker = Tracker::default();
        self.decider.forget_tracks();
        self.living = Tracks::default();
        match self.parts.engine.session() {
            Ok(session) => self.session = session,
            Err(error) => {
                tracing::error!(door = %self.parts.name, %error, "the networks could not be made ready again")
            }
        }
    }

    /// How long each stage of the last frame took.
    pub fn timings(&self) -> &crate::vision::engine::Timings {
        self.session.timings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_grants_of_one_frame_have_two_tags_and_one_time() {
        let frame = Moment::from_start(Duration::from_nanos(123_456_789_012));
        let tags = [1, 2].map(|number| tag_of(frame, number));
        assert_ne!(tags[0], tags[1]);
        for tag in tags {
            assert!(frame.since(frame_of(tag)) < Duration::from_micros(1) && frame_of(tag) <= frame);
        }
    }
}
