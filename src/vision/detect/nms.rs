//! Non-maximum suppression: of finds that overlap, the surest is kept.

use super::Candidate;
use crate::vision::{Point, Rect};

/// Two finds are of one face when the intersection is more than this part of the union. YuNet's own evaluation uses 0.3.
const SAME_FACE: f32 = 0.3;

/// More candidates than this are not looked at, surest first: a bound on the time that a strange picture can take.
const MOST: usize = 512;

/// Keeps the surest of each group of finds that overlap, surest first.
pub fn suppress(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    candidates.truncate(MOST);
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|sure| overlap(&sure.area, &candidate.area) <= SAME_FACE) {
            kept.push(candidate);
        }
    }
    kept
}

/// As [`suppress`] for the finds of at least `least` confidence, but a face's points are the mean over all finds that share
/// so much of its area (intersection over union), the less sure ones too, each as much as its confidence: neighbouring cells see the same face from
/// slightly different places, and their errors partly cancel.
pub fn vote(candidates: Vec<Candidate>, least: f32, shared: f32) -> Vec<Candidate> {
    let all = candidates.clone();
    let mut faces = suppress(candidates);
    faces.retain(|face| face.confidence >= least);
    for face in &mut faces {
        let mut sum = [Point::default(); 5];
        let mut weight = 0.0;
        for voter in all.iter().filter(|voter| overlap(&face.area, &voter.area) >= shared) {
            let Some(points) = voter.landmarks else { continue };
            weight += voter.confidence;
            for (sum, point) in sum.iter_mut().zip(points) {
                sum.x += point.x * voter.confidence;
                sum.y += point.y * voter.confidence;
            }
        }
        if weight > 0.0 {
            face.landmarks = Some(sum.map(|sum| Point { x: sum.x / weight, y: sum.y / weight }));
        }
    }
    faces
}

/// Intersection over union, 0 to 1.
pub fn overlap(a: &Rect, b: &Rect) -> f32 {
    let width = (a.left + a.width).min(b.left + b.width) - a.left.max(b.left);
    let height = (a.top + a.height).min(b.top + b.height) - a.top.max(b.top);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let both = width * height;
    both / (a.width * a.height + b.width * b.height - both)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate() -> impl Strategy<Value = Candidate> {
        (0f32..300.0, 0f32..300.0, 5f32..80.0, 5f32..80.0, 0f32..1.0).prop_map(
            |(left, top, width, height, confidence)| Candidate {
                area: Rect { left, top, width, height },
                confidence,
                landmarks: None,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_kept_does_not_overlap_and_covers_what_is_not(all in prop::collection::vec(candidate(), 0..60)) {
            let kept = suppress(all.clone());
            for (at, a) in kept.iter().enumerate() {
                for b in &kept[at + 1..] {
                    prop_assert!(overlap(&a.area, &b.area) <= SAME_FACE);
                }
            }
            for gone in all.iter().filter(|one| !kept.contains(one)) {
                prop_assert!(kept.iter().any(|k| k.confidence >= gone.confidence && overlap(&k.area, &gone.area) > SAME_FACE));
            }
        }
    }

    #[test]
    fn points_are_the_mean_of_the_finds_that_share_the_area_by_their_confidence() {
        let find = |left: f32, confidence: f32, x: f32| Candidate {
            area: Rect { left, top: 0.0, width: 100.0, height: 100.0 },
            confidence,
            landmarks: Some([Point { x, y: 2.0 * x }; 5]),
        };
        let found = vote(
            vec![find(0.0, 0.9, 10.0), find(10.0, 0.3, 14.0), find(60.0, 0.4, 99.0), find(200.0, 0.4, 7.0)],
            0.5,
            0.5,
        );
        assert_eq!(found.len(), 1);
        let point = found[0].landmarks.unwrap()[3];
        assert!((point.x - 11.0).abs() < 1e-4 && (point.y - 22.0).abs() < 1e-4, "{point:?}");
        assert_eq!(found[0].confidence, 0.9);
    }
}
