//! From a camera's bytes to RGB. Pure: any bytes may come in, and what does not make a picture is an error.

use image::RgbImage;
use yuv::{YuvGrayImage, YuvPackedImage, YuvPlanarImage, YuvRange, YuvStandardMatrix};

use super::negotiate::Pixels;
use crate::{
    error::{Context, Error, Kind, Result},
    intake::jpeg,
};

/// How the bytes of a frame are to be read, as it was settled with the driver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layout {
    pub pixels: Pixels,
    /// In pixels.
    pub width: u32,
    pub height: u32,
    /// Bytes from one row to the next; 0 where the driver leaves it open. Means nothing for MJPEG.
    pub stride: u32,
    /// The colours' meaning. Means nothing for MJPEG and grey.
    pub colour: Colour,
}

/// How YUV numbers stand for colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colour {
    /// Whether Y runs from 0 to 255. Otherwise from 16 to 235, which is what cameras mean that say nothing.
    pub full_range: bool,
    /// Whether the weights are those of ITU-R BT.709. Otherwise BT.601, the same.
    pub bt709: bool,
}

impl Colour {
    pub(super) fn range(self) -> YuvRange {
        if self.full_range { YuvRange::Full } else { YuvRange::Limited }
    }

    pub(super) fn matrix(self) -> YuvStandardMatrix {
        if self.bt709 { YuvStandardMatrix::Bt709 } else { YuvStandardMatrix::Bt601 }
    }
}

/// A picture in three planes, its colours halved both ways (I420), as video decoders give it.
#[derive(Clone, Copy)]
pub struct Planes<'a> {
    /// In pixels.
    pub width: u32,
    pub height: u32,
    pub y: &'a [u8],
    /// Bytes from one row of `y` to the next.
    pub y_stride: u32,
    pub u: &'a [u8],
    pub v: &'a [u8],
    /// Bytes from one row of `u` and of `v` to the next.
    pub uv_stride: u32,
}

/// Makes an RGB picture of three planes.
///
/// # Errors
/// [`Kind::Camera`] where a plane is shorter than the size needs.
pub fn planes_to_rgb(planes: &Planes<'_>, colour: Colour) -> Result<RgbImage> {
    let &Planes { width, height, y, y_stride, u, v, uv_stride } = planes;
    check_size(width, height)?;
    let halved = |plane| rows_of(plane, uv_stride, width.div_ceil(2), height.div_ceil(2));
    let (y, u, v) = (rows_of(y, y_stride, width, height)?, halved(u)?, halved(v)?);
    let mut image = RgbImage::new(width, height);
    let planar = YuvPlanarImage {
        y_plane: y,
        y_stride,
        u_plane: u,
        u_stride: uv_stride,
        v_plane: v,
        v_stride: uv_stride,
        width,
        height,
    };
    yuv::yuv420_to_rgb(&planar, &mut image, 3 * width, colour.range(), colour.matrix())
        .map_err(|error| error.to_string())
        .context(Kind::Camera, || "a bad picture in planes")?;
    Ok(image)
}

/// Makes an RGB picture of a frame's bytes (only those that the driver says are used).
///
/// # Errors
/// [`Kind::Camera`] where the buffer is shorter than the format needs, or the JPEG in it is broken or much larger than
/// was settled.
pub fn to_rgb(layout: &Layout, bytes: &[u8]) -> Result<RgbImage> {
    let (width, height) = (layout.width, layout.height);
    match layout.pixels {
        Pixels::Mjpeg => {
            // A few cameras round their size up to whole blocks; one that sends twice what was settled sends garbage.
            let most = 2 * u64::from(width) * u64::from(height);
            jpeg::decode(bytes, most).map(|decoded| decoded.image).context(Kind::Camera, || "a bad MJPEG frame")
        }
        Pixels::Yuyv => {
            let (stride, rows) = rows(layout, bytes, 2)?;
            let mut image = RgbImage::new(width, height);
            let packed = YuvPackedImage { yuy: rows, yuy_stride: stride, width, height };
            yuv::yuyv422_to_rgb(&packed, &mut image, 3 * width, layout.colour.range(), layout.colour.matrix())
                .map_err(|error| error.to_string())
                .context(Kind::Camera, || "a bad YUYV frame")?;
            Ok(image)
        }
        Pixels::Grey => {
            let (stride, rows) = rows(layout, bytes, 1)?;
            let mut image = RgbImage::new(width, height);
            let grey = YuvGrayImage { y_plane: rows, y_stride: stride, width, height };
            yuv::yuv400_to_rgb(&grey, &mut image, 3 * width, YuvRange::Full, YuvStandardMatrix::Bt601)
                .map_err(|error| error.to_string())
                .context(Kind::Camera, || "a bad grey frame")?;
            Ok(image)
        }
    }
}

/// Refuses sizes far above any camera's; keeps the sums below within range on every machine.
pub(super) fn check_size(width: u32, height: u32) -> Result<()> {
    let fits = 1..=1 << 14;
    if fits.contains(&width) && fits.contains(&height) { Ok(()) } else { Err(unreadable(width, height)) }
}

/// The `rows` rows of a plane, of `row` bytes each, and no more: the conversions panic at parts of a row. An error where they are not
/// all there.
pub(super) fn rows_of(plane: &[u8], stride: u32, row: u32, rows: u32) -> Result<&[u8]> {
    let needed = u64::from(stride) * u64::from(rows);
    let whole = usize::try_from(needed).ok().and_then(|needed| plane.get(..needed));
    whole.filter(|_| stride >= row).ok_or_else(|| {
        Error::new(Kind::Camera, format!("a plane of {} bytes came, where {needed} are needed", plane.len()))
    })
}

fn unreadable(width: u32, height: u32) -> Error {
    Error::new(Kind::Camera, format!("frames of {width}×{height} pixels cannot be read"))
}

/// The stride and the rows of a frame that is not compressed; an error where they are not all there.
fn rows<'a>(layout: &Layout, bytes: &'a [u8], bytes_per_pixel: u32) -> Result<(u32, &'a [u8])> {
    let (width, height) = (layout.width, layout.height);
    check_size(width, height)?;
    if bytes_per_pixel == 2 && width % 2 == 1 {
        return Err(unreadable(width, height));
    }
    let least = width * bytes_per_pixel;
    let stride = if layout.stride == 0 { least } else { layout.stride };
    let needed = u64::from(stride) * u64::from(height);
    if stride < least || (bytes.len() as u64) < needed {
        let message = format!("a frame of {} bytes came, {width}×{height} needs {needed}", bytes.len());
        return Err(Error::new(Kind::Camera, message));
    }
    Ok((stride, &bytes[..needed as usize]))
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    fn layout(pixels: Pixels, width: u32, height: u32, stride: u32) -> Layout {
        Layout { pixels, width, height, stride, colour: Colour::default() }
    }

    #[test]
    fn yuyv_gives_the_colours_of_bt601() {
        // Y 81, U 90, V 240 is red; Y 145, U 54, V 34 is green; in studio range.
        let mut bytes = [81, 90, 81, 240].repeat(8);
        bytes.extend([145, 54, 145, 34].repeat(8));
        let image = to_rgb(&layout(Pixels::Yuyv, 16, 2, 0), &bytes).expect("converts");
        for (got, wanted) in [(image.get_pixel(5, 0), [255, 0, 0]), (image.get_pixel(5, 1), [0, 255, 0])] {
            assert!(got.0.iter().zip(wanted).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 4), "{got:?}");
        }
        let full = Layout { colour: Colour { full_range: true, bt709: false }, ..layout(Pixels::Yuyv, 16, 2, 0) };
        let image = to_rgb(&full, &[200, 128].repeat(32)).expect("converts");
        assert_eq!(image.get_pixel(3, 1), &Rgb([200, 200, 200]));
    }

    #[test]
    fn planes_give_the_same_colours_past_their_padding() {
        let red = Planes { width: 6, height: 4, y: &[81; 8 * 4], y_stride: 8, u: &[90; 8], v: &[240; 8], uv_stride: 4 };
        let image = planes_to_rgb(&red, Colour::default()).expect("converts");
        assert!(image.pixels().all(|got| got.0.iter().zip([255, 0, 0]).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 4)));
        let grey = Planes { y: &[200; 8 * 4], u: &[128; 8], v: &[128; 8], ..red };
        let image = planes_to_rgb(&grey, Colour { full_range: true, bt709: true }).expect("converts");
        assert_eq!(image.get_pixel(5, 3), &Rgb([200; 3]));
        for short in [Planes { y: &[0; 20], ..red }, Planes { v: &[0; 3], ..red }, Planes { width: 0, ..red }] {
            assert_eq!(planes_to_rgb(&short, Colour::default()).expect_err("too short").kind(), Kind::Camera);
        }
    }

    #[test]
    fn grey_is_copied_past_padding() {
        let bytes: Vec<u8> = (0..4u8).flat_map(|row| [[row * 50; 10].as_slice(), &[255; 6]].concat()).collect();
        let image = to_rgb(&layout(Pixels::Grey, 10, 4, 16), &bytes).expect("converts");
        for (_, y, pixel) in image.enumerate_pixels() {
            assert_eq!(pixel, &Rgb([y as u8 * 50; 3]));
        }
    }

    #[test]
    fn short_buffers_are_refused() {
        for (layout, needed) in [
            (layout(Pixels::Yuyv, 640, 480, 0), 640 * 480 * 2),
            (layout(Pixels::Yuyv, 640, 480, 1500), 1500 * 480),
            (layout(Pixels::Grey, 640, 480, 640), 640 * 480),
        ] {
            to_rgb(&layout, &vec![128; needed]).expect("just enough");
            let error = to_rgb(&layout, &vec![128; needed - 1]).map(|_| ()).expect_err("one byte short");
            assert_eq!(error.kind(), Kind::Camera);
            assert!(error.message().contains(&needed.to_string()), "{error}");
            assert!(to_rgb(&layout, &[]).is_err());
        }
        assert!(
            to_rgb(&layout(Pixels::Yuyv, 641, 480, 0), &vec![0; 1 << 20]).is_err(),
            "odd widths do not exist in YUYV"
        );
        assert!(to_rgb(&layout(Pixels::Yuyv, u32::MAX, u32::MAX, u32::MAX), &[0; 64]).is_err());
    }

    #[test]
    fn mjpeg_is_decoded_and_kept_to_its_size() {
        let picture = RgbImage::from_pixel(64, 48, Rgb([40, 90, 160]));
        let mut file = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut file, image::ImageFormat::Jpeg).expect("encodes");
        let mut file = file.into_inner();
        let image = to_rgb(&layout(Pixels::Mjpeg, 64, 48, 0), &file).expect("decodes");
        assert!(image.get_pixel(30, 20).0.iter().zip([40u8, 90, 160]).all(|(a, b)| a.abs_diff(b) <= 3));
        file.extend([0; 100]);
        to_rgb(&layout(Pixels::Mjpeg, 64, 48, 0), &file).expect("padding after the end is usual");
        let error = to_rgb(&layout(Pixels::Mjpeg, 16, 16, 0), &file).map(|_| ()).expect_err("far larger than settled");
        assert_eq!(error.kind(), Kind::Camera);
        assert!(to_rgb(&layout(Pixels::Mjpeg, 64, 48, 0), &file[..300]).is_err());
    }

    /// Several times what it takes on a desk: machines differ and are shared.
    #[test]
    fn conversion_is_cheap() {
        let picture = RgbImage::from_fn(640, 480, |x, y| Rgb([(x / 3) as u8, (y / 2) as u8, (x ^ y) as u8]));
        let mut file = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut file, image::ImageFormat::Jpeg).expect("encodes");
        for (pixels, bytes, most) in [
            (Pixels::Yuyv, vec![90; 640 * 480 * 2], 5),
            (Pixels::Grey, vec![90; 640 * 480], 5),
            (Pixels::Mjpeg, file.into_inner(), 40),
        ] {
            let layout = layout(pixels, 640, 480, 0);
            let mut times: Vec<_> = (0..21)
                .map(|_| {
                    let before = std::time::Instant::now();
                    to_rgb(&layout, &bytes).expect("converts");
                    before.elapsed()
                })
                .collect();
            times.sort();
            eprintln!("640×480 {}: {:?} (median)", pixels.name(), times[10]);
            assert!(times[10].as_millis() < most);
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            pixels in 0usize..3, width in 0u32..70, height in 0u32..70, stride in 0u32..300,
            full_range: bool, bt709: bool, head: bool,
            mut bytes in proptest::collection::vec(any::<u8>(), 0..12_000),
        ) {
            if head && bytes.len() > 4 {
                bytes[..4].copy_from_slice(&[0xff, 0xd8, 0xff, 0xdb]);
            }
            let pixels = [Pixels::Yuyv, Pixels::Mjpeg, Pixels::Grey][pixels];
            let layout = Layout { pixels, width, height, stride, colour: Colour { full_range, bt709 } };
            if let Ok(image) = to_rgb(&layout, &bytes) {
                prop_assert!(pixels == Pixels::Mjpeg || image.dimensions() == (width, height));
            }
        }
    }
}
