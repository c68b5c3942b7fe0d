//! The way of a frame on this thread, stage by stage, and the same frames on two threads.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use facegate_control::Passage;
use indicatif::ProgressBar;
use serde::Serialize;

use super::{super::demo::Scratch, Args, Times};
use crate::{
    access::Policy,
    camera::{self, Frame},
    cli::output::Output,
    clock::{Beat, Clock, SystemClock},
    daemon::{
        doorway::{Doorway, Parts, Tuning},
        events::Listeners,
    },
    door::{self, Driver, Hardware},
    error::{Error, Kind, Result},
    gallery::{self, Gallery, NewEnrolment, SubjectId, TenantId},
    journal::{self, Journal},
    rulebook::Gate,
    vision::{
        engine::{Engine, Timings},
        liveness::{Glimpse, TrackLiveness},
        models::Pack,
        quality,
        template::Purpose,
    },
};

/// Different frames that are shown by turns.
const SCENES: usize = 40;

#[derive(Debug, Serialize)]
pub struct Report {
    /// What the frames are.
    pub frame: String,
    pub frames: u32,
    /// By stage, in the order of the way; only stages that the pack has.
    pub stages: Vec<(&'static str, Times)>,
    /// Sum of the networks' own times, frame by frame.
    pub networks: Times,
    /// Frame to relay edge less the networks, frame by frame.
    pub around: Times,
    /// From the frame's hand-over to the relay's edge.
    pub frame_to_edge: Times,
    /// Ratio of the medians.
    pub edge_over_networks: f64,
    pub threads: Vec<Threads>,
}

#[derive(Debug, Serialize)]
pub struct Threads {
    pub threads: usize,
    pub frames_per_second: f64,
    /// Detection, quality and embedding of one frame.
    pub frame: Times,
}

impl Report {
    pub fn words(&self, lines: &mut Vec<String>) {
        lines.push(format!("{}, {} frames", self.frame, self.frames));
        lines.push(format!("  {:<30} {:>10} {:>10}", "one thread, ms", "median", "p95"));
        let mut row = |name: &str, times: &Times| {
            lines.push(format!("  {name:<30} {:>10.2} {:>10.2}", times.median_ms, times.p95_ms));
        };
        for (name, times) in &self.stages {
            row(name, times);
        }
        row("networks together", &self.networks);
        row("all that is no network", &self.around);
        row("frame to relay edge", &self.frame_to_edge);
        lines.push(format!(
            "  frame to relay edge / networks: {:.3} (medians; promised: at most 1.15)",
            self.edge_over_networks
        ));
        lines.push(format!("  all that is no network: {:.2} ms (promised: at most 5)", self.around.median_ms));
        for threads in &self.threads {
            lines.push(format!(
                "  {} thread{}: {:.1} frames a second, {:.2} ms a frame (p95 {:.2})",
                threads.threads,
                if threads.threads == 1 { "" } else { "s" },
                threads.frames_per_second,
                threads.frame.median_ms,
                threads.frame.p95_ms
            ));
        }
    }
}

pub fn measure(out: Output, pack: &Pack, args: &Args) -> Result<Report> {
    let engine = Engine::load(pack)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut frames = scenes(args, &clock)?;
    let bar = out.progress(u64::from(args.frames), "frames");
    let (timings, edges) = through_the_door(&engine, &mut frames, args.frames, &clock, &bar)?;
    bar.finish_and_clear();
    let column = |stage: fn(&Timings) -> Duration| Times::of(timings.iter().map(|t| ms(stage(t))).collect());
    type Stage = (&'static str, fn(&Timings) -> Duration);
    let all: [Stage; 7] = [
        ("detector: scaling", |t| t.detect_prepare),
        ("detector: network", |t| t.detect_network),
        ("detector: reading boxes", |t| t.detect_decode),
        ("landmarks: scaling", |t| t.landmarks_prepare),
        ("landmarks: network", |t| t.landmarks_network),
        ("alignment", |t| t.align),
        ("recogniser: network", |t| t.embed_network),
    ];
    let mut stages: Vec<_> = all.map(|(name, stage)| (name, column(stage))).into();
    stages.extend(liveness(&engine, &frames)?);
    stages.retain(|(_, times)| times.p95_ms > 0.0);
    let networks = column(Timings::networks);
    let around = timings.iter().zip(&edges).map(|(t, edge)| edge - ms(t.networks())).collect();
    let frame_to_edge = Times::of(edges);
    Ok(Report {
        frame: "640×480 with one face".into(),
        frames: args.frames,
        stages,
        networks,
        around: Times::of(around),
        edge_over_networks: frame_to_edge.median_ms / networks.median_ms,
        frame_to_edge,
        threads: [1, 2].into_iter().map(|n| on_threads(&engine, &frames, args.frames, n)).collect::<Result<_>>()?,
    })
}

/// What a door's liveness costs a frame, where it is asked for: the frames as one track.
fn liveness(engine: &Arc<Engine>, frames: &[Frame]) -> Result<[(&'static str, Times); 2]> {
    let (mut session, mut track) = (engine.session()?, TrackLiveness::default());
    let (mut networks, mut cues) = (Vec::new(), Vec::new());
    for Frame { image: picture, .. } in frames {
        let Some(face) = session.detect(picture)?.first().copied() else { continue };
        let from = Instant::now();
        let network = session.liveness(picture, &face.area)?;
        networks.push(if network.is_some() { ms(from.elapsed()) } else { 0.0 });
        let from = Instant::now();
        track.see(&Glimpse { picture, face: &face, quality: 1.0, network });
        cues.push(ms(from.elapsed()));
    }
    Ok([("liveness: networks, if asked", Times::of(networks)), ("liveness: cues, if asked", Times::of(cues))])
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Frames of the photograph as a camera would give them: moving, turning, noisy.
fn scenes(args: &Args, clock: &Arc<dyn Clock>) -> Result<Vec<Frame>> {
    let settings = camera::Settings::Replay(camera::replay::Settings {
        stills: vec![args.photo.clone()],
        rate_fps: 120.0,
        pan: 0.05,
        zoom: 0.05,
        rotation_degrees: 3.0,
        noise: 3.0,
        brightness: 0.1,
        ..camera::replay::Settings::default()
    });
    let mut camera = camera::open(&settings, Arc::clone(clock))?;
    (0..SCENES).map(|_| camera.next_frame()).collect()
}

/// Each frame through a door's whole way, the door shut before each. Gives the stages' times and, in milliseconds, those
/// from frame to edge.
fn through_the_door(
    engine: &Arc<Engine>,
    frames: &mut [Frame],
    count: u32,
    clock: &Arc<dyn Clock>,
    bar: &ProgressBar,
) -> Result<(Vec<Timings>, Vec<f64>)> {
    let data = Scratch::new()?;
    let settings = gallery::Settings { dir: data.0.join("gallery"), ..gallery::Settings::default() };
    let gallery = Arc::new(Gallery::open(&settings, engine.model_id(), Arc::clone(clock))?);
    let tenant = TenantId::try_from("bench")?;
    let mut session = engine.session()?;
    let faces = session.detect(&frames[0].image)?;
    let face = faces.first().ok_or_else(|| Error::new(Kind::NoFaceDetected, "the photograph shows no face"))?;
    gallery.enroll(
        &tenant,
        NewEnrolment {
            subject: SubjectId::try_from("somebody")?,
            embedding: session.embed(&frames[0].image, &face.landmarks, Purpose::Enrolment)?,
            quality_score: 1.0,
            liveness_score: None,
            source: None,
            metadata: None,
            photograph: None,
        },
    )?;

    let door = door::Settings { pulse_ms: 100, ..door::Settings::default() };
    let hardware = Hardware::at_rest(&door, clock)?;
    let driver = Arc::new(Driver::start(&door, hardware, None, Arc::clone(clock))?);
    let reports = driver.reports();
    let next_edge = || loop {
        match reports.recv_timeout(Duration::from_secs(1)) {
            Ok(door::Report::Edge(edge)) => return Some(edge),
            Ok(door::Report::Happened { .. } | door::Report::Card { .. }) => {}
            Err(_) => return None,
        }
    };
    // One frame decides, and nobody is asked to wait: every frame must open the door.
    let access = Policy { votes: 1, window: 1, cooldown_ms: 0, ..Policy::default() };
    let tuning = Tuning { access, quality: quality::Limits::door(), motion_gate: true, region: Default::default() };
    let gate = Arc::new(Gate::new(gallery.access(&tenant), "bench".into()));
    let journal = journal::Settings { dir: data.0.join("journal"), ..journal::Settings::default() };
    let mut doorway = Doorway::new(Parts {
        name: "bench".into(),
        tenant,
        passage: Passage::Entry,
        side: 0,
        passers: Arc::default(),
        engine: Arc::clone(engine),
        gallery,
        driver,
        gate,
        journal: Arc::new(Journal::open(&journal, Arc::clone(clock))?),
        tuning: Arc::new(ArcSwap::from_pointee(tuning)),
        clock: Arc::clone(clock),
        listeners: Listeners::default(),
        tally: Arc::default(),
        beat: Beat::new(Arc::clone(clock)),
    })?;
    let (mut timings, mut latencies) = (Vec::new(), Vec::new());
    for at in 0..count {
        let frame = &mut frames[at as usize % SCENES];
        doorway.forget_everybody();
        frame.at = clock.now();
        doorway.look(frame)?;
        let opened = loop {
            let edge = next_edge().ok_or_else(|| {
                Error::new(Kind::NoFaceDetected, "a frame did not open the door")
                    .help("use a photograph with one clear face")
            })?;
            if edge.energised {
                break edge.at.since(frame.at);
            }
        };
        timings.push(*doorway.timings());
        latencies.push(ms(opened));
        // Until the door is shut again.
        while next_edge().is_some_and(|edge| edge.energised) {}
        bar.inc(1);
    }
    Ok((timings, latencies))
}

/// The frames shared out among some threads, each with a session of its own.
fn on_threads(engine: &Arc<Engine>, frames: &[Frame], count: u32, threads: usize) -> Result<Threads> {
    let begun = Instant::now();
    let work = |first: usize| -> Result<Vec<f64>> {
        let mut session = engine.session()?;
        let mut times = Vec::new();
        for at in (first..count as usize).step_by(threads) {
            let picture = &frames[at % frames.len()].image;
            let from = Instant::now();
            if let Some(face) = session.detect(picture)?.first() {
                quality::assess(picture, face, &quality::Limits::door());
                session.embed(picture, &face.landmarks, Purpose::Frame)?;
            }
            times.push(ms(from.elapsed()));
        }
        Ok(times)
    };
    let times = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || work(first))).collect();
        let joined = workers.into_iter().map(|worker| {
            worker.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a measuring thread panicked")))
        });
        joined.collect::<Result<Vec<_>>>()
    })?;
    let times: Vec<f64> = times.into_iter().flatten().collect();
    Ok(Threads {
        threads,
        frames_per_second: times.len() as f64 / begun.elapsed().as_secs_f64(),
        frame: Times::of(times),
    })
}
