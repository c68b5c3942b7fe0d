//! Making what the daemon loads from the files as they are published.

mod builder;
mod espdl;
mod espdl_to_onnx;
mod flatbuffer;
mod minifasnet;
mod normalisation;
mod pickle;
mod quantise;
#[cfg(test)]
mod testing;
mod torch;

use serde::Deserialize;

use crate::error::Result;

/// How a product is made from the published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Make {
    /// As it is.
    Copy,
    /// From a float ONNX network: weights to signed bytes with a scale for each output channel.
    Quantise,
    /// From an `.espdl` network.
    Espdl,
    /// From a `.pth` state dict of MiniFASNet.
    Minifasnet,
}

impl Make {
    /// Makes the product. The same bytes in give the same bytes out, on every machine.
    ///
    /// # Errors
    /// Where the file is not of the kind that is expected, or broken.
    pub fn run(self, original: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Copy => Ok(original.to_vec()),
            Self::Quantise => quantise::convert(original),
            Self::Espdl => espdl_to_onnx::convert(original),
            Self::Minifasnet => minifasnet::convert(original),
        }
    }
}
