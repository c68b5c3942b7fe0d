use std::{
    fs,
    io::{self, BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use proptest::prelude::*;

use super::*;
use crate::clock::{SimulatedClock, SystemClock};

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(SimulatedClock::new(Timestamp::UNIX_EPOCH))
}

fn settings(folder: &Path) -> Settings {
    Settings { dir: folder.into(), ..Settings::default() }
}

pub(super) fn decision(track: u64) -> Entry {
    let event = Event::Decision {
        outcome: Verdict::Granted,
        subject: Some("EMP-\"ü\"-001".into()),
        similarity: Some(0.83),
        reason: "agreed".into(),
        flag: None,
        model: "door/mbf".into(),
        latency_ms: 41.5,
        track,
        liveness: None,
    };
    Entry { door: Some("front".into()), event }
}

/// A journal of so many records in a folder of its own.
fn written(records: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(&settings(folder.path()), clock()).expect("opens");
    for track in 1..=records {
        journal.append(decision(track));
    }
    drop(journal);
    folder
}

pub(super) fn bytes(folder: &Path) -> Vec<u8> {
    fs::read(folder.join(FILE)).expect("there")
}

fn put_bytes(folder: &Path, bytes: &[u8]) {
    fs::write(folder.join(FILE), bytes).expect("written");
}

pub(super) fn events(folder: &Path) -> Vec<Event> {
    let records = read(folder, Which::From(1)).expect("opens");
    records.map(|record| record.expect("a record").entry.event).collect()
}

#[test]
fn a_record_looks_like_this_and_comes_back_as_it_went() {
    let folder = written(2);
    let text = String::from_utf8(bytes(folder.path())).expect("UTF-8");
    let (body, hash) = text.lines().next().and_then(|line| line.split_once(",\"hash\":\"")).expect("a hash");
    assert_eq!(
        body,
        concat!(
            r#"{"seq":1,"at":"1970-01-01T00:00:00Z","door":"front","event":"decision","outcome":"granted","#,
            r#""subject":"EMP-\"ü\"-001","similarity":0.83,"reason":"agreed","model":"door/mbf","latency_ms":41.5,"track":1,"#,
            r#""prev":"0000000000000000000000000000000000000000000000000000000000000000""#,
        )
    );
    assert_eq!(hash, format!("{}\"}}", blake3::hash(body.as_bytes()).to_hex()), "as b3sum would say");
    let records: Vec<_> = read(folder.path(), Which::From(1)).expect("opens").map(|r| r.expect("a record")).collect();
    assert_eq!(records[0].entry, decision(1));
    assert_eq!((records[1].seq, &records[1].prev), (2, &records[0].hash));
}

#[test]
fn reopening_continues_the_chain() {
    let folder = written(3);
    for event in [
        Event::Started { version: "0.1.0".into(), model: "m".into() },
        Event::DoorEdge { energised: true, open: true, latency_ms: Some(50.25) },
        Event::DoorEdge { energised: false, open: false, latency_ms: None },
        Event::Stopped,
    ] {
        let journal = Journal::open(&settings(folder.path()), clock()).expect("opens again");
        journal.append_durable(Entry { door: None, event: event.clone() }).expect("on the disk");
        assert_eq!(journal.stats(), Stats { written: 1, healthy: true, ..Stats::default() });
        drop(journal);
        assert_eq!(events(folder.path()).last(), Some(&event));
    }
    let report = verify(folder.path()).expect("readable");
    assert_eq!((report.entries, report.broken, report.unfinished), (7, None, 0));
    assert_eq!((report.first.map(|a| a.seq), report.last.map(|a| a.seq)), (Some(1), Some(7)));
}

#[test]
fn reading_from_a_number_and_the_last_few() {
    let folder = written(10);
    let seqs = |which| -> Vec<u64> {
        read(folder.path(), which).expect("opens").map(|record| record.expect("a record").seq).collect()
    };
    assert_eq!(seqs(Which::From(9)), [9, 10]);
    assert!(seqs(Which::From(11)).is_empty());
    assert_eq!(seqs(Which::Last(3)), [8, 9, 10]);
    assert_eq!(seqs(Which::Last(99)).len(), 10);
    let missing = read(&folder.path().join("nowhere"), Which::Last(1)).err().expect("no such journal");
    assert_eq!(missing.kind(), Kind::NotFound);
}

#[test]
fn a_second_process_is_refused() {
    let folder = written(1);
    let first = Journal::open(&settings(folder.path()), clock()).expect("opens");
    let error = Journal::open(&settings(folder.path()), clock()).err().expect("locked");
    assert!(error.message().contains("in use by another process"), "{error}");
    assert!(verify(folder.path()).is_ok(), "reading needs no lock");
    drop(first);
    assert!(Journal::open(&settings(folder.path()), clock()).is_ok());
}

#[test]
fn a_torn_tail_is_set_aside_at_every_cut() {
    let whole = bytes(written(3).path());
    let ends: Vec<usize> = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    // Every cut of the last line, and enough of the others.
    for cut in (0..ends[1]).step_by(29).chain(ends[1] - 1..=whole.len()) {
        let folder = tempfile::tempdir().expect("a folder");
        put_bytes(folder.path(), &whole[..cut]);
        let kept = ends.iter().filter(|end| **end <= cut).count() as u64;
        let torn = cut - ends.iter().filter(|end| **end <= cut).max().copied().unwrap_or(0);
        assert_eq!(verify(folder.path()).expect("readable").unfinished, torn as u64);
        let journal = Journal::open(&settings(folder.path()), clock()).expect("opens");
        journal.append_durable(decision(99)).expect("on the disk");
        drop(journal);
        let report = verify(folder.path()).expect("readable");
        assert_eq!((report.broken, report.unfinished), (None, 0), "cut at {cut}");
        let told = events(folder.path()).contains(&Event::Recovered { bytes: torn as u64 });
        assert_eq!(report.entries, kept + 1 + u64::from(torn > 0));
        assert_eq!(told, torn > 0);
        if torn > 0 {
            let aside = fs::read(folder.path().join(format!("torn-before-{}.bin", kept + 1))).expect("kept");
            assert_eq!(aside, &whole[cut - torn..cut]);
        }
    }
}

#[test]
fn what_is_no_journal_is_left_alone() {
    for foreign in [&b"some\nother\nfile\n"[..], &vec![b'x'; 3 << 20]] {
        let folder = tempfile::tempdir().expect("a folder");
        put_bytes(folder.path(), foreign);
        let error = Journal::open(&settings(folder.path()), clock()).err().expect("refused");
        assert!(error.advice().is_some_and(|advice| advice.contains("move it away")), "{error}");
        assert_eq!(bytes(folder.path()), foreign);
        assert_eq!(verify(folder.path()).expect("readable").broken.map(|broken| broken.line), Some(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_changed_byte_breaks_the_chain_there(at in 0usize..10_000, change in 1u8..=255) {
        let mut bytes = SAMPLE.with(Clone::clone);
        let at = at % bytes.len();
        let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        bytes[at] ^= change;
        let folder = tempfile::tempdir().expect("a folder");
        put_bytes(folder.path(), &bytes);
        let report = verify(folder.path()).expect("readable");
        // Without its newline the last line looks like one that is being written.
        let unfinished = at == bytes.len() - 1 && report.unfinished > 0;
        prop_assert!(unfinished || report.broken.map(|broken| broken.line) == Some(line));
        prop_assert_eq!(report.entries, line - 1);
    }

    #[test]
    fn any_removed_repeated_or_moved_line_breaks_the_chain(from in 0usize..8, to in 0usize..8, what in 0u8..3) {
        let bytes = SAMPLE.with(Clone::clone);
        let before: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let mut after = before.clone();
        match what {
            0 => { after.remove(from); }
            1 => after.insert(to, before[from]),
            _ => after.swap(from, to),
        }
        // What was cut off the end cannot be seen.
        prop_assume!(!before.starts_with(&after));
        let folder = tempfile::tempdir().expect("a folder");
        put_bytes(folder.path(), &after.concat());
        let broken = verify(folder.path()).expect("readable").broken.expect("broken").line;
        let same = before.iter().zip(&after).take_while(|(before, after)| before == after).count() as u64;
        prop_assert_eq!(broken, same + 1);
    }
}

thread_local! {
    static SAMPLE: Vec<u8> = bytes(written(8).path());
}

/// A disk that can be full, slow, and cut short at any byte.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<DiskState>>);

#[derive(Default)]
struct DiskState {
    bytes: Vec<u8>,
    room: Option<usize>,
    stopped: bool,
    puts: u64,
}

impl Disk {
    fn set(&self, change: impl FnOnce(&mut DiskState)) {
        change(&mut self.0.lock());
    }
}

impl disk::Medium for Disk {
    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        while self.0.lock().stopped {
            thread::sleep(Duration::from_millis(1));
        }
        let mut disk = self.0.lock();
        disk.puts += 1;
        let offset = offset as usize;
        assert!(offset <= disk.bytes.len(), "no hole is ever left");
        let fits = disk.room.unwrap_or(usize::MAX).saturating_sub(offset).min(bytes.len());
        let end = (offset + fits).max(disk.bytes.len());
        disk.bytes.resize(end, 0);
        disk.bytes[offset..offset + fits].copy_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&mut self, offset: u64) -> io::Result<()> {
        self.0.lock().bytes.truncate(offset as usize);
        Ok(())
    }

    fn is_due(&mut self, _: u64, _: Timestamp) -> bool {
        false
    }

    fn turn(&mut self, _: u64, _: Timestamp) -> io::Result<()> {
        unreachable!("it is never due")
    }

    fn surplus(&self) -> io::Result<Option<Anchor>> {
        Ok(None)
    }

    fn forget(&mut self, _: u64) -> io::Result<()> {
        unreachable!("there is no surplus")
    }
}

fn on(disk: &Disk) -> Journal {
    let tip = disk::Tip { length: 0, position: chain::Position::start() };
    Journal::start("test".into(), disk.clone(), tip, None, clock()).expect("starts")
}

/// What the disk holds, checked and read.
fn contents(disk: &Disk) -> (Report, Vec<Event>) {
    let folder = tempfile::tempdir().expect("a folder");
    put_bytes(folder.path(), &disk.0.lock().bytes);
    (verify(folder.path()).expect("readable"), events(folder.path()))
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_full_queue_blocks_nobody_and_the_gap_is_told() {
    let disk = Disk::default();
    disk.set(|disk| disk.stopped = true);
    let journal = on(&disk);
    let begun = Instant::now();
    for track in 0..10_000 {
        journal.append(decision(track));
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "the disk stands still, the door does not");
    let lost = journal.stats().lost;
    assert!((10_000 - 1_024 - 512..=10_000 - 1_024).contains(&lost), "{lost} were lost");
    disk.set(|disk| disk.stopped = false);
    journal.append_durable(Entry { door: None, event: Event::Stopped }).expect("on the disk");
    drop(journal);
    let (report, events) = contents(&disk);
    assert_eq!(report.broken, None);
    let told: u64 = events.iter().map(|event| if let Event::Lost { entries } = event { *entries } else { 0 }).sum();
    assert_eq!(told, lost);
    let decisions = events.iter().filter(|event| matches!(event, Event::Decision { .. })).count() as u64;
    assert_eq!(decisions + lost, 10_000, "each is there or told as lost");
    assert!(disk.0.lock().puts < 20, "many entries share a sync");
}

#[test]
fn what_got_lost_on_its_way_is_told_like_what_found_no_room() {
    let disk = Disk::default();
    let journal = on(&disk);
    journal.lose(3);
    journal.append_durable(decision(1)).expect("on the disk");
    assert_eq!(journal.stats().lost, 3);
    drop(journal);
    assert!(contents(&disk).1.contains(&Event::Lost { entries: 3 }));
}

#[test]
fn a_flood_of_calls_leaves_the_door_its_half_of_the_queue() {
    let disk = Disk::default();
    disk.set(|disk| disk.stopped = true);
    let journal = on(&disk);
    for track in 0..5_000 {
        journal.append_if_room(decision(track));
    }
    let lost = journal.stats().lost;
    assert!((4_000..5_000).contains(&lost), "{lost} were lost, and counted");
    assert!(!journal.has_room());
    for _ in 0..512 {
        journal.append(Entry { door: None, event: Event::Stopped });
    }
    assert_eq!(journal.stats().lost, lost, "none of the door's");
    disk.set(|disk| disk.stopped = false);
    eventually("there is room again", || journal.has_room());
    drop(journal);
    let (report, events) = contents(&disk);
    assert_eq!(report.broken, None);
    assert_eq!(events.iter().filter(|event| **event == Event::Stopped).count(), 512);
    let told: u64 = events.iter().map(|event| if let Event::Lost { entries } = event { *entries } else { 0 }).sum();
    assert_eq!(told, lost);
}

#[test]
fn a_full_disk_refuses_who_waits_keeps_the_rest_and_leaves_no_half_line() {
    let disk = Disk::default();
    let journal = on(&disk);
    journal.append_durable(decision(1)).expect("on the disk");
    disk.set(|disk| disk.room = Some(disk.bytes.len() + 50));
    journal.append(decision(2));
    let error = journal.append_durable(decision(3)).expect_err("no room");
    assert_eq!(error.kind(), Kind::StorageFull);
    let stats = journal.stats();
    assert!(!stats.healthy && stats.errors > 0 && stats.last_error.is_some());
    disk.set(|disk| disk.room = None);
    eventually("it is written again", || journal.stats().healthy);
    journal.append_durable(decision(4)).expect("on the disk");
    drop(journal);
    let (report, events) = contents(&disk);
    assert_eq!((report.broken, report.unfinished), (None, 0));
    assert_eq!(events, [decision(1).event, decision(2).event, decision(4).event]);
}

#[test]
fn a_journal_on_a_full_disk_ends_in_time() {
    let disk = Disk::default();
    disk.set(|disk| disk.room = Some(0));
    let journal = on(&disk);
    for track in 0..2_000 {
        journal.append(decision(track));
    }
    eventually("it fails", || !journal.stats().healthy);
    let begun = Instant::now();
    drop(journal);
    assert!(begun.elapsed() < Duration::from_millis(400), "took {:?}", begun.elapsed());
}

const CHILD: &str = "FACEGATE_JOURNAL_CHILD";

/// Not a test by itself: what the next one starts and kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let journal = Journal::open(&settings(Path::new(&folder)), Arc::new(SystemClock::new())).expect("opens");
    for track in 1.. {
        journal.append(decision(0));
        journal.append_durable(decision(track)).expect("on the disk");
        println!("acknowledged {track}");
    }
}

#[test]
fn kill_9_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut least = 0;
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "journal::tests::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut acknowledged = lines.map_while(Result::ok).filter(|line| line.starts_with("acknowledged"));
        let count = acknowledged.by_ref().take(20 * round).count();
        child.kill().expect("killed");
        let count = count + acknowledged.count();
        child.wait().expect("dead");
        assert!(count >= 20 * round, "the child wrote nothing");
        least += 2 * count as u64;
        let report = verify(folder.path()).expect("readable");
        assert_eq!(report.broken, None);
        assert!(report.entries >= least, "{} of {least} acknowledged entries are there", report.entries);
        least = report.entries;
    }
}
