//! Facegate's networks: where they come from, and how what the daemon loads is made of what was published.
#![forbid(unsafe_code)]

pub mod convert;
pub mod error;
pub mod onnx;
