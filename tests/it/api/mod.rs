//! The REST API: the reference's flows, the table of errors, odd images, and clients that misbehave.

mod again;
mod archive;
mod batch;
mod calls;
mod detecting;
mod errors;
mod gate;
mod images;
mod late;
mod limits;
mod log;
mod manual;
mod photographs;
mod refusals;
mod subjects;
mod tls;
mod transfer;
mod watching;
mod wire;
