use image::{ExtendedColorType, ImageEncoder, Rgb, codecs};
use proptest::prelude::*;

use super::*;

// Made with Pillow: red (200, 40, 40) above or first, blue (30, 60, 200) below or next. The fuzzers begin with them too.
const CMYK_JPEG: &[u8] = include_bytes!("../../fuzz/corpus/image/cmyk.jpg");
const PROGRESSIVE_JPEG: &[u8] = include_bytes!("../../fuzz/corpus/image/progressive.jpg");
const ANIMATED_WEBP: &[u8] = include_bytes!("../../fuzz/corpus/image/animated.webp");
const ANIMATED_PNG: &[u8] = include_bytes!("../../fuzz/corpus/image/animated.png");
const PALETTE_PNG: &[u8] = include_bytes!("../../fuzz/corpus/image/palette2.png");

/// A picture whose four quarters differ, so that every turn shows.
fn sample() -> RgbImage {
    RgbImage::from_fn(24, 16, |x, y| match (x < 12, y < 8) {
        (true, true) => Rgb([220, 30, 30]),
        (false, true) => Rgb([30, 200, 40]),
        (true, false) => Rgb([30, 40, 210]),
        (false, false) => Rgb([230, 230, 20]),
    })
}

fn encode(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).expect("encodes");
    file.into_inner()
}

/// A JPEG with an EXIF block that holds the orientation alone.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut file = jpeg[..2].to_vec();
    file.extend([0xff, 0xe1]);
    file.extend(((exif.len() + 2) as u16).to_be_bytes());
    file.extend(exif);
    file.extend(&jpeg[2..]);
    file
}

#[track_caller]
fn assert_near(got: &RgbImage, wanted: &RgbImage, tolerance: u8) {
    assert_eq!(got.dimensions(), wanted.dimensions());
    // Away from edges, where JPEG rings.
    for (x, y) in [(4, 4), (got.width() - 5, 4), (4, got.height() - 5), (got.width() - 5, got.height() - 5)] {
        let (a, b) = (got.get_pixel(x, y).0, wanted.get_pixel(x, y).0);
        assert!(a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= tolerance), "at {x}, {y}: {a:?}, wanted {b:?}");
    }
}

#[track_caller]
fn fails(bytes: &[u8], kind: Kind) -> Error {
    let error = decode(bytes, &Limits::default()).map(|_| ()).expect_err("must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    error
}

#[test]
fn the_four_formats_are_read() {
    for (format, tolerance) in
        [(ImageFormat::Png, 0), (ImageFormat::WebP, 0), (ImageFormat::Bmp, 0), (ImageFormat::Jpeg, 24)]
    {
        let got = decode(&encode(&sample(), format), &Limits::default()).expect("decodes");
        assert_near(&got, &sample(), tolerance);
    }
}

#[test]
fn every_exif_orientation_is_undone() {
    let stored = encode(&sample(), ImageFormat::Jpeg);
    let plain = decode(&stored, &Limits::default()).expect("decodes");
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
    let upright = [
        plain.clone(),
        flip_horizontal(&plain),
        rotate180(&plain),
        flip_vertical(&plain),
        flip_horizontal(&rotate90(&plain)),
        rotate90(&plain),
        flip_horizontal(&rotate270(&plain)),
        rotate270(&plain),
    ];
    for (at, wanted) in upright.iter().enumerate() {
        let got = decode(&with_orientation(&stored, at as u8 + 1), &Limits::default()).expect("decodes");
        assert_eq!(&got, wanted, "orientation {}", at + 1);
    }
    let odd = decode(&with_orientation(&stored, 77), &Limits::default()).expect("an odd orientation is none");
    assert_eq!(odd, plain);
}

#[test]
fn greys_and_sixteen_bits_and_transparency_give_rgb() {
    let png = |data: &[u8], color| {
        let mut file = Vec::new();
        codecs::png::PngEncoder::new(&mut file).write_image(data, 2, 1, color).expect("encodes");
        decode(&file, &Limits::default()).expect("decodes").into_raw()
    };
    assert_eq!(png(&[0, 200], ExtendedColorType::L8), [0, 0, 0, 200, 200, 200]);
    let words = |values: &[u16]| values.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<_>>();
    assert_eq!(png(&words(&[0x8080, 0xffff]), ExtendedColorType::L16), [128, 128, 128, 255, 255, 255]);
    assert_eq!(png(&words(&[0, 0x4040, 0xffff, 0, 0, 0]), ExtendedColorType::Rgb16), [0, 64, 255, 0, 0, 0]);
    assert_eq!(png(&[255, 0, 0, 0, 100, 100, 100, 255], ExtendedColorType::Rgba8), [255, 255, 255, 100, 100, 100]);
    assert_eq!(png(&[0, 128, 50, 255], ExtendedColorType::La8), [127, 127, 127, 50, 50, 50]);

    let grey = image::GrayImage::from_pixel(24, 16, image::Luma([90]));
    let mut file = Vec::new();
    codecs::jpeg::JpegEncoder::new(&mut file).encode_image(&grey).expect("encodes");
    assert_near(&decode(&file, &Limits::default()).expect("decodes"), &RgbImage::from_pixel(24, 16, Rgb([90; 3])), 3);
}

#[test]
fn cmyk_progressive_and_palettes_are_read() {
    for (file, tolerance) in [(CMYK_JPEG, 12), (PROGRESSIVE_JPEG, 24), (PALETTE_PNG, 8)] {
        let got = decode(file, &Limits::default()).expect("decodes");
        let wanted = RgbImage::from_fn(16, 32, |_, y| if y < 16 { Rgb([200, 40, 40]) } else { Rgb([30, 60, 200]) });
        assert_near(&got, &wanted, tolerance);
    }
}

#[test]
fn the_first_picture_of_an_animation_is_taken() {
    for file in [ANIMATED_WEBP, ANIMATED_PNG] {
        let got = decode(file, &Limits::default()).expect("decodes");
        assert_eq!(got, RgbImage::from_pixel(8, 8, Rgb([200, 40, 40])));
    }
}

#[test]
fn what_is_not_read_is_named() {
    for (bytes, named) in [
        (&b"GIF89a\x01\0\x01\0"[..], "GIF"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<svg xmlns=", "SVG"),
        (b"data:image/jpeg;base64,/9j/4AAQ", "data URL"),
        (b"/9j/4AAQSkZJRg", "base64"),
        (b"RIFF\x10\0\0\0AVI LIST", "RIFF"),
        (b"PK\x03\x04", "ZIP"),
        (b"no picture at all", "no known format"),
        (b"\0", "no known format"),
    ] {
        let error = fails(bytes, Kind::UnsupportedImageFormat);
        assert!(error.message().contains(named), "{error} does not name {named}");
        assert!(error.advice().is_some_and(|advice| advice.contains("JPEG, PNG, WebP or BMP")));
    }
}

#[test]
fn empty_and_cut_and_broken_files_are_undecodable() {
    fails(b"", Kind::ImageUndecodable);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let noisy = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 37 + y * 91) as u8, (x * y) as u8, (x ^ y) as u8 * 3]));
        let file = encode(&noisy, format);
        for tenths in 1..10 {
            fails(&file[..(file.len() * tenths / 10).max(13)], Kind::ImageUndecodable);
        }
    }
    for length in (3..PROGRESSIVE_JPEG.len() - 20).step_by(7) {
        fails(&PROGRESSIVE_JPEG[..length], Kind::ImageUndecodable);
    }
}

#[test]
fn limits_come_before_decoding() {
    let file = encode(&sample(), ImageFormat::Jpeg);
    let error = decode(&file, &Limits { max_bytes: 100, ..Limits::default() }).map(|_| ()).expect_err("too many bytes");
    assert_eq!(error.kind(), Kind::ImageTooLarge);
    assert!(error.message().contains("100") && error.message().contains(&file.len().to_string()), "{error}");
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let file = encode(&sample(), format);
        let limits = Limits { max_pixels: 24 * 16 - 1, ..Limits::default() };
        let error = decode(&file, &limits).map(|_| ()).expect_err("too many pixels");
        assert_eq!(error.kind(), Kind::ImageTooLarge);
        assert!(error.message().contains("24×16") && error.message().contains("383"), "{error}");
        decode(&file, &Limits { max_pixels: 24 * 16, ..Limits::default() }).expect("just fits");
    }
}

/// Photographs as they come: from phones, agencies and the web.
#[test]
fn real_photographs_are_read() {
    let Some(eval) = std::env::var_os("FACEGATE_EVAL").map(std::path::PathBuf::from) else {
        eprintln!("skipped: FACEGATE_EVAL does not name the evaluation images");
        return;
    };
    let mut count = 0;
    for folder in ["people", "pad", "lfw/frames", "lfw/crops112"] {
        for entry in std::fs::read_dir(eval.join(folder)).into_iter().flatten().flatten() {
            let bytes = std::fs::read(entry.path()).expect("readable");
            let failed = decode(&bytes, &Limits::default()).map(|_| ()).err();
            assert!(failed.is_none(), "{}: {failed:?}", entry.path().display());
            count += 1;
        }
    }
    assert!(count > 0, "FACEGATE_EVAL names a folder without photographs");
    eprintln!("{count} photographs read");
}

/// Headers that promise gigapixels: refused by what the header says, in no time and no memory.
#[test]
fn bombs_do_not_go_off() {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xff\xff\0\0\xff\xff\x10\x06\0\0\0".to_vec();
    png.extend(crc32(&png[12..]).to_be_bytes());
    png.extend(b"\0\0\0\0IDAT");
    png.extend(crc32(b"IDAT").to_be_bytes());
    let mut jpeg = encode(&sample(), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline frame header");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let mut bmp = encode(&sample(), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    let mut webp = encode(&sample(), ImageFormat::WebP);
    let at = webp.windows(4).position(|tag| tag == b"VP8L").expect("a lossless chunk") + 9;
    webp[at..at + 4].copy_from_slice(&(0x0fff_bffe_u32).to_le_bytes());
    for file in [png, jpeg, bmp, webp] {
        let before = std::time::Instant::now();
        let error = fails(&file, Kind::ImageTooLarge);
        assert!(error.message().contains("40000000"), "{error}");
        assert!(before.elapsed() < std::time::Duration::from_millis(200));
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512), head in 0usize..5) {
        let heads: [&[u8]; 5] = [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 ", b"BM"];
        let _ = decode(&[heads[head], &bytes].concat(), &Limits { max_pixels: 1 << 20, ..Limits::default() });
    }

    #[test]
    fn mutated_files_never_panic(
        which in 0usize..8,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = match which {
            0 => encode(&sample(), ImageFormat::Jpeg),
            1 => encode(&sample(), ImageFormat::Png),
            2 => encode(&sample(), ImageFormat::WebP),
            3 => encode(&sample(), ImageFormat::Bmp),
            4 => PROGRESSIVE_JPEG.to_vec(),
            5 => CMYK_JPEG.to_vec(),
            6 => ANIMATED_WEBP.to_vec(),
            _ => with_orientation(&encode(&sample(), ImageFormat::Jpeg), 6),
        };
        for (at, value) in &changes {
            let at = at.index(file.len());
            file[at] = *value;
        }
        if changes.len() % 2 == 0 {
            file.truncate(cut.index(file.len()));
        }
        if let Ok(image) = decode(&file, &Limits { max_pixels: 1 << 20, ..Limits::default() }) {
            prop_assert!(u64::from(image.width()) * u64::from(image.height()) <= 1 << 20);
        }
    }
}
