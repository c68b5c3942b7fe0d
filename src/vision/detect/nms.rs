//! Non-maximum suppression: of finds that overlap, the surest is kept.

use super::Candidate;
use crate::vision::Rect;

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

/// Intersection over union, 0 to 1.
fn overlap(a: &Rect, b: &Rect) -> f32 {
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
}
