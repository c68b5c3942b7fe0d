//! Frames as a camera would see them of a photograph that is printed, shown or held before it. Deterministic, and pure.
//!
//! Geometry: a photograph is a card of unit size, which stands before a wall and is moved, turned and tilted by a homography. What
//! the card is made of is a [`Material`].

use image::{Rgb, RgbImage};

/// Size of the frames, in pixels.
pub const FRAME: (u32, u32) = (640, 480);

/// Pixels of the frame that a card is wide and high, before it is moved; and how much larger it is where it fills the frame.
const CARD: f32 = 520.0;
const FILLING: f32 = 1.8;

/// The sensor's noise, standard deviation in grey levels.
const NOISE: f32 = 2.0;

/// What stands before the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Material {
    /// A head, made of the photograph over a relief, as large as the frame.
    Relief,
    /// The photograph and nothing else, as large as the frame.
    Plain,
    /// On paper with a white border.
    Print,
    /// The same in dots.
    Halftone,
    /// On a screen whose pixels the camera sees.
    Screen,
    /// On a screen whose pixels are too small for that.
    Phone,
    /// The head alone, cut out of a print.
    Cutout,
}

/// How the card is held, and how the light is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// From the frame's middle, in pixels.
    pub shift: (f32, f32),
    /// 1 as it is.
    pub scale: f32,
    /// In radians.
    pub turn: f32,
    /// How much further away its right and its lower edge are, as parts of the distance.
    pub tilt: (f32, f32),
    /// Of a head: to the side, in radians.
    pub yaw: f32,
    /// Brightness of what shines by itself, 1 as it is.
    pub gain: f32,
}

/// Where the face is on a photograph, in parts of its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Its middle.
    pub middle: (f32, f32),
    /// Half its width.
    pub radius: f32,
}

/// Draws a frame; `seed` makes the noise.
pub fn draw(photograph: &RgbImage, face: Place, material: Material, held: &Held, seed: u32) -> RgbImage {
    // Where there is something finer than the frame's pixels.
    let fine = matches!(material, Material::Halftone | Material::Screen);
    let steps = if fine { 3 } else { 1 };
    RgbImage::from_fn(FRAME.0, FRAME.1, |x, y| {
        let mut sum = [0.0; 3];
        for step in 0..steps * steps {
            let inside = |step: u32| (step as f32 + 0.5) / steps as f32;
            let (fx, fy) = (x as f32 + inside(step % steps), y as f32 + inside(step / steps));
            let colour = card(photograph, face, material, held, fx, fy).unwrap_or_else(|| wall(fx, fy));
            sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += value);
        }
        let noise = NOISE * normal(seed, x, y);
        Rgb(sum.map(|sum| (sum / (steps * steps) as f32 + noise).round().clamp(0.0, 255.0) as u8))
    })
}

fn wall(x: f32, y: f32) -> [f32; 3] {
    let shade = 118.0 + 0.05 * x - 0.03 * y + 4.0 * (x * 0.021 + y * 0.013).sin();
    [shade, shade * 0.98, shade * 0.93]
}

/// What is seen of the card there, if anything.
fn card(photograph: &RgbImage, face: Place, material: Material, held: &Held, x: f32, y: f32) -> Option<[f32; 3]> {
    let fills = matches!(material, Material::Relief | Material::Plain);
    let size = CARD * held.scale * if fills { FILLING } else { 1.0 };
    let (dx, dy) = (x - FRAME.0 as f32 / 2.0 - held.shift.0, y - FRAME.1 as f32 / 2.0 - held.shift.1);
    let (sin, cos) = held.turn.sin_cos();
    let (dx, dy) = ((dx * cos + dy * sin) / size, (dy * cos - dx * sin) / size);
    let further = 1.0 - held.tilt.0 * dx - held.tilt.1 * dy;
    let (mut u, v) = (0.5 + dx / further, 0.5 + dy / further);
    // In halves of the face's width.
    let (du, dv) = ((u - face.middle.0) / face.radius, (v - face.middle.1) / face.radius);
    let head = 1.0 - (du / 1.1) * (du / 1.1) - (dv / 1.45) * (dv / 1.45);
    let within = |border: f32| (-border..1.0 + border).contains(&u) && (-border..1.0 + border).contains(&v);
    let border = |width: f32, colour: [f32; 3]| (within(width) && !within(0.0)).then_some(colour);
    match material {
        Material::Relief => {
            // An ellipsoid with a nose on it; what stands out moves along with the turn.
            let nose = (-(du * du + (dv - 0.1) * (dv - 0.1)) / (2.0 * 0.16 * 0.16)).exp();
            u -= face.radius * (0.8 * head.max(0.0).sqrt() + 0.26 * nose) * held.yaw.sin();
            sample(photograph, u, v)
        }
        Material::Plain => sample(photograph, u, v),
        Material::Print => border(0.05, [226.0, 224.0, 218.0]).or_else(|| Some(paper(sample(photograph, u, v)?))),
        Material::Cutout => {
            if head > -0.35 {
                Some(paper(sample(photograph, u, v)?))
            } else {
                None
            }
        }
        Material::Halftone => border(0.05, [226.0, 224.0, 218.0]).or_else(|| {
            let colour = sample(photograph, u, v)?;
            // Ninety dots across, at 45 degrees.
            let (a, b) = ((u + v) * 64.0, (u - v) * 64.0);
            let dot = 127.5 + 60.0 * ((std::f32::consts::TAU * a).cos() + (std::f32::consts::TAU * b).cos());
            Some(paper(colour.map(|value| 255.0 * ((value - dot) / 40.0 + 0.5).clamp(0.0, 1.0))))
        }),
        Material::Screen | Material::Phone => border(0.04, [14.0, 14.0, 16.0]).or_else(|| {
            let [red, green, blue] = sample(photograph, u, v)?;
            let cast = [red * 0.94, green * 0.99, blue * 1.08].map(|value| value * held.gain);
            if material == Material::Phone {
                return Some(cast);
            }
            // Three stripes a pixel, with dark gaps between.
            let stripe = |phase: f32| 0.6 + 0.8 * (std::f32::consts::TAU * (u * 340.0 + phase)).cos();
            let row = (0.75 + 0.5 * (std::f32::consts::TAU * v * 340.0).cos()).clamp(0.2, 1.2);
            let [red, green, blue] = cast;
            Some(
                [red * stripe(0.0).max(0.1), green * stripe(0.33).max(0.1), blue * stripe(0.67).max(0.1)]
                    .map(|value| value * row * 1.5),
            )
        }),
    }
}

/// Paper is never black and never as bright as a lamp.
fn paper(colour: [f32; 3]) -> [f32; 3] {
    colour.map(|value| 24.0 + value * 0.8)
}

/// Bilinear; none beyond the photograph.
fn sample(photograph: &RgbImage, u: f32, v: f32) -> Option<[f32; 3]> {
    if !((0.0..1.0).contains(&u) && (0.0..1.0).contains(&v)) {
        return None;
    }
    let (x, y) = (u * photograph.width() as f32 - 0.5, v * photograph.height() as f32 - 0.5);
    let at = |x: f32, y: f32| {
        let (x, y) =
            ((x.max(0.0) as u32).min(photograph.width() - 1), (y.max(0.0) as u32).min(photograph.height() - 1));
        photograph.get_pixel(x, y).0.map(f32::from)
    };
    let (left, top) = (x.floor(), y.floor());
    let mix = |a: [f32; 3], b: [f32; 3], part: f32| [0, 1, 2].map(|at| a[at] + (b[at] - a[at]) * part);
    let upper = mix(at(left, top), at(left + 1.0, top), x - left);
    let lower = mix(at(left, top + 1.0), at(left + 1.0, top + 1.0), x - left);
    Some(mix(upper, lower, y - top))
}

/// About normal, of unit deviation: the sum of twelve uniform numbers of which four are in each word of a hash.
fn normal(seed: u32, x: u32, y: u32) -> f32 {
    let mut hash = u64::from(seed) << 40 ^ u64::from(x) << 20 ^ u64::from(y);
    let mut sum = 0.0;
    for _ in 0..3 {
        // SplitMix64's steps (Steele, Lea and Flood 2014).
        hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        sum += (0..4).map(|word| (mixed >> (16 * word) & 0xffff) as f32 / 65_536.0).sum::<f32>();
    }
    sum - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: Held = Held { shift: (0.0, 0.0), scale: 1.0, turn: 0.0, tilt: (0.0, 0.0), yaw: 0.0, gain: 1.0 };

    const FACE: Place = Place { middle: (0.5, 0.5), radius: 0.18 };

    fn photograph() -> RgbImage {
        RgbImage::from_fn(200, 200, |x, y| Rgb([x as u8, y as u8, 90]))
    }

    #[test]
    fn the_same_is_drawn_twice_and_another_seed_is_other_noise() {
        let frame = |seed| draw(&photograph(), FACE, Material::Print, &STILL, seed);
        assert_eq!(frame(1).as_raw(), frame(1).as_raw());
        let apart: f32 = frame(1).iter().zip(frame(2).iter()).map(|(a, b)| f32::from(a.abs_diff(*b))).sum();
        let mean = apart / frame(1).len() as f32;
        // Of two of a deviation of 2 the mean difference is 2.26.
        assert!((2.0..2.6).contains(&mean), "{mean}");
    }

    #[test]
    fn the_middle_of_the_photograph_is_in_the_middle_and_the_wall_behind_it() {
        let near =
            |pixel: Rgb<u8>, to: [f32; 3], by: f32| pixel.0.iter().zip(to).all(|(a, b)| (f32::from(*a) - b).abs() < by);
        let frame = draw(&photograph(), FACE, Material::Print, &STILL, 1);
        assert!(near(*frame.get_pixel(320, 240), paper([100.0, 100.0, 90.0]), 12.0));
        assert!(near(*frame.get_pixel(8, 8), wall(8.5, 8.5), 12.0));
        // Moved by 40 pixels, and cut out: beside the head is the wall.
        let held = Held { shift: (40.0, 0.0), ..STILL };
        let frame = draw(&photograph(), FACE, Material::Cutout, &held, 1);
        assert!(near(*frame.get_pixel(360, 240), paper([100.0, 100.0, 90.0]), 12.0));
        assert!(near(*frame.get_pixel(160, 240), wall(160.5, 240.5), 12.0));
    }
}
