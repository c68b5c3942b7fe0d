//! A file that somebody sends, into pixels. It is not trusted: its size and its number of pixels are checked before anything
//! is decoded, and what cannot be decoded is an error that says why.

use std::io::Cursor;

use image::{DynamicImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage, error::ImageError};

use crate::error::{Error, Kind, Result};

/// What is taken at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub max_bytes: usize,
    /// Pixels of the picture, width times height.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 10 << 20, max_pixels: 40_000_000 }
    }
}

/// What is read, for people.
const ACCEPTED: &str = "JPEG, PNG, WebP and BMP are read";

/// Decodes a JPEG, PNG, WebP or BMP, told by its content and not by its name, to 8-bit RGB as it is meant to be looked at: EXIF's
/// orientation is applied, grey, palette, CMYK and 16-bit pictures are converted, transparency is laid on white. Of an
/// animation the first frame is taken.
///
/// # Errors
/// [`Kind::ImageTooLarge`], [`Kind::UnsupportedImageFormat`], [`Kind::ImageUndecodable`].
pub fn decode(file: &[u8], limits: &Limits) -> Result<RgbImage> {
    if file.is_empty() {
        return Err(Error::new(Kind::ImageUndecodable, "the image is empty"));
    }
    if file.len() > limits.max_bytes {
        return Err(Error::new(
            Kind::ImageTooLarge,
            format!("the image has {} bytes; at most {} are taken", file.len(), limits.max_bytes),
        ));
    }
    let format = sniff(file)?;
    let broken = |error: ImageError| match error {
        ImageError::Limits(_) => {
            Error::new(Kind::ImageTooLarge, "the image needs more memory than is allowed to decode it")
        }
        ImageError::Unsupported(_) => {
            Error::new(Kind::UnsupportedImageFormat, format!("this kind of {} is not read", name(format)))
        }
        _ => Error::new(Kind::ImageUndecodable, format!("the {} is broken or cut off", name(format))),
    };
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(allowance(limits));
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::new(Kind::ImageUndecodable, "the image has no pixels"));
    }
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(Error::new(
            Kind::ImageTooLarge,
            format!("the image has {width}×{height} pixels; at most {} are taken", limits.max_pixels),
        ));
    }
    // A broken EXIF block is no reason to refuse a picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    picture.apply_orientation(orientation);
    Ok(if picture.color().has_alpha() { on_white(&picture) } else { picture.into_rgb8() })
}

/// Memory for decoding: sixteen bytes a pixel is what the widest format and its conversion need.
fn allowance(limits: &Limits) -> image::Limits {
    let mut allowed = image::Limits::default();
    allowed.max_alloc = Some(limits.max_pixels.saturating_mul(16));
    allowed
}

fn on_white(picture: &DynamicImage) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0.map(u32::from);
        Rgb([red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    })
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

/// Tells the format by the file's first bytes.
fn sniff(file: &[u8]) -> Result<ImageFormat> {
    match image::guess_format(file) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp)) => {
            return Ok(format);
        }
        Ok(other) => {
            let seems = other.extensions_str().first().map_or("another format".into(), |e| e.to_ascii_uppercase());
            return Err(Error::new(Kind::UnsupportedImageFormat, format!("the image seems to be {seems}; {ACCEPTED}")));
        }
        Err(_) => {}
    }
    let seems = if file.starts_with(b"%PDF") {
        "the file seems to be a PDF"
    } else if file.get(4..8) == Some(b"ftyp") {
        "the image seems to be HEIC, AVIF or a video"
    } else {
        "the file is of no known image format"
    };
    Err(Error::new(Kind::UnsupportedImageFormat, format!("{seems}; {ACCEPTED}")))
}

#[cfg(test)]
mod tests;
