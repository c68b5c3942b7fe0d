//! The REST API: the reference's flows, the table of errors, odd images, and clients that misbehave.

mod calls;
mod detecting;
mod errors;
mod images;
mod limits;
mod log;
mod manual;
mod refusals;
mod tls;
mod watching;
mod wire;
