//! Renders a still as a camera would see it: moved, turned, nearer or further, brighter or darker, with noise. Pure.

use image::{Rgb, RgbImage};

/// The wall behind a still, grey level.
const BACKGROUND: u8 = 112;
/// Noise is drawn once and then read from a random place for each row.
const NOISE: usize = 1 << 16;

/// A still, made ready to be drawn: a word a pixel, its three channels 16 bits apart, so that they are mixed together.
pub(super) struct Still {
    pub(super) width: u32,
    pub(super) height: u32,
    pixels: Vec<u64>,
}

impl Still {
    pub(super) fn new(image: &RgbImage) -> Self {
        let spread = |pixel: &Rgb<u8>| {
            let [red, green, blue] = pixel.0.map(u64::from);
            red | green << 16 | blue << 32
        };
        Self { width: image.width(), height: image.height(), pixels: image.pixels().map(spread).collect() }
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.pixels.len() * size_of::<u64>()
    }
}

/// How a still stands before the camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pose {
    /// From the centre, in pixels of the frame.
    pub shift: (f32, f32),
    /// Pixels of the frame a pixel of the still.
    pub scale: f32,
    /// Clockwise, in radians.
    pub angle: f32,
    /// Brightness, 1 as it is.
    pub gain: f32,
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and good enough for noise.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to under 1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Draws frames of one size.
pub(super) struct Scene {
    width: u32,
    height: u32,
    /// Empty where there is no noise.
    noise: Vec<i8>,
}

impl Scene {
    /// `noise` is the standard deviation in grey levels; at most 30.
    pub(super) fn new(width: u32, height: u32, noise: f32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut normal = || {
            // Box and Muller, 1958.
            let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
            let angle = std::f32::consts::TAU * random.unit();
            (radius * angle.cos() * noise).round().clamp(-127.0, 127.0) as i8
        };
        let count = if noise > 0.0 { NOISE + 3 * width as usize } else { 0 };
        Self { width, height, noise: (0..count).map(|_| normal()).collect() }
    }

    /// An empty scene.
    pub(super) fn empty(&self, gain: f32, random: &mut Random) -> RgbImage {
        let mut frame = RgbImage::from_pixel(self.width, self.height, Rgb([BACKGROUND; 3]));
        self.finish(&mut frame, gain, random);
        frame
    }

    /// The still before the wall.
    pub(super) fn draw(&self, still: &Still, pose: &Pose, random: &mut Random) -> RgbImage {
        let mut frame = RgbImage::from_pixel(self.width, self.height, Rgb([BACKGROUND; 3]));
        let (sin, cos) = (pose.angle.sin() / pose.scale, pose.angle.cos() / pose.scale);
        let (wide, high) = (i64::from(still.width), i64::from(still.height));
        // From the frame to the still, both from their centres, in 1/65536 pixel.
        let fixed = |value: f32| (f64::from(value) * 65536.0).round() as i64;
        let step = (fixed(cos), fixed(-sin));
        let (count, pitch) = (i64::from(self.width), still.width as usize);
        for (y, row) in frame.chunks_exact_mut(3 * self.width as usize).enumerate() {
            let dx = 0.5 - self.width as f32 / 2.0 - pose.shift.0;
            let dy = y as f32 + 0.5 - self.height as f32 / 2.0 - pose.shift.1;
            // The half pixels: values stand for pixel centres.
            let u = fixed(dx * cos + dy * sin + still.width as f32 / 2.0 - 0.5);
            let v = fixed(-dx * sin + dy * cos + still.height as f32 / 2.0 - 0.5);
            // Where the row lies on the still, so that the loop below need not ask.
            let across = inside(u, step.0, ((wide - 1) << 16) - 1, count);
            let down = inside(v, step.1, ((high - 1) << 16) - 1, count);
            let (from, to) = (across.0.max(down.0), across.1.min(down.1));
            if from >= to {
                continue;
            }
            let (mut u, mut v) = (u + from * step.0, v + from * step.1);
            for pixel in row[3 * from as usize..3 * to as usize].chunks_exact_mut(3) {
                let (fx, fy) = ((u as u64 >> 8) & 0xff, (v as u64 >> 8) & 0xff);
                let at = (v >> 16) as usize * pitch + (u >> 16) as usize;
                let (above, below) = (&still.pixels[at..at + 2], &still.pixels[at + pitch..at + pitch + 2]);
                let mixed = mix(mix(above[0], above[1], fx), mix(below[0], below[1], fx), fy);
                pixel.copy_from_slice(&[mixed as u8, (mixed >> 16) as u8, (mixed >> 32) as u8]);
                (u, v) = (u.wrapping_add(step.0), v.wrapping_add(step.1));
            }
        }
        self.finish(&mut frame, pose.gain, random);
        frame
    }

    /// Brightness, then noise.
    fn finish(&self, frame: &mut RgbImage, gain: f32, random: &mut Random) {
        let gain = (gain * 256.0).round() as i32;
        if self.noise.is_empty() && gain == 256 {
            return;
        }
        let length = 3 * self.width as usize;
        for row in frame.chunks_exact_mut(length) {
            let from = if self.noise.is_empty() { 0 } else { random.next() as usize % NOISE };
            match self.noise.get(from..from + length) {
                Some(noise) => {
                    for (value, noise) in row.iter_mut().zip(noise) {
                        *value = (((i32::from(*value) * gain) >> 8) + i32::from(*noise)).clamp(0, 255) as u8;
                    }
                }
                None => {
                    for value in row {
                        *value = ((i32::from(*value) * gain) >> 8).clamp(0, 255) as u8;
                    }
                }
            }
        }
    }
}

/// Two pixels, mixed: none of `b` at `part` 0, nearly all at 255. Each lane holds at most 255 · 256, so none runs over.
fn mix(a: u64, b: u64, part: u64) -> u64 {
    const LANES: u64 = 0x00ff_00ff_00ff;
    const HALF: u64 = 0x0080_0080_0080;
    ((a.wrapping_mul(256 - part).wrapping_add(b.wrapping_mul(part)).wrapping_add(HALF)) >> 8) & LANES
}

/// The first and the one past the last of the `count` steps at which 0 ≤ `start` + n · `step` ≤ `most`.
fn inside(start: i64, step: i64, most: i64, count: i64) -> (i64, i64) {
    let (from, to) = match step {
        _ if most < 0 => (0, 0),
        0 if (0..=most).contains(&start) => (0, count),
        0 => (0, 0),
        // Rounded up to the first step at or past 0, down to the last at or before `most`; mirrored for backward steps.
        1.. => (-start.div_euclid(step), (most - start).div_euclid(step) + 1),
        _ => (-(most - start).div_euclid(-step), start.div_euclid(-step) + 1),
    };
    (from.clamp(0, count), to.clamp(0, count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRAIGHT: Pose = Pose { shift: (0.0, 0.0), scale: 1.0, angle: 0.0, gain: 1.0 };

    fn picture() -> RgbImage {
        RgbImage::from_fn(64, 48, |x, y| Rgb([(3 * x) as u8, (4 * y) as u8, 128]))
    }

    #[test]
    fn straight_is_the_still_itself() {
        let frame = Scene::new(64, 48, 0.0, 1).draw(&Still::new(&picture()), &STRAIGHT, &mut Random::new(1));
        for (x, y, pixel) in picture().enumerate_pixels().filter(|(x, y, _)| *x < 63 && *y < 47) {
            assert_eq!(frame.get_pixel(x, y), pixel);
        }
    }

    #[test]
    fn shifts_turns_and_sizes_go_the_right_way() {
        let mut spot = RgbImage::from_pixel(101, 101, Rgb([0; 3]));
        for (dx, dy) in (0..9).map(|at| (at % 3, at / 3)) {
            spot.put_pixel(69 + dx, 49 + dy, Rgb([255; 3]));
        }
        let brightest = |pose: Pose| {
            let frame = Scene::new(101, 101, 0.0, 1).draw(&Still::new(&spot), &pose, &mut Random::new(1));
            let bright: Vec<_> = frame.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 200).collect();
            let count = bright.len() as u32;
            (bright.iter().map(|at| at.0).sum::<u32>() / count, bright.iter().map(|at| at.1).sum::<u32>() / count)
        };
        assert_eq!(brightest(STRAIGHT), (70, 50));
        assert_eq!(brightest(Pose { shift: (10.0, -5.0), ..STRAIGHT }), (80, 45));
        assert_eq!(brightest(Pose { scale: 2.0, ..STRAIGHT }), (90, 50));
        let quarter = Pose { angle: std::f32::consts::FRAC_PI_2, ..STRAIGHT };
        assert_eq!(brightest(quarter), (50, 70), "clockwise, from the right to below");
    }

    proptest! {
        #[test]
        fn inside_finds_every_step_that_is_and_none_that_is_not(
            start in -5000i64..5000, step in -300i64..300, most in -10i64..4000, count in 0i64..60,
        ) {
            let (from, to) = inside(start, step, most, count);
            for at in 0..count {
                prop_assert_eq!((from..to).contains(&at), (0..=most).contains(&(start + at * step)));
            }
        }

        #[test]
        fn no_pose_reads_beyond_the_still(
            wide in 1u32..40, high in 1u32..40, shift in (-200f32..200.0, -200f32..200.0), scale in 0.05f32..20.0,
            angle in -4f32..4.0,
        ) {
            let still = Still::new(&RgbImage::from_pixel(wide, high, Rgb([9; 3])));
            let pose = Pose { shift, scale, angle, gain: 1.0 };
            let frame = Scene::new(48, 32, 0.0, 1).draw(&still, &pose, &mut Random::new(1));
            prop_assert!(frame.pixels().all(|pixel| *pixel == Rgb([9; 3]) || *pixel == Rgb([BACKGROUND; 3])));
        }
    }

    #[test]
    fn noise_and_gain_are_as_asked() {
        let scene = Scene::new(320, 240, 5.0, 7);
        let frame = scene.empty(1.5, &mut Random::new(3));
        let values: Vec<f32> = frame.as_raw().iter().map(|&v| f32::from(v)).collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt();
        assert!((mean - 168.0).abs() < 1.0 && (deviation - 5.0).abs() < 0.3, "{mean} ± {deviation}");
        assert_ne!(frame, scene.empty(1.5, &mut Random::new(4)));
        assert_eq!(frame, scene.empty(1.5, &mut Random::new(3)));
    }
}
