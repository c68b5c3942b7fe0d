use image::Rgb;
use openh264::{
    encoder::{Encoder, EncoderConfig, IntraFramePeriod, VuiConfig},
    formats::{RgbSliceU8, YUVBuffer},
};
use proptest::prelude::*;

use super::*;

/// A stream of `count` pictures with a bar that wanders, a key frame every ten; an access unit each.
fn stream(width: usize, height: usize, count: usize, vui: VuiConfig) -> Vec<Vec<u8>> {
    let config = EncoderConfig::new().intra_frame_period(IntraFramePeriod::from_num_frames(10)).vui(vui);
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).expect("an encoder");
    let encode = |at: usize| {
        let bar = |x: u32| if x as usize / 8 == at % (width / 8) { [220, 40, 40] } else { [60, 90, 60] };
        let image = RgbImage::from_fn(width as u32, height as u32, |x, _| Rgb(bar(x)));
        let yuv = YUVBuffer::from_rgb8_source(RgbSliceU8::new(image.as_raw(), (width, height)));
        encoder.encode(&yuv).expect("encodes").to_vec()
    };
    (0..count).map(encode).collect()
}

fn bt601() -> VuiConfig {
    VuiConfig::bt601()
}

fn picture(outcome: Result<Outcome, Fault>) -> RgbImage {
    match outcome {
        Ok(Outcome::Picture(image)) => image,
        other => panic!("no picture: {other:?}"),
    }
}

/// The parameter set of a stream, its header in front.
fn sps(unit: &[u8]) -> Vec<u8> {
    let nal = nal_units(unit).find(|nal| nal[3] & 0x1f == SPS).expect("an SPS");
    nal[3..].to_vec()
}

#[test]
fn pictures_come_out_as_they_went_in() {
    let mut decoder = Decoder::new().expect("a decoder");
    assert_eq!(decoder.shape(), None);
    for (at, unit) in stream(64, 48, 12, bt601()).iter().enumerate() {
        let image = picture(decoder.decode(unit, true));
        assert_eq!(image.dimensions(), (64, 48));
        let bar = at as u32 % 8 * 8 + 4;
        for (x, wanted) in [(bar, [220, 40, 40]), ((bar + 32) % 64, [60, 90, 60])] {
            let got = image.get_pixel(x, 24).0;
            assert!(
                got.iter().zip(wanted).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 24),
                "{at}: {got:?}, not {wanted:?}"
            );
        }
    }
    let shape = decoder.shape().expect("it said what it is");
    assert_eq!((shape.width, shape.height, shape.colour.bt709), (64, 48, false));
}

#[test]
fn colours_are_read_as_the_stream_says() {
    let said = |vui| shape(&sps(&stream(64, 48, 1, vui)[0])).expect("reads").colour;
    assert_eq!(said(VuiConfig::bt709_full()), Colour { full_range: true, bt709: true });
    assert_eq!(said(VuiConfig::bt709()), Colour { full_range: false, bt709: true });
    assert_eq!(said(VuiConfig::bt601()), Colour { full_range: false, bt709: false });
}

#[test]
fn what_is_not_wanted_is_decoded_all_the_same() {
    let units = stream(64, 48, 3, bt601());
    let mut decoder = Decoder::new().expect("a decoder");
    for unit in &units[..2] {
        assert!(matches!(decoder.decode(unit, false), Ok(Outcome::Unwanted)));
    }
    picture(decoder.decode(&units[2], true));
}

#[test]
fn after_a_loss_nothing_counts_before_a_key_frame() {
    let units = stream(64, 48, 21, bt601());
    let mut decoder = Decoder::new().expect("a decoder");
    assert!(matches!(decoder.decode(&units[3], true), Ok(Outcome::Waiting)), "it begins in the middle");
    picture(decoder.decode(&units[0], true));
    picture(decoder.decode(&units[1], true));
    decoder.lose();
    for unit in &units[3..10] {
        assert!(matches!(decoder.decode(unit, true), Ok(Outcome::Waiting)));
    }
    picture(decoder.decode(&units[10], true));
    let torn = &units[11][..units[11].len() / 2];
    let after = decoder.decode(torn, true);
    assert!(!matches!(after, Ok(Outcome::Picture(_))), "half a picture is none: {after:?}");
    picture(decoder.decode(&units[20], true));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_decoded() {
    let mut decoder = Decoder::new().expect("a decoder");
    let fault = decoder.decode(&vec![1; MAX_UNIT + 1], true).expect_err("too long");
    assert!(matches!(&fault, Fault::Damaged(words) if words.contains("4194304")), "{fault:?}");
    let fault = shape(&sps(&stream(2560, 1440, 1, bt601())[0])).expect_err("too large");
    assert!(matches!(&fault, Fault::Kind(words) if words.contains("2560×1440")), "{fault:?}");
    shape(&sps(&stream(1920, 1080, 1, bt601())[0])).expect("full HD is not");
}

#[test]
fn profiles_that_are_not_decoded_are_said() {
    let plain = sps(&stream(64, 48, 1, bt601())[0]);
    for profile in [88, 110, 122, 244] {
        let mut other = plain.clone();
        other[1] = profile;
        let fault = shape(&other).expect_err("not decoded");
        // The finer profiles have more fields, at which reading may fail first.
        assert!(!matches!(&fault, Fault::Kind(words) if !words.contains("profile")), "{fault:?}");
    }
    let mut extended = plain;
    extended[1] = 88;
    assert!(matches!(shape(&extended), Err(Fault::Kind(words)) if words.contains("profile 88")));
}

#[test]
fn a_stray_byte_behind_the_parameters_is_tolerated() {
    let mut long = sps(&stream(64, 48, 1, bt601())[0]);
    let plain = shape(&long).expect("reads");
    long.extend([0x80, 0, 0]);
    assert_eq!(shape(&long), Ok(plain));
}

#[test]
fn what_belongs_to_other_kinds_of_video_is_never_shown_to_the_decoder() {
    let units = stream(64, 48, 2, bt601());
    let mut decoder = Decoder::new().expect("a decoder");
    let mut mixed = units[0].clone();
    for kind in [2, 6, 14, 15, 20, 21] {
        mixed.extend([0, 0, 1, kind, 0xff, 0xff, 0xff]);
    }
    picture(decoder.decode(&mixed, true));
    assert!(nal_units(&decoder.shown).all(|nal| [SLICE, KEY_SLICE, SPS, PPS].contains(&(nal[3] & 0x1f))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Streams in which bytes were changed, cut out and put in, one decoder for the whole of each.
    #[test]
    fn garbage_gives_errors_and_never_a_panic(
        changes in proptest::collection::vec((0usize..8, any::<proptest::sample::Index>(), any::<u8>(), 0u8..4), 1..24),
        noise in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut units = UNITS.with(Clone::clone);
        for (unit, at, byte, how) in changes {
            let unit = &mut units[unit];
            if unit.is_empty() {
                continue;
            }
            let at = at.index(unit.len());
            match how {
                0 => unit[at] = byte,
                1 => unit[at] ^= 1 << (byte % 8),
                2 => drop(unit.drain(at..(at + usize::from(byte)).min(unit.len()))),
                _ => drop(unit.splice(at..at, std::iter::repeat_n(byte, usize::from(byte % 16)))),
            }
        }
        units.insert(4, [&[0, 0, 1, 0x65], noise.as_slice()].concat());
        units.insert(2, [&[0, 0, 1, 0x67], noise.as_slice()].concat());
        units.push(noise);
        let mut decoder = Decoder::new().expect("a decoder");
        for unit in &units {
            if let Ok(Outcome::Picture(image)) = decoder.decode(unit, true) {
                prop_assert!(image.width() * image.height() <= MAX_PIXELS);
            }
        }
    }
}

thread_local! {
    static UNITS: Vec<Vec<u8>> = stream(64, 48, 8, VuiConfig::bt601());
}
