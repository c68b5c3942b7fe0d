//! Files that are closed, kept and let go.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    disk::closed_files,
    settings::Limits,
    tests::{bytes, clock, decision, events},
    *,
};
use crate::clock::SimulatedClock;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Some six records a file.
const SMALL: Limits = Limits { bytes: 2_000, age: DAY, files: 3 };

fn open(folder: &TempDir, limits: Limits, clock: Arc<dyn Clock>) -> Journal {
    let opened = writer::open(folder.path(), None, limits).expect("opens");
    Journal::start(folder.path().join(FILE), opened.disk, opened.tip, None, clock).expect("starts")
}

/// A journal of so many records, each written by itself.
fn written(records: u64, limits: Limits) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(&folder, limits, clock());
    for track in 1..=records {
        journal.append_durable(decision(track)).expect("on the disk");
    }
    drop(journal);
    folder
}

fn closed(folder: &TempDir) -> Vec<PathBuf> {
    closed_files(folder.path()).expect("readable").into_iter().map(|(_, path)| path).collect()
}

fn proven(folder: &TempDir) -> Report {
    let report = verify(folder.path()).expect("readable");
    assert_eq!((&report.broken, report.unfinished), (&None, 0));
    report
}

fn tracks(folder: &TempDir) -> Vec<u64> {
    events(folder.path())
        .into_iter()
        .filter_map(|event| if let Event::Decision { track, .. } = event { Some(track) } else { None })
        .collect()
}

#[test]
fn a_large_file_is_closed_and_the_chain_goes_on_in_the_next() {
    let folder = written(20, Limits { files: 100, ..SMALL });
    assert!(closed(&folder).len() >= 2, "{:?}", closed(&folder));
    assert_eq!(closed(&folder)[0].file_name().expect("a name"), "journal-000000000001.ndjson");
    for path in closed(&folder) {
        let length = fs::metadata(path).expect("there").len();
        assert!((2_000..2_700).contains(&length), "closed at the first record beyond the limit: {length}");
    }
    let report = proven(&folder);
    assert_eq!((report.entries, report.first.map(|first| first.seq)), (20, Some(1)));
    assert_eq!(tracks(&folder), (1..=20).collect::<Vec<_>>());
    let all: Vec<u8> = lines(folder.path(), 1).expect("opens").flat_map(|line| line.expect("a line")).collect();
    let files: Vec<u8> =
        closed(&folder).iter().flat_map(|path| fs::read(path).expect("there")).chain(bytes(folder.path())).collect();
    assert_eq!(all, files, "line by line as they stand");
}

#[test]
fn a_file_is_closed_when_it_is_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let time = Arc::new(SimulatedClock::new(Timestamp::UNIX_EPOCH));
    let journal = open(&folder, SMALL, time.clone());
    for day in 0..3 {
        journal.append_durable(decision(day)).expect("on the disk");
        assert_eq!(closed(&folder).len() as u64, day);
        time.advance(DAY);
    }
    drop(journal);
    assert_eq!(proven(&folder).entries, 3);
}

#[test]
fn the_oldest_files_go_and_the_chain_says_which() {
    let folder = written(60, SMALL);
    assert_eq!(closed(&folder).len(), 3);
    let report = proven(&folder);
    let first = report.first.expect("records").seq;
    assert!(first > 1);
    let told = events(folder.path())
        .iter()
        .any(|event| matches!(event, Event::Forgotten { through, .. } if *through == first - 1));
    assert!(told, "the newest such record says where the journal begins");

    // One more gone than the chain says.
    fs::remove_file(&closed(&folder)[0]).expect("removed");
    let broken = verify(folder.path()).expect("readable").broken.expect("broken");
    assert!(broken.reason.contains("missing") && broken.line == 1, "{broken:?}");
    assert_eq!(broken.file, closed(&folder)[0].file_name().expect("a name").to_string_lossy());
}

#[test]
fn a_closed_file_that_was_changed_cut_or_removed_is_noticed() {
    let whole = written(20, Limits { files: 100, ..SMALL });
    let second = closed(&whole)[1].clone();
    let name = second.file_name().expect("a name").to_string_lossy().into_owned();
    let before = fs::read(&second).expect("there");
    let broken = || verify(whole.path()).expect("readable").broken.expect("broken");

    let mut changed = before.clone();
    changed[40] ^= 1;
    fs::write(&second, changed).expect("written");
    assert_eq!((broken().file, broken().line), (name.clone(), 1));
    fs::write(&second, &before[..before.len() - 1]).expect("written");
    assert_eq!(broken().file, name, "only the newest may have an unfinished end");
    fs::remove_file(&second).expect("removed");
    assert_eq!(broken().line, 1, "in the file after it");
    fs::write(&second, before).expect("written");
    proven(&whole);
}

#[test]
fn a_power_cut_between_two_files_loses_nothing() {
    let folder = written(8, Limits { files: 100, ..SMALL });
    let before = proven(&folder).entries;
    // The file has its closed name, the next one is not there yet.
    let first = before - bytes(folder.path()).iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    fs::rename(folder.path().join(FILE), folder.path().join(format!("journal-{first:012}.ndjson"))).expect("renamed");
    let journal = open(&folder, SMALL, clock());
    journal.append_durable(decision(99)).expect("on the disk");
    drop(journal);
    assert_eq!(proven(&folder).entries, before + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn however_often_it_is_opened_and_closed_the_newest_records_are_there(
        runs in prop::collection::vec(0u64..30, 1..5),
        files in 1usize..4,
        size in 300u64..3_000,
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut last = 0;
        for count in runs {
            let journal = open(&folder, Limits { bytes: size, age: DAY, files }, clock());
            for track in last + 1..=last + count {
                journal.append_durable(decision(track)).expect("on the disk");
            }
            last += count;
            drop(journal);
            prop_assert!(closed(&folder).len() <= files);
        }
        proven(&folder);
        let kept = tracks(&folder);
        prop_assert_eq!(kept.last().copied().unwrap_or(0), last);
        prop_assert!(kept.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gap: {:?}", kept);
    }
}
