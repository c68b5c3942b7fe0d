//! Which face of this frame is which of the last.
//!
//! Strictness is safety: what was seen of one person must never count for another. A face goes on as a track only where it
//! is near to where that track would be by now and of about its size, and where no other face or track lays the same claim;
//! in doubt it is a new track, which costs its person two frames.

use std::time::Duration;

use super::{Face, Point};
use crate::clock::Moment;

/// A face followed over frames. Never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

/// A track that is not seen for so long is over, if frames were looked at meanwhile that did not show it.
const LOST_AFTER: Duration = Duration::from_millis(700);

/// Where no frame was, nobody was seen to go: whoever was in the last frame may go on in the next one for so long. With a slow
/// camera, or networks that need long for a frame, nobody would ever be seen twice otherwise. It is shorter than the pause between
/// two frames that are searched while nothing moves ([`super::motion`]), so that nobody goes on as somebody from before it.
const BRIDGED: Duration = Duration::from_millis(1600);

/// A camera whose frames come more rarely than this may show everybody once only, as somebody new each time. Less than [`BRIDGED`],
/// and than a still face keeps frames searched ([`super::motion`]), by what a frame may be late.
pub const RAREST: Duration = Duration::from_millis(1400);

/// How far from where it was expected a face may be, in widths of the face.
const REACH: f32 = 0.6;

/// How much larger or smaller a face may become from one sighting to the next.
const GROWTH: f32 = 1.5;

/// A second face or track within the reach is a rival where it is less than so many times as far away; then nobody can tell
/// which is which.
const RIVAL: f32 = 1.5;

/// Two faces whose places are taken as swapped between frames would have to cross; how much of the newest movement a track's
/// speed takes over.
const SPEED_GAIN: f32 = 0.5;

/// Follows faces from frame to frame.
#[derive(Debug, Default)]
pub struct Tracker {
    tracks: Vec<Track>,
    next: u64,
    /// When the last frame was taken.
    last: Moment,
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    centre: Point,
    width: f32,
    /// Pixels a second.
    speed: Point,
    seen: Moment,
}

impl Tracker {
    /// Takes in the faces of a frame and gives the track of each, in the same order.
    pub fn update(&mut self, faces: &[Face], now: Moment) -> Vec<TrackId> {
        let last = std::mem::replace(&mut self.last, now);
        self.tracks.retain(|track| now.since(track.seen) <= if track.seen == last { BRIDGED } else { LOST_AFTER });
        // Each way of going on, nearest first. NaN never gets in: its comparisons fail.
        let mut ways = Vec::new();
        for (face_at, face) in faces.iter().enumerate() {
            for (track_at, track) in self.tracks.iter().enumerate() {
                if let Some(distance) = track.distance(face, now) {
                    ways.push((distance, face_at, track_at));
                }
            }
        }
        ways.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut follows: Vec<Option<usize>> = vec![None; faces.len()];
        let mut followed = vec![false; self.tracks.len()];
        for &(distance, face_at, track_at) in &ways {
            if follows[face_at].is_some() || followed[track_at] {
                continue;
            }
            let rival = ways.iter().any(|&(other, face, track)| {
                ((face == face_at) != (track == track_at)) && other <= distance * RIVAL && other.max(distance) > 0.1
            });
            // The track ends here: whoever comes next begins anew.
            followed[track_at] = true;
            if !rival {
                follows[face_at] = Some(track_at);
            }
        }
        let ids = faces.iter().zip(&follows).map(|(face, follows)| match follows {
            Some(at) => {
                self.tracks[*at].go_on(face, now);
                self.tracks[*at].id
            }
            None => {
                let id = TrackId(self.next);
                self.next += 1;
                self.tracks.push(Track {
                    id,
                    centre: centre(face),
                    width: face.area.width,
                    speed: Point::default(),
                    seen: now,
                });
                id
            }
        });
        let ids: Vec<_> = ids.collect();
        // Tracks that were claimed but not followed are over.
        let mut at = 0;
        self.tracks.retain(|track| {
            let over = followed.get(at).is_some_and(|&claimed| claimed) && !ids.contains(&track.id);
            at += 1;
            !over
        });
        ids
    }
}

impl Track {
    /// How far the face is from where the track would be now, in widths of the face; none where it cannot be the same.
    fn distance(&self, face: &Face, now: Moment) -> Option<f32> {
        let growth = face.area.width / self.width;
        if !(1.0 / GROWTH..=GROWTH).contains(&growth) {
            return None;
        }
        let passed = now.since(self.seen).as_secs_f32();
        let here = centre(face);
        let expected = Point { x: self.centre.x + self.speed.x * passed, y: self.centre.y + self.speed.y * passed };
        // A face that stopped is where it was.
        let away = |from: Point| (here.x - from.x).hypot(here.y - from.y) / self.width.max(face.area.width);
        let distance = away(expected).min(away(self.centre));
        (distance <= REACH).then_some(distance)
    }

    fn go_on(&mut self, face: &Face, now: Moment) {
        let here = centre(face);
        let passed = now.since(self.seen).as_secs_f32();
        if passed > 0.0 {
            let newest = Point { x: (here.x - self.centre.x) / passed, y: (here.y - self.centre.y) / passed };
            self.speed.x += SPEED_GAIN * (newest.x - self.speed.x);
            self.speed.y += SPEED_GAIN * (newest.y - self.speed.y);
        }
        (self.centre, self.width, self.seen) = (here, face.area.width, now);
    }
}

fn centre(face: &Face) -> Point {
    Point { x: face.area.left + face.area.width / 2.0, y: face.area.top + face.area.height / 2.0 }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::vision::Rect;

    fn face(x: f32, y: f32, size: f32) -> Face {
        Face {
            area: Rect { left: x - size / 2.0, top: y - size / 2.0, width: size, height: size },
            confidence: 0.9,
            landmarks: [Point { x, y }; 5],
        }
    }

    fn at(ms: u64) -> Moment {
        Moment::from_start(Duration::from_millis(ms))
    }

    #[test]
    fn a_walking_face_keeps_its_track_through_a_missed_frame() {
        let mut tracker = Tracker::default();
        let first = tracker.update(&[face(100.0, 100.0, 80.0)], at(0));
        for (ms, x) in [(100, 130.0), (200, 160.0), (300, 190.0)] {
            assert_eq!(tracker.update(&[face(x, 100.0, 80.0)], at(ms)), first);
        }
        tracker.update(&[], at(400));
        assert_eq!(tracker.update(&[face(250.0, 100.0, 82.0)], at(500)), first);
    }

    #[test]
    fn a_face_that_jumps_grows_or_comes_back_late_is_somebody_new() {
        for (next, ms) in
            [(face(240.0, 100.0, 80.0), 100), (face(100.0, 100.0, 140.0), 100), (face(100.0, 100.0, 80.0), 1_700)]
        {
            let mut tracker = Tracker::default();
            let first = tracker.update(&[face(100.0, 100.0, 80.0)], at(0));
            assert_ne!(tracker.update(&[next], at(ms)), first);
        }
    }

    #[test]
    fn frames_that_come_rarely_show_one_person() {
        for gap in [750, 1_000, u64::try_from(RAREST.as_millis()).expect("small")] {
            let mut tracker = Tracker::default();
            let first = tracker.update(&[face(100.0, 100.0, 80.0)], at(0));
            for frame in 1..5 {
                let here = face(100.0 + 8.0 * frame as f32, 100.0, 80.0);
                assert_eq!(tracker.update(&[here], at(frame * gap)), first, "{gap} ms");
            }
        }
    }

    #[test]
    fn whoever_is_missing_from_a_frame_is_not_gone_on_with_after_a_pause() {
        // Frames come quickly, or rarely; then there is a pause, and somebody in that place.
        for (missing, next) in [(100, 900), (600, 1_300), (1_000, 2_000)] {
            let mut tracker = Tracker::default();
            let first = tracker.update(&[face(100.0, 100.0, 80.0)], at(0));
            tracker.update(&[], at(missing));
            assert_ne!(tracker.update(&[face(100.0, 100.0, 80.0)], at(next)), first, "{missing}, {next}");
        }
    }

    #[test]
    fn somebody_else_in_the_place_after_a_pause_is_somebody_new_where_both_could_be_the_first() {
        let mut tracker = Tracker::default();
        let first = tracker.update(&[face(100.0, 100.0, 80.0)], at(0));
        let second = tracker.update(&[face(80.0, 100.0, 80.0), face(122.0, 100.0, 80.0)], at(1_000));
        assert!(!second.contains(&first[0]));
    }

    #[test]
    fn two_people_side_by_side_keep_their_tracks() {
        let mut tracker = Tracker::default();
        let first = tracker.update(&[face(100.0, 100.0, 80.0), face(220.0, 100.0, 80.0)], at(0));
        let second = tracker.update(&[face(215.0, 104.0, 80.0), face(104.0, 98.0, 80.0)], at(100));
        assert_eq!([second[1], second[0]], first[..]);
    }

    #[test]
    fn where_two_faces_could_be_the_one_neither_is() {
        let mut tracker = Tracker::default();
        let first = tracker.update(&[face(100.0, 100.0, 80.0)], at(0));
        let second = tracker.update(&[face(80.0, 100.0, 80.0), face(122.0, 100.0, 80.0)], at(100));
        assert!(!second.contains(&first[0]), "evidence must not pass to one of the two by chance");
        let third = tracker.update(&[face(80.0, 100.0, 80.0)], at(200));
        assert!(!third.contains(&first[0]), "the track is over");
    }

    fn frame() -> impl Strategy<Value = Vec<Face>> {
        prop::collection::vec((0f32..640.0, 0f32..480.0, 20f32..200.0).prop_map(|(x, y, size)| face(x, y, size)), 0..6)
    }

    proptest! {
        #[test]
        fn ids_are_given_once_a_frame_and_never_used_again(frames in prop::collection::vec((frame(), 1u64..2_000), 1..30)) {
            let (mut tracker, mut now, mut last_seen) = (Tracker::default(), 0, std::collections::HashMap::new());
            for (faces, passed) in frames {
                let last = now;
                now += passed;
                let ids = tracker.update(&faces, at(now));
                prop_assert_eq!(ids.iter().collect::<HashSet<_>>().len(), faces.len());
                for id in ids {
                    if let Some(before) = last_seen.insert(id, now) {
                        let most = if before == last { 1_600 } else { 700 };
                        prop_assert!(now - before <= most);
                    }
                }
                prop_assert!(tracker.tracks.len() <= 6 * 800, "tracks that are over are forgotten");
            }
        }

        #[test]
        fn the_order_of_the_faces_does_not_matter(one in frame(), two in frame()) {
            let follow = |second: &[Face]| {
                let mut tracker = Tracker::default();
                let first = tracker.update(&one, at(0));
                tracker.update(second, at(100)).iter().map(|id| first.iter().position(|f| f == id)).collect::<Vec<_>>()
            };
            let mut backwards = two.clone();
            backwards.reverse();
            let mut followed = follow(&backwards);
            followed.reverse();
            prop_assert_eq!(follow(&two), followed);
        }

        #[test]
        fn a_track_never_jumps(one in frame(), two in frame()) {
            let mut tracker = Tracker::default();
            let first = tracker.update(&one, at(0));
            for (face, id) in two.iter().zip(tracker.update(&two, at(100))) {
                if let Some(before) = first.iter().position(|f| *f == id) {
                    let (a, b) = (centre(face), centre(&one[before]));
                    let most = REACH * face.area.width.max(one[before].area.width) + 0.01;
                    prop_assert!((a.x - b.x).hypot(a.y - b.y) <= most);
                }
            }
        }
    }
}
