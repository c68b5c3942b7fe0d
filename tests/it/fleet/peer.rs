//! A door of the fleet within the test's own process: the link, the gallery and the journal that ship, and a clock that is as
//! wrong as a test wants it. It has no camera and no API.

use std::sync::{Arc, OnceLock};

use facegate::{
    clock::{Clock, Moment, SystemClock},
    fleet::{self, Hands, Link},
    gallery::{self, EmbeddingId, Gallery, ListFilter, NewEnrolment, TenantId},
    journal::{self, Journal},
    operator::Desk,
    vision::{Embedding, engine::Engine},
};
use jiff::{SignedDuration, Timestamp};

use super::site::{Site, settings};
use crate::support::{self, daemon::Board};

/// A clock that is wrong by a fixed time.
struct Wrong {
    system: SystemClock,
    by: SignedDuration,
}

impl Clock for Wrong {
    fn now(&self) -> Moment {
        self.system.now()
    }

    fn wall(&self) -> Timestamp {
        self.system.wall() + self.by
    }
}

/// A door.
pub struct Peer {
    pub gallery: Arc<Gallery>,
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    settings: fleet::Settings,
    link: Option<Link>,
    // Where all of it lies.
    _board: Board,
}

/// Loaded once for all of them.
fn engine() -> Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    Arc::clone(ENGINE.get_or_init(support::engine))
}

impl Peer {
    /// A door that has joined, with a clock that is wrong by so much and that it does not rely on, not connected yet.
    pub fn new(site: &Site, device: &str, wrong: SignedDuration) -> Self {
        let board = site.board(device);
        let clock: Arc<dyn Clock> = Arc::new(Wrong { system: SystemClock::new(), by: wrong });
        let store = gallery::Settings { dir: board.path("gallery"), ..gallery::Settings::default() };
        let kept = journal::Settings { dir: board.path("journal"), ..journal::Settings::default() };
        let settings =
            fleet::Settings { clock: fleet::settings::ClockTrust::Never, ..settings(&board, device, site.broker.port) };
        Self {
            gallery: Arc::new(Gallery::open(&store, engine().model_id(), Arc::clone(&clock)).expect("a gallery")),
            journal: Arc::new(Journal::open(&kept, Arc::clone(&clock)).expect("a journal")),
            clock,
            settings,
            link: None,
            _board: board,
        }
    }

    pub fn connect(&mut self) {
        let (_, events) = crossbeam_channel::unbounded();
        let hands = Hands {
            desk: Arc::new(Desk::default()),
            gallery: Arc::clone(&self.gallery),
            engine: engine(),
            recognition: Default::default(),
            leds: "/nonexistent".into(),
            configuring: None,
            upload: Default::default(),
        };
        let parts = fleet::Parts {
            hands: Arc::new(hands),
            journal: Arc::clone(&self.journal),
            clock: Arc::clone(&self.clock),
            events,
            model: engine().model_id().to_owned(),
        };
        self.link = Some(Link::start(self.settings.clone(), parts).expect("the link starts"));
    }

    pub fn disconnect(&mut self) {
        for thread in self.link.take().map(Link::stop).unwrap_or_default() {
            thread.join().expect("the link does not panic");
        }
    }

    /// Enrols somebody whose face is a number.
    pub fn enrol(&self, subject: &str, face: u32) -> EmbeddingId {
        let raw: Vec<f32> = (0..facegate::vision::DIMENSION)
            .map(|place| {
                let mixed = (place as u32 + 1).wrapping_mul(0x9e37_79b9) ^ face.wrapping_mul(0x85eb_ca6b);
                (mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d) as f32 / u32::MAX as f32 - 0.5
            })
            .collect();
        let new = NewEnrolment {
            subject: subject.parse().expect("a name"),
            embedding: Embedding::normalised(&raw).expect("a direction"),
            quality_score: 0.9,
            liveness_score: None,
            source: None,
            metadata: None,
            photograph: None,
        };
        self.gallery.enroll(&tenant(), new).expect("it is stored").id
    }

    /// Who is enrolled: subject, embedding, whether it is matched; in order.
    pub fn people(&self) -> Vec<(String, EmbeddingId, bool)> {
        let filter = ListFilter { active_only: false, limit: 1000, ..ListFilter::default() };
        let page = match self.gallery.list(&tenant(), &filter) {
            Ok(page) => page,
            // Nobody has told it of the tenant yet.
            Err(_) => return Vec::new(),
        };
        let all = page.enrolments.into_iter().map(|one| (one.subject.to_string(), one.id, one.active));
        let mut all: Vec<_> = all.collect();
        all.sort();
        all
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.disconnect();
    }
}

/// Whose everything is.
pub fn tenant() -> TenantId {
    "main".parse().expect("a name")
}
