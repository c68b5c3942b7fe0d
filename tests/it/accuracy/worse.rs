//! Photographs made worse, as cameras, light and people make them.

use facegate::vision::{evaluate::bootstrap::mixed, picture::luma};
use image::{
    GrayImage, Luma, RgbImage,
    codecs::jpeg::JpegEncoder,
    imageops::{FilterType, blur, resize},
};

/// What is done to a photograph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    AsItIs,
    /// Out of focus: a Gaussian of that deviation in pixels.
    Blurred(f32),
    /// A head that moved by so many pixels to the side while the shutter was open.
    Moved(u32),
    /// So much of the light, with the noise that a sensor has then.
    Light(f32),
    /// Noise of that deviation in grey levels.
    Noisy(f32),
    /// Taken from farther away: so many pixels for each of the photograph's.
    Smaller(f32),
    /// Compressed by JPEG with that quality, 1 to 100.
    Compressed(u8),
}

/// Every way, in the order of the page's table.
pub const WAYS: [Way; 18] = [
    Way::AsItIs,
    Way::Blurred(1.5),
    Way::Blurred(2.0),
    Way::Blurred(3.0),
    Way::Blurred(4.0),
    Way::Moved(7),
    Way::Moved(13),
    Way::Light(0.333),
    Way::Light(0.125),
    Way::Light(2.0),
    Way::Light(4.0),
    Way::Noisy(10.0),
    Way::Noisy(20.0),
    Way::Noisy(35.0),
    Way::Smaller(0.5),
    Way::Smaller(0.36),
    Way::Smaller(0.25),
    Way::Compressed(10),
];

/// The deviation of a sensor's noise in the dark, in grey levels.
const SENSOR: f32 = 3.0;

impl Way {
    /// The photograph made worse, in grey. `seed` is of the noise.
    pub fn of(self, photo: &RgbImage, seed: u64) -> RgbImage {
        let grey =
            GrayImage::from_fn(photo.width(), photo.height(), |x, y| Luma([luma(photo.get_pixel(x, y).0) as u8]));
        let worse = match self {
            Self::AsItIs => return photo.clone(),
            Self::Blurred(deviation) => blur(&grey, deviation),
            Self::Moved(by) => moved(&grey, by),
            Self::Light(times) => {
                let noise = if times < 1.0 { SENSOR } else { 0.0 };
                each(&grey, |value, at| value * times + noise * normal(seed, at))
            }
            Self::Noisy(deviation) => each(&grey, |value, at| value + deviation * normal(seed, at)),
            Self::Smaller(times) => {
                let side = |pixels: u32| (pixels as f32 * times).round() as u32;
                resize(&grey, side(grey.width()), side(grey.height()), FilterType::Triangle)
            }
            Self::Compressed(quality) => compressed(&grey, quality),
        };
        RgbImage::from_fn(worse.width(), worse.height(), |x, y| image::Rgb([worse.get_pixel(x, y).0[0]; 3]))
    }
}

/// Every pixel by its value and its number.
fn each(grey: &GrayImage, of: impl Fn(f32, u64) -> f32) -> GrayImage {
    let values = grey.as_raw().iter().zip(0..).map(|(value, at)| of(f32::from(*value), at).round() as u8);
    GrayImage::from_raw(grey.width(), grey.height(), values.collect()).expect("as many pixels as before")
}

/// The mean over as many pixels to the right, as far as the picture goes.
fn moved(grey: &GrayImage, by: u32) -> GrayImage {
    GrayImage::from_fn(grey.width(), grey.height(), |x, y| {
        let sum: f32 = (0..by).map(|step| f32::from(grey.get_pixel((x + step).min(grey.width() - 1), y).0[0])).sum();
        Luma([(sum / by as f32).round() as u8])
    })
}

fn compressed(grey: &GrayImage, quality: u8) -> GrayImage {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality).encode_image(grey).expect("it can be compressed");
    image::load_from_memory(&file).expect("it was just made").into_luma8()
}

/// A number of the normal distribution, the same at every run (Box and Muller 1958).
fn normal(seed: u64, at: u64) -> f32 {
    let bits = mixed(seed << 32 | at);
    let part = |bits: u64| ((bits & 0xffff_ffff) as f32 + 0.5) / 4_294_967_296.0;
    (-2.0 * part(bits).ln()).sqrt() * (std::f32::consts::TAU * part(bits >> 32)).cos()
}
