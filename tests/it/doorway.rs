//! A door's loop frame by frame: real networks, gallery, rules, journal and driver; frames that are drawn, and a clock that is told.

use std::{sync::Arc, thread, time::Duration};

use arc_swap::ArcSwap;
use crossbeam_channel::Receiver;
use facegate::{
    access::{Decision, PadPolicy, Policy},
    camera::Frame,
    clock::{Beat, Clock, SimulatedClock},
    daemon::{
        doorway::{Doorway, Parts, Tuning},
        events::{Event, Listeners},
        passers::Passers,
        telling::{Teller, Unread},
    },
    door::{self, Driver, Hardware, Place},
    gallery::{self, Gallery, NewEnrolment, SubjectId, TenantId},
    journal::{self, Journal},
    rulebook::Gate,
    vision::{Embedding, engine::Engine, models::Pack, quality::Limits, region::Region, template::Purpose},
};
use facegate_control::{
    Passage,
    door::{Happening, Interlock, Refusal},
};
use image::{Rgb, RgbImage, imageops};
use jiff::Timestamp;
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::support::{daemon::eventually, engine, other_pack, pictures, without_liveness};

/// From frame to frame.
const FRAME: Duration = Duration::from_millis(100);

/// Whoever is on that photograph, in the middle of the picture and so large that they fill a third of its width: those of two
/// photographs are in the same place.
fn portrait(engine: &Arc<Engine>, photograph: &str) -> RgbImage {
    let picture = pictures::open(photograph);
    let face = engine.session().expect("a session").detect(&picture).expect("it runs")[0];
    let (x, y) = (face.area.left + face.area.width / 2.0, face.area.top + face.area.height / 2.0);
    let scale = 200.0 / face.area.width;
    let (width, height) = ((picture.width() as f32 * scale) as u32, (picture.height() as f32 * scale) as u32);
    let scaled = imageops::resize(&picture, width, height, imageops::FilterType::Triangle);
    let mut frame = RgbImage::from_pixel(640, 480, Rgb([112; 3]));
    imageops::replace(&mut frame, &scaled, (320.0 - x * scale) as i64, (240.0 - y * scale) as i64);
    frame
}

/// A door with whoever stands before it.
pub struct Door {
    doorway: Doorway,
    clock: SimulatedClock,
    tuning: Arc<ArcSwap<Tuning>>,
    told: Receiver<Event>,
    /// What has happened at the door and was not asked about yet.
    happened: Vec<Happening>,
    /// Where a second door of an airlock is secure, or not.
    interlock: Arc<Mutex<Interlock>>,
    frames: u64,
    _folder: TempDir,
}

impl Door {
    /// A door that knows those people: a name each, and photographs of whose templates theirs is the mean.
    pub fn new(engine: &Arc<Engine>, people: &[(&str, &[&str])], access: Policy) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let time = SimulatedClock::new("2026-11-23T10:00:00Z".parse::<Timestamp>().expect("a time"));
        let clock: Arc<dyn Clock> = Arc::new(time.clone());
        let settings = gallery::Settings { dir: folder.path().join("gallery"), ..gallery::Settings::default() };
        let gallery = Arc::new(Gallery::open(&settings, engine.model_id(), Arc::clone(&clock)).expect("it opens"));
        let tenant = TenantId::try_from("main").expect("a name");
        for &(name, photographs) in people {
            let mut session = engine.session().expect("a session");
            let mut template = |photograph: &&str| {
                let picture = pictures::open(photograph);
                let face = session.detect(&picture).expect("it runs")[0];
                session.embed(&picture, &face.landmarks, Purpose::Enrolment).expect("it runs")
            };
            let templates: Vec<_> = photographs.iter().map(&mut template).collect();
            let new = NewEnrolment {
                subject: SubjectId::try_from(name).expect("a name"),
                embedding: Embedding::mean(&templates).expect("a direction"),
                quality_score: 1.0,
                liveness_score: None,
                source: None,
                metadata: None,
                photograph: None,
            };
            gallery.enroll(&tenant, new).expect("there is room");
        }
        let names = ["front".to_owned(), "back".to_owned()];
        let interlock = Interlock::new(&["front", "back"], &[("airlock", &names)]).expect("valid");
        let interlock = Arc::new(Mutex::new(interlock));
        let settings = door::Settings { pulse_ms: 500, ..door::Settings::default() };
        let hardware = Hardware::at_rest(&settings, &clock).expect("simulated");
        let place = Place { interlock: Arc::clone(&interlock), door: 0 };
        let driver = Arc::new(Driver::start(&settings, hardware, Some(place), Arc::clone(&clock)).expect("it starts"));
        let journal = journal::Settings { dir: folder.path().join("journal"), ..journal::Settings::default() };
        let journal = Arc::new(Journal::open(&journal, Arc::clone(&clock)).expect("it opens"));
        let tuning = Tuning { access, quality: Limits::door(), motion_gate: false, region: Region::default() };
        let tuning = Arc::new(ArcSwap::from_pointee(tuning));
        let gate = Arc::new(Gate::new(gallery.access(&tenant), "front".into()));
        let (passers, listeners) = (Arc::<Passers>::default(), Listeners::default());
        let told = listeners.listen();
        let teller = Teller {
            name: "front".into(),
            passers: Arc::clone(&passers),
            gate: Arc::clone(&gate),
            journal: Arc::clone(&journal),
            listeners: listeners.clone(),
            clock: Arc::clone(&clock),
            tally: Arc::default(),
            unread: Unread::of(&driver),
        };
        let reports = driver.reports();
        thread::spawn(move || reports.into_iter().for_each(|report| teller.tell_whatever_happens(report)));
        let doorway = Doorway::new(Parts {
            name: "front".into(),
            tenant,
            passage: Passage::Entry,
            side: 0,
            passers,
            engine: Arc::clone(engine),
            gallery,
            driver,
            gate,
            journal,
            tuning: Arc::clone(&tuning),
            clock: Arc::clone(&clock),
            listeners,
            tally: Arc::default(),
            beat: Beat::new(clock),
        })
        .expect("it is ready");
        Self { doorway, clock: time, tuning, told, happened: Vec::new(), interlock, frames: 0, _folder: folder }
    }

    /// The next frame shows that; what is decided.
    pub fn look(&mut self, picture: &RgbImage) -> Vec<Decision> {
        self.look_late(picture, Duration::ZERO)
    }

    /// The same where the loop is held up for so long once it has the frame.
    fn look_late(&mut self, picture: &RgbImage, held_up: Duration) -> Vec<Decision> {
        self.clock.advance(FRAME);
        self.frames += 1;
        let frame = Frame { image: picture.clone(), at: self.clock.now(), sequence: self.frames };
        self.clock.advance(held_up);
        self.doorway.look(&frame).expect("the networks run");
        self.heard()
    }

    /// What was decided since the last time.
    fn heard(&mut self) -> Vec<Decision> {
        let mut decided = Vec::new();
        for event in self.told.try_iter() {
            match event {
                Event::Decision { decision, .. } => decided.push(decision),
                Event::Happened { happening, .. } => self.happened.push(happening),
                Event::Edge { .. } => {}
            }
        }
        decided
    }

    /// The same until something is decided, within so many frames.
    fn decided(&mut self, picture: &RgbImage, frames: usize) -> Option<Decision> {
        (0..frames).find_map(|_| self.look(picture).pop())
    }

    /// Waits until that has happened at the door; what happened before is not asked about again.
    fn until(&mut self, is: impl Fn(&Happening) -> bool) {
        eventually("it happens", || {
            assert!(self.heard().is_empty(), "nobody looks");
            let at = self.happened.iter().position(&is)?;
            Some(self.happened.drain(..=at).count())
        });
    }
}

/// One frame decides.
fn at_once() -> Policy {
    Policy { votes: 1, window: 1, ..Policy::default() }
}

#[test]
fn what_is_seen_of_one_person_does_not_count_for_anothers_photograph() {
    let engine = engine();
    let (insider, chief) = (portrait(&engine, "biden.jpg"), portrait(&engine, "obama2.jpg"));
    let people: [(&str, &[&str]); 2] = [("insider", &["biden.jpg"]), ("chief", &["obama.jpg"])];
    let policy = Policy { liveness: PadPolicy::Required, liveness_frames: 6, ..Policy::default() };
    let mut door = Door::new(&engine, &people, policy.clone());
    // Alone, whoever is known is judged by the sixth frame: granted, or told that they do not look alive.
    let first = door.decided(&chief, 6).expect("it is decided");
    assert!(["agreed", "liveness_failed"].contains(&first.code()), "{}", first.describe());
    let track = first.track;

    let mut door = Door::new(&engine, &people, policy);
    for _ in 0..5 {
        assert!(door.look(&insider).is_empty(), "five frames are too few");
    }
    for _ in 0..5 {
        let decided = door.look(&chief);
        assert!(decided.iter().all(|decision| decision.code() == "not_agreed"), "{decided:?}");
    }
    let decided = door.decided(&chief, 1).expect("now six frames show the chief");
    assert!(["agreed", "liveness_failed"].contains(&decided.code()), "{}", decided.describe());
    assert_eq!(decided.track, track, "one track all the time");
}

#[test]
fn whom_the_door_itself_refused_is_let_in_once_it_no_longer_does() {
    let engine = engine();
    let shown = portrait(&engine, "obama2.jpg");
    let mut door = Door::new(&engine, &[("barack", &["obama.jpg"])], at_once());
    door.interlock.lock().note(1, false);
    let is_refused = |happening: &Happening| matches!(happening, Happening::Refused { why: Refusal::Interlock, .. });
    let first = door.decided(&shown, 1).expect("it is decided");
    assert!(first.granted());
    door.until(is_refused);
    // Asked again once a second, and not with every frame.
    let mut asked = 0;
    for _ in 0..30 {
        if door.decided(&shown, 1).is_some() {
            door.until(is_refused);
            asked += 1;
        }
    }
    assert_eq!(asked, 2);
    door.interlock.lock().note(1, true);
    // The door's thread looks whether the airlock is free.
    thread::sleep(Duration::from_millis(200));
    let again = door.decided(&shown, 12).expect("it is tried again");
    assert!(again.granted() && again.track == first.track);
    door.until(|happening| matches!(happening, Happening::Passed { .. }));
    assert!(door.decided(&shown, 30).is_none(), "the door opened: the track is used");
}

#[test]
fn a_frame_that_is_too_old_lets_nobody_in_and_the_next_one_does() {
    let engine = engine();
    let shown = portrait(&engine, "obama2.jpg");
    let mut door = Door::new(&engine, &[("barack", &["obama.jpg"])], at_once());
    assert!(door.look_late(&shown, Duration::from_millis(5_001)).is_empty(), "whoever it shows may have gone");
    let decided =
        door.decided(&shown, 1).expect("they have not: neither a cooldown nor a used track stands against it");
    assert!(decided.granted(), "{}", decided.describe());
    door.until(|happening| matches!(happening, Happening::Passed { .. }));

    let mut door = Door::new(&engine, &[("barack", &["obama.jpg"])], at_once());
    let decided = door.look_late(&shown, Duration::from_millis(4_900)).pop().expect("a slow board");
    assert!(decided.granted(), "{}", decided.describe());

    let patient = || Policy { vote_age_ms: 20_000, ..at_once() };
    let mut door = Door::new(&engine, &[("barack", &["obama.jpg"])], patient());
    assert!(door.look_late(&shown, Duration::from_millis(10_001)).is_empty(), "older than any door takes");
    let mut door = Door::new(&engine, &[("barack", &["obama.jpg"])], patient());
    let decided = door.look_late(&shown, Duration::from_millis(9_900)).pop().expect("a board that was said to be slow");
    assert!(decided.granted(), "{}", decided.describe());
}

#[test]
fn settings_that_are_refused_lower_the_threshold_for_no_frame() {
    let folder = tempfile::tempdir().expect("a folder");
    other_pack(folder.path(), "blind", without_liveness);
    let engine = Engine::load(&Pack::open(folder.path(), "blind").expect("the pack opens")).expect("it runs");
    let shown = portrait(&engine, "obama2.jpg");
    // Half somebody else: like enough for the policy's own threshold, and too little for the derived one.
    let people: [(&str, &[&str]); 1] = [("barack", &["obama.jpg", "biden.jpg"])];
    let mut alone = Door::new(&engine, &people, at_once());
    let similarity = match alone.decided(&shown, 1).expect("it is decided").outcome {
        facegate::access::Outcome::Granted { similarity, .. } => similarity,
        outcome => panic!("{outcome:?}"),
    };
    let strict = Policy { false_accept: Some("1 in 1000000000".parse().expect("a chance")), ..at_once() };
    let mut door = Door::new(&engine, &people, strict.clone());
    assert_eq!(door.decided(&shown, 1).expect("told").code(), "below_threshold", "of {similarity}");
    let old = door.tuning.load_full();
    let refused = Tuning { access: Policy { liveness: PadPolicy::Required, ..strict }, ..Tuning::clone(&old) };
    door.tuning.store(Arc::new(refused));
    for _ in 0..3 {
        assert!(door.look(&shown).is_empty(), "denied a moment ago, and not granted either");
    }
    assert_eq!(door.tuning.load().access, old.access, "what cannot be had is not taken over");
}
