//! Image files from outside, made into RGB pixels: the limits come first, the decoding after.
//!
//! A file is what its bytes say it is; its name and its declared type count for nothing. JPEG, PNG, WebP and BMP are read.
//! Whatever the file holds (greyscale, 16 bits a channel, CMYK, a palette, transparency), the answer is 8-bit RGB: more
//! bits are rounded, transparency is laid over white, the orientation in EXIF is applied. Of an animation the first
//! picture is taken (of an animated PNG: the picture that a reader without animation shows).

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage, metadata::Orientation};

use crate::error::{Context, Error, Kind, Result};

pub mod jpeg;
mod portrait;
mod sniff;

pub use self::portrait::portrait;

/// How much an image may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file, in bytes. Default 10 MiB.
    pub max_bytes: usize,
    /// Width times height, in pixels, read from the file's header before anything is decoded. Default 40 million.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 10 << 20, max_pixels: 40_000_000 }
    }
}

/// Decodes an image file.
///
/// # Errors
/// [`Kind::ImageTooLarge`] where a limit is passed, with the numbers; [`Kind::UnsupportedImageFormat`] where the bytes are
/// not one of the four formats, naming what they seem to be; [`Kind::ImageUndecodable`] where the file is empty, cut short
/// or broken.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage> {
    if bytes.is_empty() {
        return Err(Error::new(Kind::ImageUndecodable, "the image is empty (0 bytes)"));
    }
    if bytes.len() > limits.max_bytes {
        let message = format!("the image has {} bytes, more than the {} allowed", bytes.len(), limits.max_bytes);
        return Err(Error::new(Kind::ImageTooLarge, message).help("send a smaller or more strongly compressed image"));
    }
    let format = sniff::sniff(bytes)?;
    // A decoder of somebody else's that panics on hostile bytes has found a broken image, nothing more.
    catch_unwind(AssertUnwindSafe(|| match format {
        ImageFormat::Jpeg => decode_jpeg(bytes, limits),
        _ => decode_other(bytes, format, limits),
    }))
    .unwrap_or_else(|_| Err(Error::new(Kind::ImageUndecodable, format!("the {} decoder gave up", name(format)))))
}

fn decode_jpeg(bytes: &[u8], limits: &Limits) -> Result<RgbImage> {
    let decoded = jpeg::decode(bytes, limits.max_pixels)?;
    let orientation = decoded.exif.as_deref().and_then(Orientation::from_exif_chunk);
    Ok(upright(DynamicImage::ImageRgb8(decoded.image), orientation.unwrap_or(Orientation::NoTransforms)).into_rgb8())
}

fn decode_other(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<RgbImage> {
    let broken = || format!("the {} image cannot be decoded", name(format));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut allowed = image::Limits::default();
    // 8 bytes a pixel (RGBA of 16 bits), twice (a decoder's own copy), and room for its tables.
    allowed.max_alloc = Some(limits.max_pixels.saturating_mul(16).saturating_add(16 << 20));
    reader.limits(allowed);
    let mut decoder = reader.into_decoder().context(Kind::ImageUndecodable, broken)?;
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, limits.max_pixels)?;
    // Orientation is a courtesy: a picture whose EXIF is broken is still a picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).context(Kind::ImageUndecodable, broken)?;
    Ok(opaque(upright(image, orientation)))
}

fn upright(mut image: DynamicImage, orientation: Orientation) -> DynamicImage {
    image.apply_orientation(orientation);
    image
}

/// Lays a picture with transparency over white; any other is brought to 8-bit RGB.
fn opaque(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [red, green, blue, alpha] = rgba.get_pixel(x, y).0;
        let over = |value: u8| {
            let alpha = u32::from(alpha);
            ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        image::Rgb([over(red), over(green), over(blue)])
    })
}

/// Refuses a picture of more than `most` pixels, and one of none.
fn check_pixels(width: u32, height: u32, most: u64) -> Result<()> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(Error::new(
            Kind::ImageUndecodable,
            format!("the image is {width}×{height} pixels: nothing is in it"),
        ));
    }
    if pixels > most {
        let message = format!("the image is {width}×{height} ({pixels} pixels), more than the {most} pixels allowed");
        return Err(Error::new(Kind::ImageTooLarge, message).help("send a smaller image; 640×480 is enough for a face"));
    }
    Ok(())
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        _ => "image",
    }
}

#[cfg(test)]
mod tests;
