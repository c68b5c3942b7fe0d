use image::Rgb;

use super::*;
use crate::clock::SystemClock;

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// A folder with a red, a green and a blue still of 100×100 pixels.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, colour) in [("b.png", [0, 200, 0]), ("a.PNG", [200, 0, 0]), ("c.bmp", [0, 0, 200])] {
        RgbImage::from_pixel(100, 100, Rgb(colour)).save(folder.path().join(name)).expect("saves");
    }
    std::fs::write(folder.path().join("notes.txt"), "not an image").expect("writes");
    folder
}

fn settings(stills: &Path) -> Settings {
    Settings { stills: vec![stills.to_owned()], width: 160, height: 120, hold_frames: 2, ..Settings::default() }
}

/// Which of the three stills is in the middle of each frame: 0, 1 or 2; 9 for none.
fn seen(replay: &mut Replay, count: usize) -> Vec<usize> {
    (0..count)
        .map(|_| {
            let frame = replay.next_frame().expect("a frame").image;
            let pixel = frame.get_pixel(80, 60).0;
            (0..3).find(|&channel| pixel[channel] > 180).unwrap_or(9)
        })
        .collect()
}

#[test]
fn a_folder_is_played_in_order_and_again() {
    let folder = folder();
    let mut replay = Replay::open(&settings(folder.path()), clock()).expect("opens");
    assert_eq!(seen(&mut replay, 8), [0, 0, 1, 1, 2, 2, 0, 0]);
    assert!(replay.describe().starts_with("replay of 3 stills"), "{}", replay.describe());
}

#[test]
fn people_come_and_go_and_the_end_is_told() {
    let folder = folder();
    let settings = Settings { gap_frames: 1, repeat: false, ..settings(folder.path()) };
    let mut replay = Replay::open(&settings, clock()).expect("opens");
    assert_eq!(seen(&mut replay, 9), [0, 0, 9, 1, 1, 9, 2, 2, 9]);
    assert!(replay.next_frame().is_err());
    assert_eq!(replay.after_error(), After::End);
}

#[test]
fn a_still_is_shown_whole() {
    let folder = folder();
    let mut replay = Replay::open(&settings(folder.path()), clock()).expect("opens");
    let frame = replay.next_frame().expect("a frame").image;
    assert_eq!(frame.dimensions(), (160, 120));
    // 100×100 is brought to 120×120, with 20 columns of wall at either side.
    assert_eq!(frame.get_pixel(10, 60), &Rgb([112; 3]));
    assert_eq!(frame.get_pixel(150, 60), &Rgb([112; 3]));
    for (x, y) in [(24, 4), (135, 4), (24, 115), (135, 115)] {
        assert_eq!(frame.get_pixel(x, y), &Rgb([200, 0, 0]));
    }
}

#[test]
fn large_stills_are_brought_down() {
    let folder = tempfile::tempdir().expect("a folder");
    RgbImage::from_fn(900, 1200, |x, _| Rgb([if x < 450 { 0 } else { 250 }; 3]))
        .save(folder.path().join("large.png"))
        .expect("saves");
    let mut replay = Replay::open(&settings(folder.path()), clock()).expect("opens");
    assert!(replay.showing.as_ref().is_some_and(|still| still.height <= 240));
    let frame = replay.next_frame().expect("a frame").image;
    assert_eq!((frame.get_pixel(60, 60).0[0], frame.get_pixel(100, 60).0[0]), (0, 250));
}

#[test]
fn the_seed_decides_everything() {
    let folder = folder();
    let lively = Settings {
        pan: 0.05,
        zoom: 0.1,
        rotation_degrees: 5.0,
        noise: 3.0,
        brightness: 0.1,
        ..settings(folder.path())
    };
    let play = |seed| {
        let mut replay = Replay::open(&Settings { seed, ..lively.clone() }, clock()).expect("opens");
        (0..7).map(|_| replay.next_frame().expect("a frame").image).collect::<Vec<_>>()
    };
    assert!(play(5) == play(5));
    assert!(play(5) != play(6));
    let frames = play(5);
    assert!(frames.windows(2).all(|pair| pair[0] != pair[1]), "no two frames are the same");
}

#[test]
fn broken_stills_are_skipped_and_nothing_else_is_an_error() {
    let folder = folder();
    std::fs::write(folder.path().join("a2.jpg"), b"\xff\xd8 broken").expect("writes");
    std::fs::write(folder.path().join("0.jpg"), b"").expect("writes");
    let mut replay = Replay::open(&settings(folder.path()), clock()).expect("opens");
    assert_eq!(seen(&mut replay, 8), [0, 0, 1, 1, 2, 2, 0, 0]);

    let broken = tempfile::tempdir().expect("a folder");
    for at in 0..3 {
        std::fs::write(broken.path().join(format!("{at}.png")), b"\x89PNG").expect("writes");
    }
    let fails = |stills: &Path| Replay::open(&settings(stills), clock()).map(|_| ()).expect_err("nothing to show");
    assert!(fails(broken.path()).message().contains("none of the 3 stills"));
    let empty = tempfile::tempdir().expect("a folder");
    assert!(fails(empty.path()).message().contains("no image in"));
    assert!(fails(&empty.path().join("gone")).message().contains("cannot read"));
}

#[test]
fn a_list_is_played_as_it_stands() {
    let folder = folder();
    let stills = ["c.bmp", "a.PNG"].map(|name| folder.path().join(name)).to_vec();
    let mut replay = Replay::open(&Settings { stills, ..settings(folder.path()) }, clock()).expect("opens");
    assert_eq!(seen(&mut replay, 4), [2, 2, 0, 0]);
}

#[test]
fn settings_have_ranges() {
    let good = settings(Path::new("x"));
    good.validate().expect("in range");
    for bad in [
        Settings { stills: Vec::new(), ..good.clone() },
        Settings { rate_fps: 0.0, ..good.clone() },
        Settings { hold_frames: 0, ..good.clone() },
        Settings { pan: -0.1, ..good.clone() },
        Settings { noise: f32::INFINITY, ..good.clone() },
        Settings { width: 10, ..good },
    ] {
        assert_eq!(bad.validate().expect_err("out of range").kind(), Kind::Config);
    }
}
