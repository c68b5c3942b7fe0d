use image::RgbImage;

use super::*;
use crate::{
    camera::fake::{Fake, Step},
    clock::SystemClock,
};

const LONG: Duration = Duration::from_secs(10);
const STALL: Duration = Duration::from_millis(400);

fn picture() -> Step {
    Step::Picture(RgbImage::new(8, 8))
}

fn frames(count: usize) -> Vec<Step> {
    vec![picture(); count]
}

/// A feed whose camera plays one script each time it is opened; after the last there is no camera any more.
fn feed(scripts: Vec<Vec<Step>>, every: Duration) -> Feed {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let of_camera = clock.clone();
    let mut scripts = scripts.into_iter();
    let open = move || match scripts.next() {
        Some(script) => Ok(Box::new(Fake::new(script, of_camera.clone()).paced(every)) as Box<dyn Camera>),
        None => Err(Error::new(Kind::Camera, "no such device")),
    };
    Feed::start_with(open, STALL, clock).expect("starts")
}

/// The sequence numbers of all frames that can be had.
fn drain(feed: &Feed) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(frame) = feed.latest(seen.last().copied().unwrap_or(0), LONG) {
        seen.push(frame.sequence);
    }
    seen
}

#[test]
fn frames_come_in_order_and_the_end_is_told() {
    let feed = feed(vec![frames(5)], Duration::from_millis(20));
    assert_eq!(drain(&feed), [1, 2, 3, 4, 5]);
    let stats = feed.stats();
    assert_eq!((stats.frames, stats.dropped, stats.errors, stats.reopened), (5, 0, 0, 0));
    assert!(stats.ended && !stats.healthy);
    let asked = Instant::now();
    assert!(feed.latest(5, LONG).is_none());
    assert!(asked.elapsed() < Duration::from_secs(1), "no waiting for what cannot come");
}

#[test]
fn the_newest_frame_wins_and_the_others_are_counted() {
    let feed = feed(vec![frames(10)], Duration::from_millis(1));
    while !feed.stats().ended {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(feed.latest(0, LONG).expect("the last frame stays").sequence, 10);
    assert_eq!(feed.stats().dropped, 9);
}

#[test]
fn bad_frames_are_counted_and_the_camera_kept() {
    let script = [frames(2), vec![Step::BadFrame; 3], frames(2)].concat();
    let feed = feed(vec![script], Duration::from_millis(20));
    assert_eq!(drain(&feed), [1, 2, 3, 4]);
    let stats = feed.stats();
    assert_eq!((stats.errors, stats.reopened), (3, 0));
    assert!(stats.last_error.expect("the last error").contains("bad frame"));
}

#[test]
fn nothing_but_bad_frames_is_a_stall() {
    let feed = feed(vec![vec![Step::BadFrame; 1000], frames(2)], Duration::from_millis(10));
    assert_eq!(drain(&feed), [1, 2]);
    let stats = feed.stats();
    assert!(stats.errors < 100, "given up after {STALL:?}: {stats:?}");
    assert_eq!(stats.reopened, 1);
}

#[test]
fn a_camera_that_fails_or_panics_is_opened_again() {
    let unplugged = [frames(1), vec![Step::Fail("gone".into())]].concat();
    let broken = [frames(1), vec![Step::Panic("STREAMOFF".into())]].concat();
    let feed = feed(vec![unplugged, broken, frames(1)], Duration::from_millis(5));
    assert_eq!(drain(&feed), [1, 2, 3], "numbered on across reopenings");
    let stats = feed.stats();
    assert_eq!((stats.errors, stats.reopened), (2, 2));
    assert!(stats.last_error.expect("the last error").contains("panicked: STREAMOFF"));
}

#[test]
fn panics_while_opening_and_while_dropping_are_errors() {
    struct Grenade(Fake);
    impl Camera for Grenade {
        fn next_frame(&mut self) -> Result<Frame> {
            self.0.next_frame()
        }
        fn describe(&self) -> String {
            panic!("no words")
        }
        fn after_error(&self) -> After {
            self.0.after_error()
        }
    }
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("boom")
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let of_camera = clock.clone();
    let mut openings = 0;
    let open = move || {
        openings += 1;
        if openings == 1 {
            panic!("cannot even open");
        }
        Ok(Box::new(Grenade(Fake::new(frames(1), of_camera.clone()))) as Box<dyn Camera>)
    };
    let feed = Feed::start_with(open, STALL, clock).expect("starts");
    assert_eq!(drain(&feed), [1]);
    assert_eq!(feed.stats().errors, 2);
}

#[test]
fn openings_back_off() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = times.clone();
    let open = move || {
        noted.lock().push(Instant::now());
        Err(Error::new(Kind::Camera, "no such device"))
    };
    let feed = Feed::start_with(open, STALL, clock).expect("starts");
    assert!(feed.latest(0, Duration::from_millis(1000)).is_none());
    feed.stop();
    let times = times.lock();
    assert_eq!(times.len(), 3, "at 0, 250 and 750 ms");
    assert!(times[2] - times[1] > (times[1] - times[0]).mul_f32(1.5));
    let stats = feed.stats();
    assert!(!stats.healthy && stats.errors == 3 && stats.last_error.as_deref() == Some("no such device"));
}

#[test]
fn a_stall_shows_and_passes() {
    let script = [frames(1), vec![Step::Stall(STALL * 3)], frames(50)].concat();
    let feed = feed(vec![script], Duration::from_millis(20));
    assert!(feed.latest(0, LONG).is_some());
    assert!(feed.stats().healthy);
    std::thread::sleep(STALL * 2);
    assert!(!feed.stats().healthy);
    assert!(feed.latest(1, LONG).is_some());
    assert!(feed.stats().healthy);
}

#[test]
fn who_watches_over_a_feed_does_not_hang_with_a_thread_that_keeps_the_frames() {
    let feed = Arc::new(feed(vec![frames(1000)], Duration::from_millis(10)));
    assert!(feed.latest(0, LONG).is_some());
    let kept = feed.shared.state.lock();
    let (tell, told) = std::sync::mpsc::channel();
    let asked = Arc::clone(&feed);
    std::thread::spawn(move || tell.send(asked.stats()));
    let stats = told.recv_timeout(LONG).expect("it is told although nobody gives the frames free");
    assert!(stats.frames >= 1);
    drop(kept);
}

#[test]
fn stopping_is_quick_even_where_the_driver_hangs() {
    let quick = feed(vec![frames(1000)], Duration::from_millis(20));
    assert!(quick.latest(0, LONG).is_some());
    let asked = Instant::now();
    drop(quick);
    assert!(asked.elapsed() < Duration::from_millis(200));

    let hung = feed(vec![vec![Step::Stall(Duration::from_secs(3))]], Duration::from_millis(1));
    std::thread::sleep(Duration::from_millis(50));
    let asked = Instant::now();
    drop(hung);
    assert!(asked.elapsed() < Duration::from_millis(900));
}

#[test]
fn a_feed_can_be_shared_and_stopped_by_anybody() {
    let feed = Arc::new(feed(vec![frames(1000)], Duration::from_millis(10)));
    let reader = std::thread::spawn({
        let feed = feed.clone();
        move || drain(&feed).len()
    });
    assert!(feed.latest(2, LONG).is_some());
    feed.stop();
    feed.stop();
    assert!(reader.join().expect("the reader ends") >= 1);
}
