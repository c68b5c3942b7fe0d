//! Reads UltraFace's outputs: scores for background and face, and boxes as fractions of the input.

use super::Candidate;
use crate::{
    error::{Error, Kind, Result},
    vision::Rect,
};

/// The least score of a face; the value of the published demonstration.
const LEAST_CONFIDENCE: f32 = 0.7;

/// The faces among the outputs, in pixels of the input.
pub fn decode(outputs: &[Vec<f32>], width: usize, height: usize) -> Result<Vec<Candidate>> {
    let [scores, boxes] = outputs else {
        return Err(Error::new(Kind::Model, format!("an UltraFace has 2 outputs; this one has {}", outputs.len())));
    };
    let (scores, odd) = scores.as_chunks::<2>();
    let (boxes, rest) = boxes.as_chunks::<4>();
    if !odd.is_empty() || !rest.is_empty() || scores.len() != boxes.len() {
        return Err(Error::new(Kind::Model, "the UltraFace's scores and boxes do not fit each other"));
    }
    let (width, height) = (width as f32, height as f32);
    let sure = scores.iter().zip(boxes).filter(|([_, face], _)| *face >= LEAST_CONFIDENCE);
    let found = sure.map(|([_, face], [left, top, right, bottom])| Candidate {
        area: Rect {
            left: left * width,
            top: top * height,
            width: (right - left) * width,
            height: (bottom - top) * height,
        },
        confidence: face.min(1.0),
        landmarks: None,
    });
    Ok(found.filter(Candidate::is_finite).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sure_boxes_are_read_and_others_are_not() {
        let scores = vec![0.1, 0.9, 0.9, 0.1, 0.0, 0.95];
        let boxes = vec![0.25, 0.5, 0.5, 0.75, 0.0, 0.0, 1.0, 1.0, 0.5, 0.5, 0.4, 0.6];
        let found = decode(&[scores.clone(), boxes.clone()], 320, 240).unwrap();
        assert_eq!(found.len(), 1, "the second is unsure, the third inside out");
        assert_eq!(found[0].area, Rect { left: 80.0, top: 120.0, width: 80.0, height: 60.0 });
        assert!(decode(&[scores, boxes[..8].to_vec()], 320, 240).is_err());
    }
}
