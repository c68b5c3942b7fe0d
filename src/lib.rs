//! facegate: a door controller that recognises faces, in one daemon on a board behind the door.
//!
//! The way of a frame, module by module; `ARCHITECTURE.md` tells the invariants.
//!
//! 1. [`camera`] gives frames: from V4L2, from RTSP or from stills, the newest only.
//! 2. [`vision`] makes faces of pixels and embeddings of faces: detect, track, judge, align, embed.
//! 3. [`gallery`] knows who is enrolled: LMDB is the truth, FAISS the index, every template is sealed.
//! 4. [`access`] (the crate `facegate_control`, pure) decides from a track's sightings and the time alone.
//!    [`rulebook`] holds the rules of its tenant and who is where.
//! 5. [`door`] turns a grant into a relay's pulse, and back to rest whatever happens.
//! 6. [`journal`] records what was decided and why.
//!
//! [`guard`] is a second process, which puts the relays at rest where the daemon dies or hangs.
//!
//! Beside that way: [`intake`] decodes photographs that are sent, [`recognition`] makes templates of them, [`api`] serves the
//! REST API, [`fleet`] shares what is known with other doors over MQTT. [`config`] is the typed configuration, [`clock`] the time,
//! [`error`] what can go wrong, [`tally`] what is counted, [`priority`] who goes first, [`service`] what systemd is told and
//! gives, [`storage`] how folders of data are made, [`strictness`] what threshold a chance of a false accept comes to. [`daemon`]
//! wires all of it, [`cli`] is the command line.

#![deny(unsafe_code)]

pub mod api;
pub mod camera;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod door;
pub mod enrolment;
pub mod error;
pub mod fleet;
#[doc(hidden)]
pub mod fuzzing;
pub mod gallery;
pub mod guard;
pub mod intake;
pub mod journal;
mod metadata;
pub mod operator;
pub mod priority;
pub mod recognition;
pub mod rulebook;
pub mod service;
pub mod storage;
pub mod strictness;
pub mod tally;
pub mod vision;
mod widest;

pub use facegate_control::access;
