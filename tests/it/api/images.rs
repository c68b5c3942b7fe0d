//! Photographs of every kind: good, odd, broken and hostile.

use std::io::Cursor;

use facegate::{api, recognition};
use image::{DynamicImage, ImageFormat, RgbImage, imageops};

use crate::support::{
    Server,
    http::{Form, Reply},
    photo,
};

fn decoded(name: &str) -> DynamicImage {
    image::load_from_memory(&photo(name)).expect("a good photograph")
}

pub(super) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).expect("it can be written");
    file.into_inner()
}

fn enrol(server: &Server, file: &[u8]) -> Reply {
    server.call("POST", "/enroll", Some(&Form::new().text("subject_id", "EMP-001").image(file)))
}

fn search(server: &Server, file: &[u8]) -> Reply {
    server.call("POST", "/search", Some(&Form::new().image(file)))
}

/// A JPEG with an EXIF orientation (1 to 8) put in front of its other segments.
fn oriented(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    // TIFF, big-endian, one directory of one entry: tag 0x0112, type SHORT, count 1.
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).expect("it is short").to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn odd_but_good_photographs_are_recognised() {
    let server = Server::start();
    assert_eq!(enrol(&server, &photo("obama.jpg")).status, 200);
    let image = decoded("obama2.jpg");
    let sixteen_bit = DynamicImage::ImageRgb16(image.to_rgb16());
    let grey = DynamicImage::ImageLuma8(image.to_luma8());
    let transparent = DynamicImage::ImageRgba8(image.to_rgba8());
    // As a phone held on its side writes it: the pixels lie, the tag says how to turn them.
    let lying = encoded(&DynamicImage::ImageRgb8(imageops::rotate270(&image.to_rgb8())), ImageFormat::Jpeg);
    let files = [
        ("PNG", encoded(&image, ImageFormat::Png)),
        ("WebP", encoded(&image, ImageFormat::WebP)),
        ("BMP", encoded(&image, ImageFormat::Bmp)),
        ("16-bit PNG", encoded(&sixteen_bit, ImageFormat::Png)),
        ("grey JPEG", encoded(&grey, ImageFormat::Jpeg)),
        ("transparent PNG", encoded(&transparent, ImageFormat::Png)),
        ("EXIF-rotated JPEG", oriented(&lying, 6)),
    ];
    for (name, file) in files {
        let reply = search(&server, &file);
        assert_eq!(reply.status, 200, "{name}: {:?}", reply.body);
        assert_eq!(reply.body["matchCount"], 1, "{name}: {:?}", reply.body);
    }
}

/// Somebody some metres from a phone: where the whole picture is made as small as the detector takes it, the face is 6 pixels wide.
#[test]
fn a_small_face_in_a_large_photograph_is_found() {
    let server = Server::start();
    assert_eq!(enrol(&server, &photo("obama.jpg")).status, 200);
    let person = decoded("obama2.jpg").resize(300, 300, imageops::FilterType::Lanczos3).to_rgb8();
    let mut scene = RgbImage::from_fn(4000, 3000, |x, y| {
        image::Rgb([(x / 20) as u8, 90 + (y / 40) as u8, (60 + (x / 50 + y / 70) % 2 * 40) as u8])
    });
    imageops::replace(&mut scene, &person, 2500, 1900);
    let scene = encoded(&DynamicImage::ImageRgb8(scene), ImageFormat::Jpeg);
    let found = search(&server, &scene);
    assert_eq!(found.status, 200, "{:?}", found.body);
    assert_eq!(found.body["matchCount"], 1, "{:?}", found.body);
    let detected = server.call("POST", "/detect", Some(&Form::new().image(&scene)));
    assert_eq!(detected.body["face_count"], 1, "{:?}", detected.body);
    let area = &detected.body["faces"][0]["box"];
    let middle = |from: &str, length: &str| {
        area[from].as_f64().expect("a number") + area[length].as_f64().expect("a number") / 2.0
    };
    let (x, y) = (middle("left", "width"), middle("top", "height"));
    assert!((2500.0..2800.0).contains(&x) && (1900.0..2200.0).contains(&y), "{area:?}");
}

// Two colours, nobody in them.
const PROGRESSIVE_JPEG: &[u8] = include_bytes!("../../../fuzz/corpus/image/progressive.jpg");
const ANIMATED_WEBP: &[u8] = include_bytes!("../../../fuzz/corpus/image/animated.webp");

#[test]
fn rare_kinds_of_pictures_are_read() {
    let server = Server::start();
    for (name, file) in [("progressive JPEG", PROGRESSIVE_JPEG), ("animated WebP", ANIMATED_WEBP)] {
        let reply = search(&server, file);
        assert_eq!((reply.status, reply.code()), (422, "no_face_detected"), "{name}: {:?}", reply.body);
    }
}

#[test]
fn what_is_no_picture_is_refused_by_kind() {
    let server = Server::start();
    let good = photo("obama.jpg");
    let gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    for (name, file) in [("GIF", gif.as_slice()), ("text", b"hello, door"), ("PDF", b"%PDF-1.7"), ("zeros", &[0; 100])]
    {
        let reply = search(&server, file);
        assert_eq!((reply.status, reply.code()), (415, "unsupported_image_format"), "{name}");
    }
    let png = encoded(&decoded("obama.jpg"), ImageFormat::Png);
    let mut garbled = png.clone();
    for byte in &mut garbled[200..1200] {
        *byte ^= 0x5a;
    }
    let broken = [
        ("the first bytes of a JPEG", &good[..200]),
        ("half a PNG", &png[..png.len() / 2]),
        ("a garbled PNG", &garbled),
        ("nothing but a JPEG's mark", b"\xff\xd8\xff\xe0"),
    ];
    for (name, file) in broken {
        let reply = search(&server, file);
        assert_eq!((reply.status, reply.code()), (422, "image_undecodable"), "{name}");
    }
    assert_eq!(enrol(&server, &good).status, 200, "and a good one goes on");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_decoded() {
    let recognition = recognition::Settings { max_image_bytes: 1 << 20, ..recognition::Settings::default() };
    let server = Server::with(api::Settings { recognition, ..api::Settings::default() });
    // A PNG that says it has 60,000 × 60,000 pixels, in a few bytes.
    let mut bomb = encoded(&DynamicImage::new_luma8(1, 1), ImageFormat::Png);
    bomb[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    let reply = search(&server, &bomb);
    assert_eq!((reply.status, reply.code()), (413, "image_too_large"));

    // More bytes than an image may have, and more than a body may have.
    for bytes in [(1 << 20) + 1, 20 << 20] {
        let reply = search(&server, &vec![0xff; bytes]);
        assert_eq!((reply.status, reply.code()), (413, "image_too_large"), "{bytes}");
    }
}

/// The check sum of a PNG's chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}

#[test]
fn photographs_that_show_no_one_or_too_many() {
    let server = Server::start();
    let empty =
        DynamicImage::ImageRgb8(RgbImage::from_fn(640, 480, |x, y| image::Rgb([(x / 4) as u8, (y / 2) as u8, 90])));
    let empty = encoded(&empty, ImageFormat::Png);
    for reply in [enrol(&server, &empty), search(&server, &empty)] {
        assert_eq!((reply.status, reply.code()), (422, "no_face_detected"));
        assert_eq!(reply.body["error"]["message"], "no face was found in the image");
    }

    // Two people side by side: ambiguous for an enrolment, the larger one's for a search.
    assert_eq!(enrol(&server, &photo("obama.jpg")).status, 200);
    let one = decoded("obama.jpg").to_rgb8();
    let mut both = RgbImage::new(2 * one.width(), one.height());
    imageops::replace(&mut both, &one, 0, 0);
    imageops::replace(&mut both, &one, i64::from(one.width()), 0);
    let both = encoded(&DynamicImage::ImageRgb8(both), ImageFormat::Jpeg);
    let reply = enrol(&server, &both);
    assert_eq!((reply.status, reply.code()), (422, "multiple_faces"));
    assert_eq!(search(&server, &both).body["matchCount"], 1);
}

#[test]
fn a_poor_photograph_is_not_enrolled_and_the_answer_says_why() {
    let server = Server::start();
    let image = decoded("obama.jpg");
    let dark = image.adjust_contrast(-60.0).brighten(-110);
    let cases = [("too_small", image.thumbnail(160, 160)), ("too_blurred", image.fast_blur(16.0)), ("too_dark", dark)];
    for (reason, image) in cases {
        let reply = enrol(&server, &encoded(&image, ImageFormat::Png));
        assert_eq!((reply.status, reply.code()), (422, "face_quality_too_low"), "{reason}: {:?}", reply.body);
        let message = reply.body["error"]["message"].as_str().expect("a message");
        assert!(message.contains(reason), "{reason}: {message}");
    }
    assert_eq!(server.call("GET", "/embeddings", None).body["count"], 0);
}
