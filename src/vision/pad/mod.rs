//! How often pictures of people pass for people, and people for pictures: a folder of tracks through the pipeline, in the terms
//! of ISO/IEC 30107-3.
//!
//! APCER is the share of attack presentations of one kind that were taken for bona fide ones, BPCER the share of bona fide ones
//! that were taken for attacks. A door accepts at the first frame at which the evidence suffices, so that is what counts here, not
//! the verdict at a track's end.

mod make;
mod render;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

pub use make::{Made, make};
use parking_lot::Mutex;
use serde::Serialize;

use super::{
    engine::{Engine, Session},
    liveness::{Cue, Glimpse, TrackLiveness},
    quality::{self, Limits},
};
use crate::{
    access::{PadPolicy, Policy},
    error::{Context, Error, Kind, Result},
    intake,
};

/// The folder of bona fide presentations; each other one is a kind of attack.
const LIVE: &str = "live";

/// What was found over a folder.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The least liveness that counted, and of how many frames at least.
    pub threshold: f32,
    pub frames: u32,
    /// BPCER; none where the folder has nobody alive.
    pub live: Option<Group>,
    /// APCER by kind of attack, by name.
    pub attacks: Vec<Group>,
    /// Frames that could not be read.
    pub unreadable: usize,
}

/// What was found of the tracks of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// `live`, or what the folder of the attacks is called.
    pub kind: String,
    pub tracks: usize,
    /// Tracks of which nothing could be told, since no face was found: they are in no rate.
    pub no_response: usize,
    /// Tracks that were taken for living people.
    pub accepted: usize,
    /// The error: APCER of attacks, BPCER of living people; 0 to 1.
    pub rate: f64,
    /// Of 95 %, by Wilson's score (1927); it knows nothing of how alike tracks of one person or one camera are.
    pub interval: [f64; 2],
    /// How often each cue alone spoke against the track at its end, in tracks.
    pub against: BTreeMap<&'static str, usize>,
}

/// How the folder is judged.
#[derive(Clone, Debug)]
pub struct Options {
    /// The least liveness that counts, 0 to 1.
    pub threshold: f32,
    /// Of how many frames at least; a track that has fewer is judged at its end.
    pub frames: u32,
    /// Threads that run the networks.
    pub threads: usize,
}

struct Track {
    kind: String,
    frames: Vec<PathBuf>,
}

/// What came of one track.
struct Outcome {
    response: bool,
    accepted: bool,
    against: Vec<Cue>,
    unreadable: usize,
}

/// Judges every track of a folder: of those below `live/`, and of each other folder, whose name is the kind of attack. A folder
/// below these is a track, its JPEG and PNG files by name its frames; a file is a track of one frame. `progress` is told of each
/// track that is done.
///
/// # Errors
/// [`Kind::NotFound`] where the folder cannot be read or holds no track, [`Kind::Config`] where the pack has no network for
/// liveness, [`Kind::Model`] where a network fails. Frames that cannot be read are counted.
pub fn evaluate(engine: &Arc<Engine>, folder: &Path, options: &Options, progress: impl Fn() + Sync) -> Result<Report> {
    if !engine.judges_liveness() {
        return Err(
            Error::new(Kind::Config, "the pack has no network that judges liveness").help("choose another: --pack")
        );
    }
    let tracks = tracks(folder)?;
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::with_capacity(tracks.len()));
    let work = || -> Result<()> {
        let mut session = engine.session()?;
        while let Some((at, track)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, tracks.get(at)?)))
        {
            let outcome = judge(&mut session, track, options)?;
            outcomes.lock().push((at, outcome));
            progress();
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let panicked = || Err(Error::new(Kind::Internal, "a worker panicked"));
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| panicked()))
    })?;
    let mut kinds = BTreeMap::<&str, Vec<Outcome>>::new();
    let mut outcomes = outcomes.into_inner();
    outcomes.sort_by_key(|(at, _)| *at);
    let unreadable = outcomes.iter().map(|(_, outcome)| outcome.unreadable).sum();
    for (at, outcome) in outcomes {
        kinds.entry(&tracks[at].kind).or_default().push(outcome);
    }
    let live = kinds.remove(LIVE).map(|outcomes| Group::of(LIVE, &outcomes));
    let attacks = kinds.into_iter().map(|(kind, outcomes)| Group::of(kind, &outcomes)).collect();
    Ok(Report { threshold: options.threshold, frames: options.frames, live, attacks, unreadable })
}

fn tracks(folder: &Path) -> Result<Vec<Track>> {
    let mut tracks = Vec::new();
    for kind in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let name = kind.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for track in entries(&kind)? {
            let frames = if track.is_dir() { entries(&track)? } else { vec![track] };
            let frames: Vec<_> = frames.into_iter().filter(|path| is_picture(path)).collect();
            if !frames.is_empty() {
                tracks.push(Track { kind: name.clone(), frames });
            }
        }
    }
    if tracks.is_empty() {
        return Err(Error::new(Kind::NotFound, format!("{} holds no tracks", folder.display())).help(
            "put people into live/ and attacks into a folder for each kind, each with a folder of frames for each track; \
             --make-from PHOTOGRAPHS makes some",
        ));
    }
    Ok(tracks)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).context(Kind::NotFound, || format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png"))
}

/// As a door that requires liveness would, of the largest face of each frame.
fn judge(session: &mut Session, track: &Track, options: &Options) -> Result<Outcome> {
    let limits = Limits::door();
    let least = options.frames.min(u32::try_from(track.frames.len()).unwrap_or(u32::MAX));
    let policy = Policy {
        liveness: PadPolicy::Required,
        liveness_threshold: options.threshold,
        liveness_frames: least,
        ..Policy::default()
    };
    let mut evidence = TrackLiveness::default();
    let mut outcome = Outcome { response: false, accepted: false, against: Vec::new(), unreadable: 0 };
    for path in &track.frames {
        let bytes = std::fs::read(path).unwrap_or_default();
        let Ok(picture) = intake::decode(&bytes, &intake::Limits::default()) else {
            outcome.unreadable += 1;
            continue;
        };
        let Some(face) = session.detect(&picture)?.first().copied() else { continue };
        let quality = quality::assess(&picture, &face, &limits).score;
        let network = session.liveness(&picture, &face.area)?;
        evidence.see(&Glimpse { picture: &picture, face: &face, quality, network });
        let Some(verdict) = evidence.verdict() else { continue };
        outcome.response = true;
        outcome.accepted |= policy.lives(Some(&verdict.living())) == Some(true);
        let against = verdict.findings.iter().filter(|finding| finding.live < options.threshold);
        outcome.against = against.map(|finding| finding.cue).collect();
    }
    Ok(outcome)
}

impl Group {
    fn of(kind: &str, outcomes: &[Outcome]) -> Self {
        let judged = outcomes.iter().filter(|outcome| outcome.response).count();
        let accepted = outcomes.iter().filter(|outcome| outcome.accepted).count();
        let wrong = if kind == LIVE { judged - accepted } else { accepted };
        let mut against = BTreeMap::new();
        for cue in outcomes.iter().flat_map(|outcome| &outcome.against) {
            *against.entry(cue.code()).or_default() += 1;
        }
        Self {
            kind: kind.to_owned(),
            tracks: outcomes.len(),
            no_response: outcomes.len() - judged,
            accepted,
            rate: if judged == 0 { 0.0 } else { wrong as f64 / judged as f64 },
            interval: wilson(wrong, judged),
            against,
        }
    }
}

/// The interval of 95 % of a share of which so many of so many were seen; everything where none were.
fn wilson(seen: usize, of: usize) -> [f64; 2] {
    const Z: f64 = 1.959_964;
    if of == 0 {
        return [0.0, 1.0];
    }
    let (n, share) = (of as f64, seen as f64 / of as f64);
    let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wilson_s_interval_is_that_of_the_tables() {
        // Newcombe 1998, table I: 81 of 263, and 0 of 20.
        let close = |found: [f64; 2], told: [f64; 2]| found.iter().zip(told).all(|(a, b)| (a - b).abs() < 5e-4);
        assert!(close(wilson(81, 263), [0.2553, 0.3662]), "{:?}", wilson(81, 263));
        assert!(close(wilson(0, 20), [0.0, 0.1611]), "{:?}", wilson(0, 20));
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn an_attack_that_passes_is_an_error_and_a_person_who_does_is_none() {
        let outcome = |response, accepted| Outcome { response, accepted, against: vec![Cue::Network], unreadable: 0 };
        let seen = [
            outcome(true, true),
            outcome(true, false),
            outcome(true, false),
            outcome(true, false),
            outcome(false, false),
        ];
        let (live, print) = (Group::of(LIVE, &seen), Group::of("print", &seen));
        assert_eq!((live.rate, print.rate, live.no_response, live.accepted), (0.75, 0.25, 1, 1));
        assert_eq!(print.against["network"], 5);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_share(seen in 0usize..300, more in 0usize..300) {
            let of = seen + more;
            let [low, high] = wilson(seen, of);
            let share = if of == 0 { 0.5 } else { seen as f64 / of as f64 };
            prop_assert!(0.0 <= low && low <= share + 1e-12 && share <= high + 1e-12 && high <= 1.0);
        }
    }
}
