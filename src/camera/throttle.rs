//! Frames beyond the wished rate are let go, before they cost anything.

use std::time::Duration;

use crate::clock::Moment;

/// Lets through so many frames a second and no more.
pub struct Throttle {
    every: Duration,
    last: Option<Moment>,
}

impl Throttle {
    /// Not more than `rate` frames a second.
    pub fn new(rate: f32) -> Self {
        // A quarter of slack, so that a camera at just that rate loses no frame to jitter.
        Self { every: Duration::from_secs_f32(0.75 / rate.max(0.1)), last: None }
    }

    /// Whether the frame that comes at `at` is taken.
    pub fn due(&mut self, at: Moment) -> bool {
        if self.last.is_some_and(|last| at.since(last) < self.every) {
            return false;
        }
        self.last = Some(at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_beyond_the_rate_are_let_go() {
        let mut throttle = Throttle::new(10.0);
        let at = |ms| Moment::from_start(Duration::from_millis(ms));
        let passed = (0..300).filter(|frame| throttle.due(at(frame * 1000 / 30))).count();
        assert_eq!(passed, 100, "a third of 30 frames a second");
        let mut jitter = Throttle::new(10.0);
        assert_eq!((0..100).filter(|frame| jitter.due(at(frame * 100 + frame % 3 * 8))).count(), 100);
    }
}
