//! A camera of the network that is open: the newest picture of its stream.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use retina::client::Credentials;
use url::Url;

use super::{
    Settings,
    decode::{Decoder, Fault, Outcome},
    session::{Session, Unit},
    words,
};
use crate::{
    camera::{After, Camera, Frame, throttle::Throttle, turn::Turn},
    clock::{Clock, Moment},
    error::{Error, Kind, Result},
};

/// How long it may take from the first packet to the first picture: a connection, three answers, and the camera's next key frame.
const OPENING: Duration = Duration::from_secs(10);
/// No more access units are read ahead, and no more bytes of them: a few seconds of the largest stream. What is beyond waits in the
/// kernel.
const MOST_WAITING: usize = 128;
const MOST_WAITING_BYTES: usize = 16 << 20;
/// A picture that came so much later than it could have is not looked at.
const LATE: Duration = Duration::from_secs(1);
/// After so long without a picture one is shown that is not the newest, if it is not late.
const SHOWN_AT_LEAST: Duration = Duration::from_millis(250);

/// An open camera that is streaming.
pub struct Rtsp {
    at: String,
    clock: Arc<dyn Clock>,
    session: Session,
    decoder: Decoder,
    throttle: Throttle,
    turn: Turn,
    stall: Duration,
    /// What has come and was not decoded yet, oldest first.
    waiting: VecDeque<Unit>,
    /// When there was a picture last.
    shown: Option<Moment>,
    /// By which the camera was known to work, for whoever asks soon.
    first: Option<Frame>,
    description: String,
    given: u64,
    after: After,
}

impl Rtsp {
    /// Connects, and waits for the first picture.
    ///
    /// # Errors
    /// [`Kind::Config`] where the address or the password's file is of no use; [`Kind::Camera`] where no picture can be had.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let until = Instant::now() + OPENING;
        let url = settings.parsed()?;
        let at = words::address(&url);
        let session = Session::open(&url, credentials(settings)?, until)?;
        let mut camera = Self {
            decoder: Decoder::new().map_err(|fault| faulty(&at, &fault))?,
            at,
            clock,
            session,
            throttle: Throttle::new(settings.rate_fps),
            turn: Turn { mirror: settings.mirror, upside_down: settings.upside_down },
            stall: Duration::from_millis(settings.stall_ms),
            waiting: VecDeque::new(),
            shown: None,
            first: None,
            description: String::new(),
            given: 0,
            after: After::Reopen,
        };
        let first = loop {
            match camera.picture(until) {
                // A damaged picture at the beginning is no reason yet.
                Err(_) if camera.after == After::Retry && Instant::now() < until => {}
                other => break other,
            }
        };
        camera.first = Some(first?);
        camera.description = camera.described(&url);
        Ok(camera)
    }

    fn described(&self, url: &Url) -> String {
        let Some(shape) = self.decoder.shape() else { return format!("RTSP camera {}: H.264", words::address(url)) };
        let rate = shape.rate.map_or("at its own rate".to_owned(), |rate| format!("{rate:.1} frames a second"));
        format!(
            "RTSP camera {}: H.264 {} {}×{}, {rate}, over TCP",
            words::address(url),
            shape.profile,
            shape.width,
            shape.height
        )
    }

    /// The next picture that is due, decoding all that comes before it.
    fn picture(&mut self, until: Instant) -> Result<Frame> {
        self.after = After::Reopen;
        let mut age = Duration::ZERO;
        let mut key_frame = false;
        loop {
            if self.waiting.is_empty() {
                let unit = self.session.next(until)?.ok_or_else(|| self.nothing(age, key_frame))?;
                self.waiting.push_back(unit);
            }
            if Instant::now() >= until {
                return Err(self.nothing(age, key_frame));
            }
            self.read_ahead()?;
            let Some(unit) = self.waiting.pop_front() else { continue };
            age = self.session.age(&unit);
            // Catching up costs nothing but reading: what is late is left out, up to a key frame that is not.
            if unit.torn || age >= LATE {
                self.decoder.lose();
            }
            if age >= LATE {
                continue;
            }
            let at = self.clock.now();
            // A board that is always a little behind would never show anything.
            let newest = self.waiting.is_empty() || self.shown.is_none_or(|shown| at.since(shown) >= SHOWN_AT_LEAST);
            let wanted = newest && self.throttle.due(at);
            match self.decoder.decode(&unit.data, wanted) {
                Ok(Outcome::Picture(mut image)) => {
                    self.turn.apply(&mut image);
                    self.given += 1;
                    self.shown = Some(at);
                    return Ok(Frame { image, at, sequence: self.given });
                }
                Ok(Outcome::Waiting) => key_frame = true,
                Ok(Outcome::Unwanted) => key_frame = false,
                Err(fault) => {
                    if matches!(fault, Fault::Damaged(_)) {
                        self.after = After::Retry;
                    }
                    return Err(faulty(&self.at, &fault));
                }
            }
        }
    }

    /// Reads what is there, so that it is known how old the oldest is.
    fn read_ahead(&mut self) -> Result<()> {
        let mut bytes: usize = self.waiting.iter().map(|unit| unit.data.len()).sum();
        while self.waiting.len() < MOST_WAITING && bytes < MOST_WAITING_BYTES {
            let Some(unit) = self.session.ready()? else { break };
            bytes += unit.data.len();
            self.waiting.push_back(unit);
        }
        Ok(())
    }

    /// Why there was no picture in time.
    fn nothing(&self, age: Duration, key_frame: bool) -> Error {
        let wait = if self.first.is_none() && self.given == 0 { OPENING } else { self.stall };
        if age >= LATE {
            words::late(&self.at, age.as_secs_f32())
        } else {
            words::stalled(&self.at, wait.as_secs_f32(), key_frame)
        }
    }
}

impl Camera for Rtsp {
    fn next_frame(&mut self) -> Result<Frame> {
        let fresh = |frame: &Frame| self.clock.now().since(frame.at) < LATE;
        if let Some(first) = self.first.take().filter(fresh) {
            return Ok(first);
        }
        self.picture(Instant::now() + self.stall)
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn after_error(&self) -> After {
        self.after
    }
}

fn faulty(at: &str, fault: &Fault) -> Error {
    match fault {
        Fault::Kind(words) => Error::new(Kind::Camera, format!("{at} sends {words}"))
            .help("choose another stream of the camera: H.264, Main or Baseline, 640×480 to 1280×720, not interlaced"),
        Fault::Damaged(words) => Error::new(Kind::Camera, format!("{at} sent {words}"))
            .help("one now and then is nothing; where there are many, see the camera's network"),
    }
}

/// Who the camera is told that we are.
fn credentials(settings: &Settings) -> Result<Option<Credentials>> {
    let Some(user) = &settings.user else { return Ok(None) };
    let password = settings.password()?;
    Ok(Some(Credentials { username: user.clone(), password: password.to_string() }))
}
