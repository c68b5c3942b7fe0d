//! A camera that follows a script: for rehearsing faults without breaking hardware.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use image::RgbImage;

use super::{After, Camera, Frame};
use crate::{
    clock::Clock,
    error::{Error, Kind, Result},
};

/// What the camera does at one call.
#[derive(Clone)]
pub enum Step {
    /// Gives this picture.
    Picture(RgbImage),
    /// Gives a frame that cannot be read; the camera itself goes on.
    BadFrame,
    /// Fails as a camera does that is pulled out.
    Fail(String),
    /// Panics, as a driver's wrapper may.
    Panic(String),
    /// Gives nothing for that long, then goes on with the next step.
    Stall(Duration),
}

/// A camera that follows a script and then comes to its end.
pub struct Fake {
    steps: VecDeque<Step>,
    every: Option<Duration>,
    clock: Arc<dyn Clock>,
    given: u64,
    after: After,
}

impl Fake {
    /// Plays `steps`, one a call, as fast as it is asked.
    pub fn new(steps: impl IntoIterator<Item = Step>, clock: Arc<dyn Clock>) -> Self {
        Self { steps: steps.into_iter().collect(), every: None, clock, given: 0, after: After::Reopen }
    }

    /// Lets a [`super::Feed`] take a frame every `every`.
    #[must_use]
    pub fn paced(mut self, every: Duration) -> Self {
        self.every = Some(every);
        self
    }
}

impl Camera for Fake {
    fn next_frame(&mut self) -> Result<Frame> {
        loop {
            let (after, message) = match self.steps.pop_front() {
                Some(Step::Picture(image)) => {
                    self.given += 1;
                    return Ok(Frame { image, at: self.clock.now(), sequence: self.given });
                }
                Some(Step::Stall(time)) => {
                    std::thread::sleep(time);
                    continue;
                }
                Some(Step::BadFrame) => (After::Retry, "a bad frame, as scripted".to_owned()),
                Some(Step::Fail(message)) => (After::Reopen, message),
                Some(Step::Panic(message)) => {
                    self.after = After::Reopen;
                    std::panic::panic_any(message)
                }
                None => (After::End, "the script has come to its end".to_owned()),
            };
            self.after = after;
            return Err(Error::new(Kind::Camera, message));
        }
    }

    fn describe(&self) -> String {
        format!("scripted camera, {} steps to go", self.steps.len())
    }

    fn after_error(&self) -> After {
        self.after
    }

    fn pace(&self) -> Option<Duration> {
        self.every
    }
}
