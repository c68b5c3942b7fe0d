//! The kinds of pictures that are taken of libcamera, and how they become RGB. Pure: any bytes may come in.

use image::RgbImage;
use yuv::{YuvBiPlanarImage, YuvConversionMode};

use crate::{
    camera::{
        convert::{self, Colour, Planes},
        negotiate,
    },
    error::{Context, Error, Kind, Result},
};

/// How pixels lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Three planes: Y, U, V, colours halved both ways.
    Yuv420,
    /// Two planes: Y, then U and V by turns, halved both ways.
    Nv12,
    /// Bytes R, G, B; the kernel calls it `BGR888`.
    Rgb,
    /// Bytes B, G, R; the kernel calls it `RGB888`.
    Bgr,
    /// Two pixels in four bytes: Y U Y V.
    Yuyv,
}

impl Pixels {
    /// The best first: what has the fewest bytes is read the quickest out of memory that caches may not keep.
    pub const ALL: [Self; 5] = [Self::Yuv420, Self::Nv12, Self::Yuyv, Self::Rgb, Self::Bgr];

    /// The kernel's four characters (`drm_fourcc.h`).
    #[cfg(feature = "libcamera")]
    pub const fn fourcc(self) -> u32 {
        u32::from_le_bytes(*match self {
            Self::Yuv420 => b"YU12",
            Self::Nv12 => b"NV12",
            Self::Rgb => b"BG24",
            Self::Bgr => b"RG24",
            Self::Yuyv => b"YUYV",
        })
    }

    /// How it is called in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yuv420 => "YUV420",
            Self::Nv12 => "NV12",
            Self::Rgb => "BGR888",
            Self::Bgr => "RGB888",
            Self::Yuyv => "YUYV",
        }
    }
}

/// How a frame's bytes are to be read, as it was settled with libcamera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layout {
    pub pixels: Pixels,
    /// In pixels.
    pub width: u32,
    pub height: u32,
    /// Bytes from one row of the first plane to the next.
    pub stride: u32,
    pub colour: Colour,
}

/// Makes an RGB picture of a frame's planes.
///
/// # Errors
/// [`Kind::Camera`] where planes are missing or shorter than the size needs.
pub fn to_rgb(layout: &Layout, planes: &[&[u8]]) -> Result<RgbImage> {
    let &Layout { pixels, width, height, stride, colour } = layout;
    let short = || Error::new(Kind::Camera, format!("a frame without all of its {} planes", pixels.name()));
    match (pixels, planes) {
        (Pixels::Yuv420, &[y, u, v, ..]) => {
            let planes = Planes { width, height, y, y_stride: stride, u, v, uv_stride: stride / 2 };
            convert::planes_to_rgb(&planes, colour)
        }
        (Pixels::Nv12, &[y, uv, ..]) => {
            convert::check_size(width, height)?;
            let y = convert::rows_of(y, stride, width, height)?;
            let uv = convert::rows_of(uv, stride, width.next_multiple_of(2), height.div_ceil(2))?;
            let mut image = RgbImage::new(width, height);
            let pairs =
                YuvBiPlanarImage { y_plane: y, y_stride: stride, uv_plane: uv, uv_stride: stride, width, height };
            let (range, matrix) = (colour.range(), colour.matrix());
            yuv::yuv_nv12_to_rgb(&pairs, &mut image, 3 * width, range, matrix, YuvConversionMode::Balanced)
                .map_err(|error| error.to_string())
                .context(Kind::Camera, || "a bad NV12 frame")?;
            Ok(image)
        }
        (Pixels::Yuyv, &[bytes, ..]) => {
            convert::to_rgb(&convert::Layout { pixels: negotiate::Pixels::Yuyv, width, height, stride, colour }, bytes)
        }
        (Pixels::Rgb | Pixels::Bgr, &[bytes, ..]) => {
            convert::check_size(width, height)?;
            let row = 3 * width as usize;
            let stride = (stride as usize).max(row);
            if bytes.len() < stride * (height as usize - 1) + row {
                return Err(short());
            }
            let mut image = RgbImage::new(width, height);
            for (to, from) in image.chunks_exact_mut(row).zip(bytes.chunks(stride)) {
                to.copy_from_slice(&from[..row]);
                if pixels == Pixels::Bgr {
                    to.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
                }
            }
            Ok(image)
        }
        _ => Err(short()),
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    fn layout(pixels: Pixels, stride: u32) -> Layout {
        Layout { pixels, width: 4, height: 2, stride, colour: Colour::default() }
    }

    /// The same red in every layout, eight bytes of padding behind each row.
    #[test]
    fn red_is_red_however_it_lies_in_memory() {
        let rgb = [[255, 0, 0].repeat(4), vec![9; 8]].concat().repeat(2);
        let bgr = [[0, 0, 255].repeat(4), vec![9; 8]].concat().repeat(2);
        let yuyv = [[81, 90, 81, 240].repeat(2), vec![9; 8]].concat().repeat(2);
        let y = [[81; 4].to_vec(), vec![9; 8]].concat().repeat(2);
        let cases: [(Pixels, u32, Vec<&[u8]>); 5] = [
            (Pixels::Rgb, 20, vec![&rgb]),
            (Pixels::Bgr, 20, vec![&bgr]),
            (Pixels::Yuyv, 16, vec![&yuyv]),
            (Pixels::Yuv420, 12, vec![&y, &[90; 6], &[240; 6]]),
            (Pixels::Nv12, 12, vec![&y, &[90, 240, 90, 240, 9, 9, 9, 9, 9, 9, 9, 9]]),
        ];
        for (pixels, stride, planes) in cases {
            let image = to_rgb(&layout(pixels, stride), &planes).unwrap_or_else(|error| panic!("{pixels:?}: {error}"));
            for Rgb(got) in image.pixels() {
                assert!(got.iter().zip([255, 0, 0]).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 4), "{pixels:?}: {got:?}");
            }
            assert!(to_rgb(&layout(pixels, stride), &[]).is_err(), "no planes at all");
            assert!(to_rgb(&layout(pixels, stride), &[&planes[0][..7]]).is_err(), "a short one");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            pixels in 0usize..5, width in 0u32..40, height in 0u32..40, stride in 0u32..130,
            planes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3_000), 0..4),
        ) {
            let layout =
                Layout { pixels: Pixels::ALL[pixels], width, height, stride, colour: Colour::default() };
            let planes: Vec<&[u8]> = planes.iter().map(Vec::as_slice).collect();
            if let Ok(image) = to_rgb(&layout, &planes) {
                prop_assert_eq!(image.dimensions(), (width, height));
            }
        }
    }
}
