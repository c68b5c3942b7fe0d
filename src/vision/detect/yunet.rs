//! Reads YuNet's outputs. The formulas are those of the training code's `YuNet_Head` (ShiqiYu/libfacedetection.train).

use super::Candidate;
use crate::{
    error::{Error, Kind, Result},
    vision::{Point, Rect},
};

const STRIDES: [usize; 3] = [8, 16, 32];

/// The faces among the outputs `cls`, `obj`, `bbox`, `kps`, each at strides 8, 16 and 32, in pixels of the input.
/// A confidence is `√(cls · obj)`; those under `least` are left out.
pub fn decode(outputs: &[Vec<f32>], width: usize, height: usize, least: f32) -> Result<Vec<Candidate>> {
    let [cls, obj, boxes, points] = outputs.as_chunks::<3>().0 else {
        return Err(Error::new(Kind::Model, format!("a YuNet has 12 outputs; this one has {}", outputs.len())));
    };
    let mut found = Vec::new();
    for (level, stride) in STRIDES.into_iter().enumerate() {
        let columns = width / stride;
        let cells = columns * (height / stride);
        let (cls, obj, boxes, points) = (&cls[level], &obj[level], &boxes[level], &points[level]);
        if cls.len() != cells || obj.len() != cells || boxes.len() != cells * 4 || points.len() != cells * 10 {
            return Err(Error::new(Kind::Model, format!("the YuNet's outputs at stride {stride} have another size")));
        }
        for (cell, (cls, obj)) in cls.iter().zip(obj).enumerate() {
            // Compared as squares: the root is taken of the few that pass.
            let squared = cls.clamp(0.0, 1.0) * obj.clamp(0.0, 1.0);
            if squared.is_nan() || squared < least * least {
                continue;
            }
            let (column, row, step) = ((cell % columns) as f32, (cell / columns) as f32, stride as f32);
            let b = &boxes[cell * 4..][..4];
            let (width, height) = (b[2].exp() * step, b[3].exp() * step);
            let area = Rect {
                left: (column + b[0]) * step - width / 2.0,
                top: (row + b[1]) * step - height / 2.0,
                width,
                height,
            };
            let p = &points[cell * 10..][..10];
            let landmark = |n: usize| Point { x: (column + p[2 * n]) * step, y: (row + p[2 * n + 1]) * step };
            let landmarks = Some([landmark(0), landmark(1), landmark(2), landmark(3), landmark(4)]);
            found.push(Candidate { area, confidence: squared.sqrt(), landmarks });
        }
    }
    found.retain(Candidate::is_finite);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cell_becomes_one_face() {
        let (width, height) = (64, 32);
        let mut outputs: Vec<Vec<f32>> = Vec::new();
        for numbers in [1, 1, 4, 10] {
            outputs.extend(STRIDES.map(|stride| vec![0.0; width / stride * (height / stride) * numbers]));
        }
        // Stride 16, column 2, row 1.
        let cell = 4 + 2;
        outputs[1][cell] = 0.81;
        outputs[4][cell] = 1.0;
        outputs[7][cell * 4..][..4].copy_from_slice(&[0.5, 0.25, 2f32.ln(), 0.0]);
        outputs[10][cell * 10] = 0.5;
        let found = decode(&outputs, width, height, 0.6).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].area, Rect { left: 24.0, top: 12.0, width: 32.0, height: 16.0 });
        assert!((found[0].confidence - 0.9).abs() < 1e-6);
        assert_eq!(found[0].landmarks.unwrap()[0], Point { x: 40.0, y: 16.0 });
        outputs[7][cell * 4 + 2] = f32::NAN;
        assert_eq!(decode(&outputs, width, height, 0.6).unwrap(), []);
        assert!(decode(&outputs, width, height + 32, 0.6).is_err());
        assert!(decode(&outputs[..11], width, height, 0.6).is_err());
    }
}
