//! What a door asks of a face before it opens, and the ranges of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Living, OneIn, PadPolicy};
use crate::Fault;

/// What a door asks of a face before it opens. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The least similarity that counts, above 0 and up to 1. Higher is stricter. Default 0.6.
    pub threshold: f32,
    /// The chance that a stranger who stands before the door for a window of frames is let in. It raises the threshold as the
    /// gallery grows, and never lowers it. Default none: the threshold alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub false_accept: Option<OneIn>,
    /// By how much the best subject must lead the second best, 0 to 0.5. Default 0.05.
    pub margin: f32,
    /// How many frames must agree on the subject, 1 to `window`. Default 2.
    pub votes: u32,
    /// Out of how many of the track's newest usable frames, 1 to 30. Default 3.
    pub window: u32,
    /// A frame older than this no longer votes, 100 to 60,000 ms. Default 2,000.
    pub vote_age_ms: u64,
    /// For how long after a grant the same subject is not granted again, 0 to 3,600,000 ms. Default 10,000.
    pub cooldown_ms: u64,
    /// The least time between two denials of one track for the same cause, 1,000 to 3,600,000 ms. Default 5,000.
    pub deny_interval_ms: u64,
    /// Whether the face must look like a living person's. Default off.
    pub liveness: PadPolicy,
    /// The least liveness that counts, above 0 and up to 1. Default 0.5.
    pub liveness_threshold: f32,
    /// Of how many frames of a track it must be, at least, 1 to 30. Default 8: what moves or flickers needs some frames to show.
    pub liveness_frames: u32,
}

/// No camera is told to give more frames a second.
const FASTEST: f32 = 120.0;

impl Default for Policy {
    fn default() -> Self {
        Self {
            threshold: 0.6,
            false_accept: None,
            margin: 0.05,
            votes: 2,
            window: 3,
            vote_age_ms: 2_000,
            cooldown_ms: 10_000,
            deny_interval_ms: 5_000,
            liveness: PadPolicy::Off,
            liveness_threshold: 0.5,
            liveness_frames: 8,
        }
    }
}

impl Policy {
    /// Refuses values out of their range; the fault names the key, the value and the range.
    pub fn validate(&self) -> Result<(), Fault> {
        let refuse = |key: &str, value: String, range: String| {
            let message = format!("access.{key} is {value}, but must be {range}");
            Err(Fault::new(message, format!("set {key} under [access] to a value in that range")))
        };
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return refuse("threshold", self.threshold.to_string(), "above 0 and at most 1 (similarity)".into());
        }
        if !(0.0..=0.5).contains(&self.margin) {
            return refuse("margin", self.margin.to_string(), "0 to 0.5 (similarity)".into());
        }
        if !(1..=30).contains(&self.window) {
            return refuse("window", self.window.to_string(), "1 to 30 (frames)".into());
        }
        if !(1..=self.window).contains(&self.votes) {
            return refuse("votes", self.votes.to_string(), format!("1 to {} (frames; at most `window`)", self.window));
        }
        if !(self.liveness_threshold > 0.0 && self.liveness_threshold <= 1.0) {
            return refuse("liveness_threshold", self.liveness_threshold.to_string(), "above 0 and at most 1".into());
        }
        if !(1..=30).contains(&self.liveness_frames) {
            return refuse("liveness_frames", self.liveness_frames.to_string(), "1 to 30 (frames)".into());
        }
        for (key, value, least, most) in [
            ("vote_age_ms", self.vote_age_ms, 100, 60_000),
            ("cooldown_ms", self.cooldown_ms, 0, 3_600_000),
            ("deny_interval_ms", self.deny_interval_ms, 1_000, 3_600_000),
        ] {
            if !(least..=most).contains(&value) {
                return refuse(key, value.to_string(), format!("{least} to {most} (milliseconds)"));
            }
        }
        self.validate_at(FASTEST)
    }

    /// Refuses a policy by which a camera of so many frames a second can never open the door: the first vote is too old by the time
    /// that the last one is cast. `rate_fps` is above 0.
    pub fn validate_at(&self, rate_fps: f32) -> Result<(), Fault> {
        let (votes, age) = (self.votes, self.vote_age_ms);
        let takes = 1e3 * f64::from(votes.saturating_sub(1)) / f64::from(rate_fps);
        // A microsecond for what a fraction is rounded by.
        if takes <= age as f64 + 1e-3 {
            return Ok(());
        }
        Err(Fault::new(
            format!(
                "access.votes is {votes}, but at {rate_fps} frames a second these take {takes:.0} ms, and a frame votes for \
                 access.vote_age_ms = {age} alone: the door could never open"
            ),
            "set votes lower, or vote_age_ms higher, under [access], or the camera's rate_fps higher",
        ))
    }

    /// The false match rate that one comparison of one frame may have for [`Policy::false_accept`] with so many embeddings
    /// enrolled; none where no chance is asked for.
    ///
    /// A stranger is let in where at least `votes` of `window` frames match. By Markov's inequality the chance of that is at
    /// most `window / votes` times the chance that one frame matches, however much the frames are alike; and that is at most
    /// the sum over all who are enrolled.
    pub fn comparison_rate(&self, enrolled: usize) -> Option<f64> {
        let frames = f64::from(self.votes) / f64::from(self.window);
        Some(self.false_accept?.share() * frames / enrolled.max(1) as f64)
    }

    /// Whether a living person is seen; none where too few frames tell. What is not a number is no.
    pub fn lives(&self, living: Option<&Living>) -> Option<bool> {
        living
            .filter(|living| living.frames >= self.liveness_frames)
            .map(|living| living.score >= self.liveness_threshold)
    }

    /// How old a frame may be that still votes.
    pub fn vote_age(&self) -> Duration {
        Duration::from_millis(self.vote_age_ms)
    }

    pub(super) fn cooldown(&self) -> Duration {
        Duration::from_millis(self.cooldown_ms)
    }

    /// [`Policy::deny_interval_ms`].
    pub fn deny_interval(&self) -> Duration {
        Duration::from_millis(self.deny_interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_that_are_too_old_before_they_are_enough_are_refused() {
        let policy = |votes, vote_age_ms| Policy { votes, window: 30, vote_age_ms, ..Policy::default() };
        let fault = policy(30, 100).validate().expect_err("29 frames take 242 ms at the fastest camera");
        assert!(fault.message.contains("votes is 30") && fault.message.contains("vote_age_ms = 100"), "{fault}");
        policy(30, 242).validate().expect("the fastest camera does");
        policy(1, 100).validate_at(0.1).expect("one frame is enough");
        policy(11, 2_000).validate_at(5.0).expect("ten frames take 2,000 ms");
        assert!(policy(12, 2_000).validate_at(5.0).is_err() && policy(2, 2_000).validate_at(0.4).is_err());
        Policy::default().validate_at(1.0).expect("the slowest camera, as shipped");
    }

    #[test]
    fn a_chance_is_shared_out_over_who_is_enrolled_and_the_frames() {
        let policy = Policy { false_accept: Some("1 in 1000".parse().unwrap()), ..Policy::default() };
        let rate = |enrolled| policy.comparison_rate(enrolled).unwrap();
        assert!((rate(1) - 1e-3 * 2.0 / 3.0).abs() < 1e-12);
        assert!((rate(0) - rate(1)).abs() < 1e-15);
        assert!((rate(500) * 500.0 - rate(1)).abs() < 1e-12);
        assert_eq!(Policy::default().comparison_rate(5), None);
    }
}
