//! Which of the formats and sizes that a camera offers is taken. Pure: described formats in, a choice out.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// How a camera lays out its pixels, as far as it is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Two pixels in four bytes: Y U Y V.
    Yuyv,
    /// A JPEG a frame.
    Mjpeg,
    /// A byte a pixel: grey, or near infrared.
    Grey,
}

impl Pixels {
    /// What the kernel's four characters stand for; `None` for what is not read.
    pub fn from_fourcc(fourcc: [u8; 4]) -> Option<Self> {
        match &fourcc {
            b"YUYV" | b"YUY2" => Some(Pixels::Yuyv),
            b"MJPG" | b"JPEG" => Some(Pixels::Mjpeg),
            b"GREY" | b"Y8  " | b"Y800" => Some(Pixels::Grey),
            _ => None,
        }
    }

    /// The name used in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Pixels::Yuyv => "yuyv",
            Pixels::Mjpeg => "mjpeg",
            Pixels::Grey => "grey",
        }
    }
}

/// The format asked for in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// The cheapest to decode: YUYV up to 640×480, MJPEG above; grey where there is no colour.
    #[default]
    Auto,
    Yuyv,
    Mjpeg,
    Grey,
}

/// Sizes in which a format is offered: one size where the two ends are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Least width and height, in pixels.
    pub least: (u32, u32),
    /// Greatest width and height, in pixels.
    pub most: (u32, u32),
    /// From one width and height to the next, in pixels.
    pub step: (u32, u32),
}

impl Sizes {
    /// One size.
    pub fn one(width: u32, height: u32) -> Self {
        Self { least: (width, height), most: (width, height), step: (1, 1) }
    }

    /// The size nearest to the one asked for, not under it where that can be.
    fn nearest(&self, width: u32, height: u32) -> (u32, u32) {
        let fit = |asked: u32, least: u32, most: u32, step: u32| {
            let most = most.max(least);
            let steps = asked.clamp(least, most).saturating_sub(least).div_ceil(step.max(1));
            let size = least.saturating_add(steps.saturating_mul(step.max(1)));
            if size > most { most - (most - least) % step.max(1) } else { size }
        };
        (fit(width, self.least.0, self.most.0, self.step.0), fit(height, self.least.1, self.most.1, self.step.1))
    }
}

/// One line of what a camera offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// The kernel's name of the format.
    pub fourcc: [u8; 4],
    pub sizes: Sizes,
    /// The highest frame rate at that format, in frames a second; `None` where the driver does not say.
    pub rate: Option<f32>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    pub format: Wanted,
    /// In pixels.
    pub width: u32,
    pub height: u32,
    /// In frames a second.
    pub rate: f32,
}

/// What is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pub fourcc: [u8; 4],
    pub pixels: Pixels,
    pub width: u32,
    pub height: u32,
}

/// Chooses among `offers`: the size first (as asked, else the smallest that is at least that, else the largest), then
/// whether the frame rate is reached, then the cost of decoding.
///
/// # Errors
/// [`Kind::Camera`] where nothing offered can be read, or the configured format is not among it; the error lists what is.
pub fn negotiate(offers: &[Offer], wish: &Wish) -> Result<Choice> {
    let readable = |offer: &Offer| {
        let pixels = Pixels::from_fourcc(offer.fourcc)?;
        let asked = match wish.format {
            Wanted::Auto => true,
            Wanted::Yuyv => pixels == Pixels::Yuyv,
            Wanted::Mjpeg => pixels == Pixels::Mjpeg,
            Wanted::Grey => pixels == Pixels::Grey,
        };
        let (width, height) = offer.sizes.nearest(wish.width, wish.height);
        let choice = Choice { fourcc: offer.fourcc, pixels, width, height };
        (asked && width > 0 && height > 0).then_some((choice, offer.rate))
    };
    let best = offers.iter().filter_map(readable).min_by_key(|(choice, rate)| {
        let (width, height) = (choice.width, choice.height);
        let area = u64::from(width) * u64::from(height);
        let size = if (width, height) == (wish.width, wish.height) {
            (0, 0)
        } else if width >= wish.width && height >= wish.height {
            (1, area)
        } else {
            (2, u64::MAX - area)
        };
        // A twentieth of slack: 29.97 is as good as 30. An unknown rate stands between reached and missed.
        let rate = rate.map_or(1, |rate| if rate >= wish.rate * 0.95 { 0 } else { 2 });
        let small = area <= 640 * 480;
        let cost = match choice.pixels {
            Pixels::Yuyv => u8::from(!small),
            Pixels::Mjpeg => u8::from(small),
            Pixels::Grey => 2,
        };
        (size, rate, cost)
    });
    best.map(|(choice, _)| choice).ok_or_else(|| {
        let mut names: Vec<String> = offers.iter().map(|offer| offer.fourcc.escape_ascii().to_string()).collect();
        names.sort();
        names.dedup();
        let names = if names.is_empty() { "no format at all".to_owned() } else { names.join(", ") };
        let wanted = match wish.format {
            Wanted::Auto => "YUYV, MJPG or GREY",
            Wanted::Yuyv => "YUYV",
            Wanted::Mjpeg => "MJPG",
            Wanted::Grey => "GREY",
        };
        Error::new(Kind::Camera, format!("no usable format: {wanted} is wanted, the camera offers {names}")).help(
            if wish.format == Wanted::Auto {
                "use a camera with one of these formats; a Raspberry Pi camera module needs libcamera's V4L2 bridge"
            } else {
                "set camera.format = \"auto\", or to a format that the camera offers"
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(fourcc: &[u8; 4], width: u32, height: u32, rate: f32) -> Offer {
        Offer { fourcc: *fourcc, sizes: Sizes::one(width, height), rate: Some(rate) }
    }

    fn wish(width: u32, height: u32, rate: f32) -> Wish {
        Wish { format: Wanted::Auto, width, height, rate }
    }

    fn webcam() -> Vec<Offer> {
        vec![
            offer(b"YUYV", 320, 240, 30.0),
            offer(b"YUYV", 640, 480, 30.0),
            offer(b"YUYV", 1280, 720, 10.0),
            offer(b"MJPG", 640, 480, 30.0),
            offer(b"MJPG", 1280, 720, 30.0),
            offer(b"MJPG", 1920, 1080, 30.0),
            offer(b"H264", 1920, 1080, 30.0),
        ]
    }

    #[track_caller]
    fn taken(offers: &[Offer], wish: Wish) -> (Pixels, u32, u32) {
        let choice = negotiate(offers, &wish).expect("a choice");
        (choice.pixels, choice.width, choice.height)
    }

    #[test]
    fn the_cheapest_format_at_the_asked_size() {
        assert_eq!(taken(&webcam(), wish(640, 480, 15.0)), (Pixels::Yuyv, 640, 480));
        assert_eq!(taken(&webcam(), wish(1280, 720, 15.0)), (Pixels::Mjpeg, 1280, 720));
        assert_eq!(taken(&webcam(), wish(1280, 720, 5.0)), (Pixels::Mjpeg, 1280, 720));
    }

    #[test]
    fn a_rate_that_is_not_reached_costs_the_preference() {
        let mut offers = webcam();
        offers[1].rate = Some(7.5);
        assert_eq!(taken(&offers, wish(640, 480, 15.0)), (Pixels::Mjpeg, 640, 480));
        assert_eq!(taken(&offers, wish(640, 480, 7.5)), (Pixels::Yuyv, 640, 480));
        let ntsc = [offer(b"YUYV", 640, 480, 29.97), offer(b"MJPG", 640, 480, 30.0)];
        assert_eq!(taken(&ntsc, wish(640, 480, 30.0)), (Pixels::Yuyv, 640, 480));
    }

    #[test]
    fn the_next_larger_size_then_the_largest() {
        assert_eq!(taken(&webcam(), wish(800, 600, 15.0)), (Pixels::Mjpeg, 1280, 720));
        assert_eq!(taken(&webcam(), wish(3840, 2160, 15.0)), (Pixels::Mjpeg, 1920, 1080));
    }

    #[test]
    fn near_infrared_cameras_are_grey() {
        for name in [b"GREY", b"Y8  ", b"Y800"] {
            assert_eq!(taken(&[offer(name, 640, 360, 15.0)], wish(640, 480, 15.0)).0, Pixels::Grey);
        }
        let both = [offer(b"GREY", 640, 480, 30.0), offer(b"MJPG", 640, 480, 30.0)];
        assert_eq!(taken(&both, wish(640, 480, 15.0)).0, Pixels::Mjpeg);
    }

    #[test]
    fn the_configured_format_is_kept_to() {
        let asked = Wish { format: Wanted::Mjpeg, ..wish(640, 480, 15.0) };
        assert_eq!(taken(&webcam(), asked), (Pixels::Mjpeg, 640, 480));
        let error = negotiate(&webcam(), &Wish { format: Wanted::Grey, ..asked }).expect_err("no grey there");
        assert!(error.message().contains("H264, MJPG, YUYV"), "{error}");
    }

    #[test]
    fn sizes_in_steps_are_met_or_passed() {
        let steps = Sizes { least: (160, 120), most: (1920, 1080), step: (16, 8) };
        let offers = [Offer { fourcc: *b"YUYV", sizes: steps, rate: None }];
        assert_eq!(taken(&offers, wish(640, 480, 15.0)), (Pixels::Yuyv, 640, 480));
        assert_eq!(taken(&offers, wish(641, 481, 15.0)), (Pixels::Yuyv, 656, 488));
        assert_eq!(taken(&offers, wish(10, 10, 15.0)), (Pixels::Yuyv, 160, 120));
        assert_eq!(taken(&offers, wish(9000, 9000, 15.0)), (Pixels::Yuyv, 1920, 1080));
    }

    #[test]
    fn nothing_usable_is_said() {
        let error = negotiate(&[offer(b"H264", 640, 480, 30.0)], &wish(640, 480, 15.0)).expect_err("only H.264");
        assert_eq!(error.kind(), Kind::Camera);
        assert!(error.message().contains("H264"));
        assert!(negotiate(&[], &wish(640, 480, 15.0)).expect_err("nothing").message().contains("no format at all"));
    }

    proptest! {
        #[test]
        fn every_choice_was_offered(
            offers in proptest::collection::vec(
                (0usize..5, any::<[u32; 6]>(), proptest::option::of(any::<f32>())), 0..12),
            width in 16u32..8192, height in 16u32..8192,
        ) {
            let names = [b"YUYV", b"MJPG", b"GREY", b"H264", b"NV12"];
            let offers: Vec<Offer> = offers
                .into_iter()
                .map(|(name, n, rate)| {
                    let sizes = Sizes { least: (n[0], n[1]), most: (n[2], n[3]), step: (n[4], n[5]) };
                    Offer { fourcc: *names[name], sizes, rate }
                })
                .collect();
            if let Ok(choice) = negotiate(&offers, &wish(width, height, 15.0)) {
                let offered = offers.iter().any(|offer| {
                    let within = |size, least: u32, most: u32| size >= least && size <= most.max(least);
                    offer.fourcc == choice.fourcc
                        && within(choice.width, offer.sizes.least.0, offer.sizes.most.0)
                        && within(choice.height, offer.sizes.least.1, offer.sizes.most.1)
                });
                prop_assert!(offered);
            }
        }
    }
}
