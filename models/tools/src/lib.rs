//! Facegate's networks: where they come from, and how what the daemon loads is made of what was published.
//!
//! [`manifest`] reads where a pack's files come from, [`fetch`] gets them, [`convert`] makes of them what the daemon loads,
//! [`identity`] makes sure of every step.
#![forbid(unsafe_code)]

pub mod convert;
pub mod error;
pub mod fetch;
pub mod identity;
pub mod manifest;
pub mod onnx;
