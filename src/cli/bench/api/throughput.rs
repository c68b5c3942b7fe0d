//! How many photographs a second are searched for, against what the networks alone allow on all cores. The two take turns.

use std::{
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use axum::body::Bytes;
use image::RgbImage;
use serde::Serialize;

use super::client::Client;
use crate::{
    error::{Error, Kind, Result},
    vision::{engine::Engine, template::Purpose},
};

/// What is promised of the ratio.
pub const PROMISED: f64 = 0.9;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(4);

#[derive(Debug, Serialize)]
pub struct Report {
    pub workers: usize,
    pub clients: usize,
    /// Of each round, a second: photographs that were searched for, and what the networks alone allow.
    pub rounds: Vec<(f64, f64)>,
    pub searches_per_s: f64,
    pub networks_per_s: f64,
    /// The median of the rounds' ratios.
    pub searches_over_networks: f64,
}

pub async fn measure(
    address: SocketAddr,
    key: &str,
    form: &Bytes,
    engine: &Arc<Engine>,
    photo: &Arc<RgbImage>,
    workers: usize,
) -> Result<Report> {
    // A worker that has finished finds the next photograph waiting.
    let clients = 2 * workers + 2;
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Client::connect(address, key).await?);
    }
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let (engine, photo) = (Arc::clone(engine), Arc::clone(photo));
        let alone = tokio::task::spawn_blocking(move || networks_alone(&engine, &photo, workers));
        let networks = alone.await.unwrap_or_else(|_| Err(panicked()))?;
        let (searches, back) = searches(connections, form).await?;
        connections = back;
        // The first one warms up.
        if round > 0 {
            rounds.push((searches, networks));
        }
    }
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Ok(Report {
        workers,
        clients,
        searches_per_s: median(|round| round.0),
        networks_per_s: median(|round| round.1),
        searches_over_networks: median(|round| round.0 / round.1),
        rounds,
    })
}

/// Photographs a second that the networks would do if there were nothing else to do, while all cores run them.
fn networks_alone(engine: &Arc<Engine>, photo: &RgbImage, threads: usize) -> Result<f64> {
    let work = || -> Result<(f64, f64)> {
        let mut session = engine.session()?;
        let (mut done, mut seconds, begun) = (0.0, 0.0, Instant::now());
        while begun.elapsed() < ROUND {
            let faces = session.detect(photo)?;
            let face = faces.first().ok_or_else(|| Error::new(Kind::NoFaceDetected, "the photograph shows no face"))?;
            session.embed(photo, &face.landmarks, Purpose::Probe)?;
            seconds += session.timings().networks().as_secs_f64();
            done += 1.0;
        }
        Ok((done, seconds))
    };
    let all = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(panicked()))).collect::<Result<Vec<_>>>()
    })?;
    Ok(all.iter().map(|(done, seconds)| done / seconds).sum())
}

/// Searches a second, with every client sending its next photograph when it has its answer. Gives the clients back.
async fn searches(clients: Vec<Client>, form: &Bytes) -> Result<(f64, Vec<Client>)> {
    let begun = Instant::now();
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let form = form.clone();
            tokio::spawn(async move {
                let mut done = 0.0;
                while begun.elapsed() < ROUND {
                    let (status, _) = client.post("/v1/face-matching/search", &form).await?;
                    match status {
                        200 => done += 1.0,
                        // Its queue is full for the moment.
                        503 => tokio::time::sleep(Duration::from_millis(5)).await,
                        _ => return Err(Error::new(Kind::Internal, format!("a search was answered {status}"))),
                    }
                }
                Ok((done, client))
            })
        })
        .collect();
    let (mut done, mut back) = (0.0, Vec::new());
    for task in tasks {
        let (searched, client) = task.await.unwrap_or_else(|_| Err(panicked()))?;
        done += searched;
        back.push(client);
    }
    Ok((done / begun.elapsed().as_secs_f64(), back))
}

fn panicked() -> Error {
    Error::new(Kind::Internal, "a measuring thread panicked")
}

impl Report {
    pub fn words(&self, lines: &mut Vec<String>) {
        lines.push(format!(
            "  {} clients, {} workers: {:.1} searches a second; the networks alone allow {:.1}: {:.3} times (promised: at \
             least {PROMISED})",
            self.clients, self.workers, self.searches_per_s, self.networks_per_s, self.searches_over_networks
        ));
    }
}
