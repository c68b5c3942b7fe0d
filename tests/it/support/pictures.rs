//! Photographs that the tests make from those that there are.

use std::path::Path;

use image::{
    ImageFormat, RgbImage,
    imageops::{self, FilterType},
};

use super::photo_path;

/// A photograph's pixels.
pub fn open(name: &str) -> RgbImage {
    let path = photo_path(name);
    image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into_rgb8()
}

/// Several pictures side by side, each brought to that size.
pub fn grid(pictures: &[RgbImage], columns: u32, (width, height): (u32, u32)) -> RgbImage {
    let rows = u32::try_from(pictures.len()).expect("few").div_ceil(columns);
    let mut whole = RgbImage::new(columns * width, rows * height);
    for (at, picture) in (0..).zip(pictures) {
        let small = imageops::resize(picture, width, height, FilterType::Triangle);
        let (x, y) = (at % columns * width, at / columns * height);
        imageops::replace(&mut whole, &small, x.into(), y.into());
    }
    whole
}

/// Writes a picture as PNG.
pub fn save(picture: &RgbImage, path: &Path) {
    picture.save_with_format(path, ImageFormat::Png).expect("a picture can be written");
}
