//! What a file is, by its first bytes.

use image::ImageFormat;

use crate::error::{Error, Kind, Result};

const ACCEPTED: &str = "send JPEG, PNG, WebP or BMP";

/// Formats that are known and not read: how they begin, from which byte on, and what they are called.
const REFUSED: &[(usize, &[u8], &str)] = &[
    (0, b"GIF8", "GIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftyp", "MP4 video"),
    (4, b"JXL ", "JPEG XL"),
    (0, &[0xff, 0x0a], "JPEG XL"),
    (4, b"jP  ", "JPEG 2000"),
    (0, &[0xff, 0x4f, 0xff, 0x51], "JPEG 2000"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"<!", "HTML"),
    (0, b"<html", "HTML"),
    (0, &[0, 0, 1, 0], "ICO"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, &[0x76, 0x2f, 0x31, 0x01], "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, &[0x1a, 0x45, 0xdf, 0xa3], "WebM video"),
    (0, b"RIFF", "RIFF (sound or video)"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, &[0x1f, 0x8b], "gzip"),
    (0, b"data:", "data URL"),
    (0, b"/9j/", "base64 text"),
    (0, b"iVBOR", "base64 text"),
];

/// The format of `bytes`, where it is one that is read.
pub(super) fn sniff(bytes: &[u8]) -> Result<ImageFormat> {
    if bytes.starts_with(&[0xff, 0xd8]) {
        return Ok(ImageFormat::Jpeg);
    }
    if bytes.starts_with(b"\x89PNG") {
        return Ok(ImageFormat::Png);
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12).is_some_and(|tag| tag == b"WEBP") {
        return Ok(ImageFormat::WebP);
    }
    if bytes.starts_with(b"BM") {
        return Ok(ImageFormat::Bmp);
    }
    let known = REFUSED.iter().find(|(from, magic, _)| bytes.get(*from..).is_some_and(|rest| rest.starts_with(magic)));
    Err(match known {
        Some((_, _, name @ ("data URL" | "base64 text"))) => {
            Error::new(Kind::UnsupportedImageFormat, format!("the image seems to be a {name}"))
                .help("send the file's bytes themselves, as JPEG, PNG, WebP or BMP")
        }
        Some((_, _, name)) => {
            Error::new(Kind::UnsupportedImageFormat, format!("the image seems to be {name}, which is not read"))
                .help(ACCEPTED)
        }
        None => Error::new(Kind::UnsupportedImageFormat, "the image is of no known format").help(ACCEPTED),
    })
}
