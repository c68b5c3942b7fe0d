use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageBuffer, ImageEncoder, Luma, Rgba, RgbaImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
};
use proptest::prelude::*;

use super::*;

/// Red grows to the right, green downwards: every turn shows.
fn gradient(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 200 / width) as u8, (y * 200 / height) as u8, 120]))
}

fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).expect("encodes");
    file.into_inner()
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 95)
        .write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .expect("encodes");
    file
}

fn refusal(file: &[u8]) -> Kind {
    decode(file, &Limits::default()).expect_err("is refused").kind()
}

#[track_caller]
fn assert_near(a: &RgbImage, b: &RgbImage, most: u8) {
    assert_eq!(a.dimensions(), b.dimensions());
    for (a, b) in a.pixels().zip(b.pixels()) {
        for (a, b) in a.0.iter().zip(b.0) {
            assert!(a.abs_diff(b) <= most, "{a} is far from {b}");
        }
    }
}

#[test]
fn the_four_formats_are_read() {
    let picture = gradient(24, 16);
    for (format, most) in
        [(ImageFormat::Jpeg, 40), (ImageFormat::Png, 0), (ImageFormat::WebP, 0), (ImageFormat::Bmp, 0)]
    {
        let file = encode(&picture.clone().into(), format);
        assert_near(&decode(&file, &Limits::default()).expect("decodes"), &picture, most);
    }
}

#[test]
fn grey_sixteen_bit_palette_and_transparent_pictures_become_rgb() {
    let grey = GrayImage::from_fn(8, 8, |x, _| Luma([x as u8 * 30]));
    let wide: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_fn(8, 8, |x, _| Luma([x as u16 * 30 * 257]));
    let wanted = DynamicImage::from(grey.clone()).into_rgb8();
    for picture in [DynamicImage::from(grey), DynamicImage::from(wide)] {
        let file = encode(&picture, ImageFormat::Png);
        assert_near(&decode(&file, &Limits::default()).expect("decodes"), &wanted, 0);
    }
    let glass = RgbaImage::from_pixel(4, 4, Rgba([200, 0, 0, 0]));
    let file = encode(&glass.into(), ImageFormat::Png);
    assert_near(&decode(&file, &Limits::default()).unwrap(), &RgbImage::from_pixel(4, 4, Rgb([255; 3])), 0);
}

#[test]
fn cmyk_and_progressive_jpegs_are_read() {
    for file in [&include_bytes!("../../tests/data/cmyk.jpg")[..], include_bytes!("../../tests/data/progressive.jpg")] {
        let picture = decode(file, &Limits::default()).expect("decodes");
        assert_eq!(picture.dimensions(), (24, 16));
        assert!(picture.get_pixel(20, 8).0[0] > picture.get_pixel(2, 8).0[0] + 60, "red grows to the right");
    }
}

#[test]
fn of_an_animation_the_first_frame_is_taken() {
    for file in [&include_bytes!("../../tests/data/animated.png")[..], include_bytes!("../../tests/data/animated.webp")]
    {
        let picture = decode(file, &Limits::default()).expect("decodes");
        assert_eq!(picture.get_pixel(3, 5).0, [30, 75, 120]);
    }
}

/// The JPEG with an EXIF block (APP1, big-endian TIFF) that holds just the orientation.
fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut file = jpeg[..2].to_vec();
    file.extend([0xff, 0xe1]);
    file.extend(((exif.len() + 2) as u16).to_be_bytes());
    file.extend(exif);
    file.extend(&jpeg[2..]);
    file
}

#[test]
fn exif_orientation_is_applied() {
    let picture = gradient(32, 16);
    let upright = jpeg(&picture);
    let read = |orientation| decode(&turned(&upright, orientation), &Limits::default()).expect("decodes");
    assert_near(&read(1), &picture, 20);
    assert_near(&read(3), &image::imageops::rotate180(&picture), 20);
    assert_near(&read(6), &image::imageops::rotate90(&picture), 20);
    assert_near(&read(8), &image::imageops::rotate270(&picture), 20);
    assert_near(&read(99), &picture, 20);
}

#[test]
fn other_formats_are_named() {
    let gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    for (file, said) in [
        (&gif[..], "GIF"),
        (b"II*\0\x08\0\0\0", "TIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"%PDF-1.7\n", "PDF"),
        (b"hello, this is no image", "no known"),
    ] {
        let error = decode(file, &Limits::default()).expect_err("is refused");
        assert_eq!(error.kind(), Kind::UnsupportedImageFormat);
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn too_many_bytes_or_pixels_are_refused_before_decoding() {
    let file = jpeg(&gradient(64, 64));
    let tight =
        |max_bytes, max_pixels| decode(&file, &Limits { max_bytes, max_pixels }).expect_err("is refused").kind();
    assert_eq!(tight(file.len() - 1, 1 << 20), Kind::ImageTooLarge);
    assert_eq!(tight(file.len(), 64 * 64 - 1), Kind::ImageTooLarge);
    assert!(decode(&file, &Limits { max_bytes: file.len(), max_pixels: 64 * 64 }).is_ok());
    // A header that claims 60,000 × 60,000 pixels, with nothing behind it.
    let mut bomb = Vec::new();
    PngEncoder::new(&mut bomb).write_image(&[0; 3], 1, 1, ExtendedColorType::Rgb8).expect("encodes");
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(refusal(&bomb), Kind::ImageTooLarge);
}

/// PNG's checksum (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn broken_files_are_undecodable() {
    assert_eq!(refusal(b""), Kind::ImageUndecodable);
    let picture = gradient(64, 64);
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let file = encode(&picture.clone().into(), format);
        assert_eq!(refusal(&file[..file.len() / 2]), Kind::ImageUndecodable, "half a {format:?}");
    }
    assert_eq!(refusal(&jpeg(&picture)[..40]), Kind::ImageUndecodable, "the head of a JPEG");
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode(&bytes, &Limits::default());
    }

    #[test]
    fn damaged_files_never_panic(which in 0usize..4, at in 0usize..4000, with in any::<u8>(), cut in 0usize..4000) {
        let format = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp][which];
        let mut file = encode(&gradient(24, 16).into(), format);
        let len = file.len();
        file[at % len] ^= with;
        file.truncate(len - cut % len);
        if let Ok(picture) = decode(&file, &Limits { max_bytes: 1 << 20, max_pixels: 10_000 }) {
            prop_assert!(u64::from(picture.width()) * u64::from(picture.height()) <= 10_000);
        }
    }
}
