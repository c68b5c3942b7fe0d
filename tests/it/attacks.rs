//! The attacks that we make ourselves, as a regression set: each kind, judged as `facegate evaluate --pad` judges, and shown to a
//! door that requires liveness. `docs/liveness.md` has the figures, and here they are held against what comes of it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use facegate::{
    access::{Decision, PadPolicy, Policy},
    camera::{self, replay},
    clock::SystemClock,
    vision::{
        engine::Engine,
        models::Pack,
        pad::{self, Group, Options, Report},
    },
};
use image::imageops::flip_horizontal;

use crate::{
    doorway::Door,
    support::{engine, models_dir, photo_path, pictures},
};

const PAGE: &str = include_str!("../../docs/liveness.md");

/// The photographs that the attacks are made from; whoever is on them.
const PHOTOGRAPHS: [&str; 4] = ["obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg"];

/// `live` is no attack: the head whose relief is seen.
const KINDS: [&str; 9] =
    ["live", "still", "loop", "moved_photograph", "print", "cutout", "halftone", "screen", "phone"];

/// So many tracks more or fewer than the page says are no change: what a network says near the threshold may differ in the last
/// digits from one processor to another.
const MARGIN: usize = 1;

/// What nothing that is a matter of degree decides: frames that come again either do or do not. No track of these may pass.
const EXACT: [&str; 2] = ["still", "loop"];

/// A column of the page's table.
#[derive(Clone, Copy)]
struct Column {
    pack: &'static str,
    frames: u32,
    /// Its place among the row's cells.
    at: usize,
}

/// Those of `evaluate --pad`.
const JUDGED: [Column; 4] = [
    Column { pack: "door", frames: 3, at: 1 },
    Column { pack: "door", frames: 8, at: 2 },
    Column { pack: "starter", frames: 3, at: 3 },
    Column { pack: "starter", frames: 8, at: 4 },
];

/// Tracks for which a door opened, by the pack `starter` and eight frames.
const OPENED: usize = 5;

/// What the page says of that kind in that column: tracks that passed, of how many in which a face was found.
fn told(kind: &str, column: usize) -> (usize, usize) {
    let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{kind}`")));
    let row = row.unwrap_or_else(|| panic!("the page has no row of {kind}")).replace("**", "");
    let cell = row.trim_matches('|').split('|').nth(column).expect("a cell").trim().to_owned();
    if cell == "no face" {
        return (0, 0);
    }
    let numbers: Option<(usize, usize)> =
        cell.split_once(" of ").and_then(|(passed, of)| Some((passed.parse().ok()?, of.parse().ok()?)));
    numbers.unwrap_or_else(|| panic!("{kind}, column {column}: '{cell}' is not such as '3 of 8'"))
}

/// What is wrong where what came of a kind is not what the page says, but for the margin: worse is a loss, better an outdated page.
fn not_as_told(kind: &str, column: usize, (passed, of): (usize, usize)) -> Option<String> {
    let (told_passed, told_of) = told(kind, column);
    let near = |found: usize, told: usize| found.abs_diff(told) <= MARGIN;
    let what = format!("{kind}, column {column}: {passed} of {of} passed; the page says {told_passed} of {told_of}");
    eprintln!("{what}");
    let exact = EXACT.contains(&kind) && told_passed == 0;
    let as_told = near(of, told_of) && if exact { passed == 0 } else { near(passed, told_passed) };
    (!as_told).then_some(what)
}

/// The photographs in a folder of their own, and as in a mirror where that is asked for.
fn photographs(folder: &Path, mirrored: bool) -> PathBuf {
    let photographs = folder.join("photographs");
    std::fs::create_dir_all(&photographs).expect("a folder");
    for name in PHOTOGRAPHS {
        std::fs::copy(photo_path(name), photographs.join(name)).expect("a photograph");
        if mirrored {
            let picture = flip_horizontal(&pictures::open(name));
            pictures::save(&picture, &photographs.join(name).with_extension("mirrored.png"));
        }
    }
    photographs
}

/// How many tracks were accepted, of those in which a face was found.
fn accepted(group: &Group) -> (usize, usize) {
    (group.accepted, group.tracks - group.no_response)
}

#[test]
fn every_kind_of_attack_passes_as_often_as_the_page_says_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = folder.path().join("made");
    pad::make(&engine(), &photographs(folder.path(), true), &made, || ()).expect("attacks are made");
    let mut wrong = Vec::new();
    for Column { pack, frames, at } in JUDGED {
        if !models_dir().join(pack).join("recogniser.onnx").exists() {
            eprintln!("skipped: the pack '{pack}' is not here (models/fetch {pack})");
            continue;
        }
        let pack = Pack::open(&models_dir(), pack).expect("what is here is whole");
        let engine = Engine::load(&pack).expect("the networks run");
        let options = Options { threshold: Policy::default().liveness_threshold, frames, threads: 2 };
        let report: Report = pad::evaluate(&engine, &made, &options, || ()).expect("they are judged");
        assert_eq!(report.unreadable, 0);
        let mut found: Vec<&Group> = report.live.iter().chain(&report.attacks).collect();
        for kind in KINDS {
            let at_kind = found.iter().position(|group| group.kind == kind).expect("every kind is made");
            let group = found.remove(at_kind);
            eprintln!("{} {frames}: {kind}: against {:?}", engine.identity().pack, group.against);
            wrong.extend(not_as_told(kind, at, accepted(group)));
            assert_eq!(group.tracks, 2 * PHOTOGRAPHS.len(), "a track of each photograph: {group:?}");
        }
        assert!(found.is_empty(), "a kind that the page has no row of: {found:?}");
    }
    assert!(wrong.is_empty(), "docs/liveness.md: {wrong:#?}");
}

/// The way of a frame as it is at a door, from the camera on: a replay that shows each frame once, the door's loop, its decisions.
/// Enrolled is the very photograph that the attack was made from, which is as well as an attacker can do.
#[test]
fn every_kind_of_attack_opens_a_door_as_often_as_the_page_says_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = folder.path().join("made");
    let engine = engine();
    pad::make(&engine, &photographs(folder.path(), false), &made, || ()).expect("attacks are made");
    let mut wrong = Vec::new();
    for kind in KINDS {
        let (mut known, mut opened) = (0, 0);
        for name in PHOTOGRAPHS {
            let track = made.join(kind).join(Path::new(name).with_extension(""));
            let decided = shown_to_a_door(&engine, name, &track);
            let granted = decided.iter().any(Decision::granted);
            let refused = decided.iter().any(|decision| decision.code() == "liveness_failed");
            known += usize::from(granted || refused);
            opened += usize::from(granted);
        }
        wrong.extend(not_as_told(kind, OPENED, (opened, known)));
    }
    assert!(wrong.is_empty(), "docs/liveness.md: {wrong:#?}");
}

/// What a door decides that knows whoever is on the photograph and sees that track.
fn shown_to_a_door(engine: &Arc<Engine>, photograph: &str, track: &Path) -> Vec<Decision> {
    let policy = Policy { liveness: PadPolicy::Required, ..Policy::default() };
    let mut door = Door::new(engine, &[("somebody", &[photograph])], policy);
    let settings =
        replay::Settings { stills: vec![track.to_owned()], repeat: false, hold_frames: 1, ..Default::default() };
    let clock = Arc::new(SystemClock::new());
    let mut camera = camera::open(&camera::Settings::Replay(settings), clock).expect("the track is there");
    let mut decided = Vec::new();
    while let Ok(frame) = camera.next_frame() {
        decided.extend(door.look(&frame.image));
    }
    decided
}
