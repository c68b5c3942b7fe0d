//! JPEG, for files and for cameras that send it.
//!
//! The `image` crate decodes leniently and paints what is missing of a file in grey. A door wants to know: here a scan that
//! is cut short or broken is an error. Oddities between the headers, of which cameras and phones have many, are forgiven.

use image::RgbImage;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use crate::error::{Context, Error, Kind, Result};

/// Writes a JPEG as cameras, phones and browsers do: baseline, with a quarter of the colours' resolution (4:2:0). `quality` is
/// 1 to 100. Nothing but pixels is in it.
///
/// # Errors
/// [`Kind::Internal`] where the picture has no pixels or more than 65,535 a side.
pub fn encode(picture: &RgbImage, quality: u8) -> Result<Vec<u8>> {
    let failed = || format!("a picture of {}×{} pixels cannot be written as JPEG", picture.width(), picture.height());
    let side = |length: u32| u16::try_from(length).context(Kind::Internal, failed);
    let (width, height) = (side(picture.width())?, side(picture.height())?);
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, quality);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    encoder.encode(picture, width, height, jpeg_encoder::ColorType::Rgb).context(Kind::Internal, failed)?;
    Ok(file)
}

/// A decoded JPEG.
pub struct Decoded {
    /// The pixels as they are stored: EXIF orientation is not applied.
    pub image: RgbImage,
    /// The EXIF block, from its TIFF header on.
    pub exif: Option<Vec<u8>>,
}

/// Decodes a JPEG of at most `max_pixels`: baseline or progressive, grey, YCbCr, RGB, CMYK or YCCK. Huffman tables may be
/// left out, as they are in some cameras' MJPEG.
///
/// # Errors
/// [`Kind::ImageTooLarge`] before anything is decoded; [`Kind::ImageUndecodable`] where the data is broken or cut short.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Result<Decoded> {
    let broken = || "the JPEG image cannot be decoded";
    let lenient = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), lenient);
    decoder.decode_headers().map_err(|error| error.to_string()).context(Kind::ImageUndecodable, broken)?;
    let (width, height) =
        decoder.dimensions().ok_or_else(|| Error::new(Kind::ImageUndecodable, "the JPEG image has no header"))?;
    let (width, height) = (width as u32, height as u32);
    super::check_pixels(width, height, max_pixels)?;
    decoder.set_options(lenient.set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB));
    let mut image = RgbImage::new(width, height);
    decoder.decode_into(&mut image).map_err(|error| error.to_string()).context(Kind::ImageUndecodable, broken)?;
    Ok(Decoded { image, exif: decoder.exif().cloned() })
}
