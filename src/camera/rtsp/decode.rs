//! H.264 access units into pictures, by Cisco's OpenH264. Any bytes may come in: they come from a network.
//!
//! The decoder is C++ that lives in the door's process, so that it is shown no more than it has to be: slices and parameter sets of
//! the profiles that cameras use, of bounded size, each set looked at first. What is for scalable or stereo video is left out.

use h264_reader::{
    nal::sps::{ChromaFormat, FrameMbsFlags, SeqParameterSet},
    rbsp::{self, BitReader},
};
use image::RgbImage;
use openh264::{
    OpenH264API,
    decoder::{Decoder as OpenH264, DecoderConfig},
    formats::YUVSource,
    nal_units,
};

use crate::camera::convert::{self, Colour, Planes};

/// The largest access unit (a picture as it is sent) that is decoded, in bytes. A key frame of 3 megapixels has a fourth of that.
pub const MAX_UNIT: usize = 4 << 20;
/// The largest picture, in pixels: what cameras of 3 megapixels send.
pub const MAX_PIXELS: u32 = 2048 * 1536;

/// Kinds of NAL units: ITU-T H.264, table 7-1.
const SLICE: u8 = 1;
const KEY_SLICE: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;

/// What a stream says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// `Baseline`, `Main` or `High`.
    pub profile: &'static str,
    /// In pixels, as shown.
    pub width: u32,
    pub height: u32,
    /// In frames a second, where it is said.
    pub rate: Option<f32>,
    pub colour: Colour,
}

/// What became of an access unit.
#[derive(Debug)]
pub enum Outcome {
    /// No picture yet: it is waiting for a key frame, or holds one back.
    Waiting,
    /// A picture that was not wanted.
    Unwanted,
    Picture(RgbImage),
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The stream is of a kind that is not decoded, and stays so; in words.
    Kind(String),
    /// This access unit is damaged; in words.
    Damaged(String),
}

/// A decoder of one stream.
pub struct Decoder {
    inner: OpenH264,
    shape: Option<Shape>,
    /// Whether what refers to earlier pictures can be decoded: a key frame was, and nothing was lost since.
    whole: bool,
    /// The parts of an access unit that the decoder is shown.
    shown: Vec<u8>,
}

impl Decoder {
    /// # Errors
    /// [`Fault::Kind`] where no decoder can be had, as without memory.
    pub fn new() -> Result<Self, Fault> {
        Ok(Self { inner: fresh()?, shape: None, whole: false, shown: Vec::new() })
    }

    /// What the stream last said of itself.
    pub fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// Something of the stream was left out: nothing counts before the next key frame.
    pub fn lose(&mut self) {
        self.whole = false;
    }

    /// Decodes one access unit, in the order in which they were sent, NAL units behind start codes (Annex B). Only a picture that
    /// is `wanted` is turned into colours.
    ///
    /// # Errors
    /// [`Fault`]; after either nothing counts before the next key frame.
    pub fn decode(&mut self, unit: &[u8], wanted: bool) -> Result<Outcome, Fault> {
        let done = self.try_decode(unit, wanted);
        if done.is_err() {
            self.lose();
        }
        done
    }

    fn try_decode(&mut self, unit: &[u8], wanted: bool) -> Result<Outcome, Fault> {
        if unit.len() > MAX_UNIT {
            return Err(Fault::Damaged(format!("a picture of {} bytes, where {MAX_UNIT} are the most", unit.len())));
        }
        self.shown.clear();
        let (mut key, mut described) = (false, false);
        for nal in nal_units(unit) {
            // Behind the start code of three bytes: five bits say what it is.
            let body = nal.get(3..).unwrap_or_default();
            match body.first().map_or(0, |header| header & 0x1f) {
                SLICE | PPS => {}
                KEY_SLICE => key = true,
                SPS => {
                    self.shape = Some(shape(body)?);
                    described = true;
                }
                _ => continue,
            }
            self.shown.extend_from_slice(nal);
        }
        if self.shape.is_none() || !(key || self.whole) || self.shown.is_empty() {
            return Ok(Outcome::Waiting);
        }
        let damaged = |words: String| Fault::Damaged(format!("a damaged picture ({words})"));
        if key && described {
            // A key frame needs nothing of what was before; a decoder that was shown something damaged may take it for damaged, too.
            self.inner = fresh()?;
        }
        let decoded = self
            .inner
            .decode(&self.shown)
            .map_err(|error| damaged(format!("the decoder says {:#x}", error.native_code())))?;
        self.whole = true;
        let Some(picture) = decoded else { return Ok(Outcome::Waiting) };
        let (width, height) = picture.dimensions();
        let (width, height) = (width as u32, height as u32);
        if width.saturating_mul(height) > MAX_PIXELS {
            return Err(damaged(format!("{width}×{height}")));
        }
        if !wanted {
            return Ok(Outcome::Unwanted);
        }
        let (y_stride, uv_stride, _) = picture.strides();
        let planes = Planes {
            width,
            height,
            y: picture.y(),
            y_stride: y_stride as u32,
            u: picture.u(),
            v: picture.v(),
            uv_stride: uv_stride as u32,
        };
        let colour = self.shape.as_ref().map(|shape| shape.colour).unwrap_or_default();
        convert::planes_to_rgb(&planes, colour).map(Outcome::Picture).map_err(|error| damaged(error.to_string()))
    }
}

/// # Errors
/// [`Fault::Kind`] where no decoder can be had, as without memory.
fn fresh() -> Result<OpenH264, Fault> {
    OpenH264::with_api_config(
        OpenH264API::from_source(),
        DecoderConfig::new().flush_after_decode(openh264::decoder::Flush::NoFlush),
    )
    .map_err(|error| Fault::Kind(format!("what there is no decoder for (code {})", error.native_code())))
}

/// Reads a sequence parameter set, and refuses what is not decoded. `nal` begins with its header.
fn shape(nal: &[u8]) -> Result<Shape, Fault> {
    // Zeros at the end belong to the next start code; some cameras leave a stray byte or two there.
    let end = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let parsed = (0..3).find_map(|stray| parse(&nal[..end.saturating_sub(stray)]));
    let Some(sps) = parsed else {
        return Err(Fault::Damaged("the stream's description of itself (SPS) cannot be read".into()));
    };
    let idc = sps.profile_idc.into();
    let profile = match idc {
        66 => "Baseline",
        77 => "Main",
        100 => "High",
        other => {
            return Err(Fault::Kind(format!("H.264 of the profile {other}, where Baseline, Main or High are decoded")));
        }
    };
    let chroma = &sps.chroma_info;
    let plain = matches!(chroma.chroma_format, ChromaFormat::YUV420 | ChromaFormat::Monochrome)
        && (chroma.bit_depth_luma_minus8, chroma.bit_depth_chroma_minus8) == (0, 0);
    if !plain {
        return Err(Fault::Kind("H.264 of more than 8 bits or finer colours than 4:2:0, which is not decoded".into()));
    }
    if sps.frame_mbs_flags != FrameMbsFlags::Frames {
        return Err(Fault::Kind("interlaced H.264, which is not decoded".into()));
    }
    // As decoded, which is what takes memory: whole blocks of 16×16.
    let blocks = |minus1: u32| minus1.saturating_add(1).saturating_mul(16);
    let area = blocks(sps.pic_width_in_mbs_minus1).saturating_mul(blocks(sps.pic_height_in_map_units_minus1));
    let size = sps.pixel_dimensions().ok().filter(|&(width, height)| width > 0 && height > 0);
    let Some((width, height)) = size.filter(|_| area <= MAX_PIXELS) else {
        let words = size.map_or("no size".to_owned(), |(width, height)| format!("{width}×{height} pixels"));
        return Err(Fault::Kind(format!("pictures of {words}, where {MAX_PIXELS} pixels are the most")));
    };
    let signal = sps.vui_parameters.as_ref().and_then(|vui| vui.video_signal_type.as_ref());
    let matrix = signal.and_then(|signal| signal.colour_description.as_ref()).map(|said| said.matrix_coefficients);
    Ok(Shape {
        profile,
        width,
        height,
        rate: sps.fps().map(|rate| rate as f32).filter(|rate| rate.is_finite() && *rate > 0.0),
        colour: Colour {
            full_range: signal.is_some_and(|signal| signal.video_full_range_flag),
            // ITU-T H.264, table E-5. Where nothing is said, as by most cameras: BT.601.
            bt709: matrix == Some(1),
        },
    })
}

fn parse(nal: &[u8]) -> Option<SeqParameterSet> {
    // Shorter ones have no room for the profile, and the parser panics at them.
    if nal.len() < 4 {
        return None;
    }
    let bits = rbsp::decode_nal(nal).ok()?;
    SeqParameterSet::from_bits(BitReader::new(&*bits)).ok()
}

#[cfg(test)]
mod tests;
