//! The REST API of a daemon with a full gallery, over loopback: what a call costs besides the networks, how many searches it
//! does, what listing takes, and what a flood does to the door.

mod client;
mod cost;
mod flood;
mod listing;
mod throughput;

use std::sync::Arc;

use image::{RgbImage, imageops};
use serde::Serialize;

use self::client::{Client, fine, form};
use super::board::Board;
use crate::{
    error::{Context, Kind, Result},
    intake::jpeg,
    vision::{engine::Engine, models::Pack},
};

/// Who is on the photograph.
const SUBJECT: &str = "somebody";

/// Sides of the photograph that is sent, in pixels.
const SIDE: u32 = 640;

const JPEG_QUALITY: u8 = 90;

/// Nobody is told to wait for having called too often.
const NO_LIMITS: &str = "[api.limits]\nphotographs = { per_s = 0, burst = 1 }\nreads = { per_s = 0, burst = 1 }\n\
    changes = { per_s = 0, burst = 1 }\naddress_factor = 0\n";

#[derive(Debug, Serialize)]
pub struct Report {
    /// Faces that are enrolled, and bytes of the photograph that is sent.
    pub faces: u32,
    pub photo_bytes: usize,
    pub cost: cost::Report,
    pub throughput: throughput::Report,
    pub listing: listing::Report,
    pub flood: flood::Report,
}

/// `calls` of each kind are measured, and so many openings of the door.
pub fn measure(board: &Board, pack: &Pack, photo: &RgbImage, faces: u32, calls: u32) -> Result<Report> {
    let photo = Arc::new(square(photo));
    let jpeg = jpeg::encode(&photo, JPEG_QUALITY)?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let sections = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n{NO_LIMITS}[api.recognition]\ncache = 0\nworkers = {workers}\nqueue = {}\n",
        4 * workers + 4
    );
    let daemon = board.start(&sections, None)?;
    let (address, searched) = (daemon.address()?, form(&jpeg, None));
    let (cost, throughput, listing) = runtime()?.block_on(async {
        let mut client = Client::connect(address, &board.key).await?;
        let enrolled = client.post("/v1/face-matching/enroll", &form(&jpeg, Some(SUBJECT))).await?;
        fine(enrolled).map_err(|error| error.within("the photograph cannot be enrolled"))?;
        // First, while the daemon's memory is small.
        let listing = listing::measure(&daemon, &mut client).await?;
        let cost = cost::measure(&mut client, &searched, calls).await?;
        let engine = Engine::load(pack)?;
        let throughput = throughput::measure(address, &board.key, &searched, &engine, &photo, workers).await?;
        Ok::<_, crate::error::Error>((cost, throughput, listing))
    })?;
    drop(daemon);

    let path = board.path("somebody.jpg");
    std::fs::write(&path, &jpeg).context(Kind::Io, || format!("cannot write {}", path.display()))?;
    let flood = flood::measure(board, &path, &searched, calls as usize)?;
    Ok(Report { faces, photo_bytes: jpeg.len(), cost, throughput, listing, flood })
}

/// The middle of the photograph, as large as it is wide or high, at the size that is sent.
fn square(photo: &RgbImage) -> RgbImage {
    let (width, height) = photo.dimensions();
    let side = width.min(height);
    // Faces are above the middle of a portrait.
    let middle = imageops::crop_imm(photo, (width - side) / 2, (height - side) / 4, side, side).to_image();
    imageops::resize(&middle, SIDE, SIDE, imageops::FilterType::CatmullRom)
}

/// Where clients run: one thread for all of them.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.context(Kind::Io, || "connections cannot be made")
}

impl Report {
    pub fn words(&self, lines: &mut Vec<String>) {
        let kb = self.photo_bytes / 1024;
        lines.push(format!(
            "the API with {} faces enrolled, a JPEG of {SIDE}×{SIDE} pixels and {kb} kB, over loopback:",
            self.faces
        ));
        self.cost.words(lines);
        self.throughput.words(lines);
        self.listing.words(lines);
        self.flood.words(lines);
    }
}
