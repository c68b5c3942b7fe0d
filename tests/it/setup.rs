//! A board's first door by `facegate setup`, and what packages are made with.

use std::{
    fs,
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::support::{
    daemon::{Board, Ended, eventually, finish},
    models_dir, other_pack, photo_path, without_calibration, without_curve,
};

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A board without a configuration, and the options that answer what has no default.
fn bare() -> (Board, Vec<String>) {
    let board = Board::new();
    fs::remove_file(board.path("facegate.toml")).expect("it was there");
    let models = models_dir().canonicalize().expect("the packs");
    let args = [
        "setup",
        "--no-service",
        "--data",
        &text(&board.path("data")),
        "--models",
        &text(&models),
        "--pack",
        "starter",
    ];
    (board, args.map(str::to_owned).to_vec())
}

fn with(args: &[String], more: &[&str]) -> Vec<String> {
    args.iter().cloned().chain(more.iter().map(|arg| (*arg).to_owned())).collect()
}

#[test]
fn a_door_is_set_up_without_a_question_and_opens() {
    let (board, args) = bare();
    let (photo, snapshot) = (text(&photo_path("obama2.jpg")), text(&board.path("seen.png")));
    let answers = with(
        &args,
        &["--yes", "--json", "--name", "yard", "--camera", &photo, "--lock", "simulated", "--snapshot", &snapshot],
    );
    let said = board.run(&answers).must(0, &[]);
    let lines = said.json();
    assert_eq!((&lines[0]["width"], &lines[0]["height"]), (&640.into(), &480.into()), "{}", said.out);
    assert_eq!(lines[0]["faces"].as_array().map(Vec::len), Some(1), "{}", said.out);
    assert!(lines.iter().any(|line| line["key"].as_str().is_some()), "the first key: {}", said.out);
    assert_eq!(image::open(&snapshot).expect("a picture").width(), 640);
    let mode = fs::metadata(&snapshot).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a person is on it");

    // Stricter with everybody who is enrolled, unless somebody says otherwise.
    board.run(&["check"]).must(
        0,
        &["door 'yard', camera: replay", "store and index agree", "1 in 1000 with up to 1 embeddings: threshold 0.600"],
    );
    board.enrol("barack", "obama.jpg");
    let mut running = board.command(&["run", "--json"]);
    running.env("FACEGATE__API__LISTEN", "127.0.0.1:0");
    let daemon = board.start_as(running);
    daemon.logged(0, "granted to barack");
    daemon.stop();
}

#[test]
fn a_configuration_is_not_written_over_and_the_old_one_is_kept() {
    let (board, args) = bare();
    let photo = text(&photo_path("obama2.jpg"));
    let answers = with(&args, &["--yes", "--no-key", "--camera", &photo, "--lock", "simulated"]);
    board.run(&answers).must(0, &["written"]);
    let first = fs::read_to_string(board.path("facegate.toml")).expect("it was written");
    board.run(&with(&answers, &["--name", "other"])).must(78, &["there is a configuration already", "--replace"]);
    assert_eq!(fs::read_to_string(board.path("facegate.toml")).expect("it is there"), first);
    board.run(&with(&answers, &["--name", "other", "--replace"])).must(0, &["written"]);
    assert_eq!(fs::read_to_string(board.path("facegate.toml.old")).expect("it was kept"), first);
    board.run(&["config", "show"]).must(0, &["name = \"other\""]);
    // An answer that the daemon would refuse is refused before anything is written.
    board.run(&with(&answers, &["--pulse-ms", "5", "--replace"])).must(78, &["pulse_ms", "100 to 60000"]);
    board.run(&["config", "show"]).must(0, &["name = \"other\""]);
}

#[test]
fn a_configuration_means_the_same_wherever_it_is_read() {
    let (board, _) = bare();
    fs::copy(photo_path("obama2.jpg"), board.path("seen.jpg")).expect("it can be copied");
    std::os::unix::fs::symlink(models_dir().canonicalize().expect("the packs"), board.path("packs")).expect("links");
    let answers = ["setup", "--yes", "--no-service", "--pack", "starter", "--lock", "simulated"];
    let relative = ["--data", "data", "--models", "./packs", "--camera", "seen.jpg", "--edges", "edges"];
    board.run(&with(&answers.map(str::to_owned), &relative)).must(0, &["written"]);
    let here = board.path("").canonicalize().expect("it is there");
    let config: toml::Table =
        fs::read_to_string(board.path("facegate.toml")).expect("it is there").parse().expect("TOML");
    let door = &config["door"][0];
    for (place, name) in [
        (&config["models"]["dir"], "packs"),
        (&config["gallery"]["dir"], "data/gallery"),
        (&config["journal"]["dir"], "data/journal"),
        (&config["api"]["socket"], "data/facegate.sock"),
        (&door["camera"]["stills"][0], "seen.jpg"),
        (&door["lock"]["edges"], "edges"),
    ] {
        assert_eq!(place.as_str(), Some(text(&here.join(name)).as_str()), "{config}");
    }
    // As a service reads it, which runs in another folder.
    let ours = board.command(&["check"]);
    let mut elsewhere = Command::new(ours.get_program());
    for (name, _) in ours.get_envs() {
        elsewhere.env_remove(name);
    }
    elsewhere.current_dir("/").args(["check", "--config", &text(&here.join("facegate.toml"))]).stdin(Stdio::null());
    finish(elsewhere).must(0, &["store and index agree"]);
}

/// What a setup that did not come to its end may have left of a door: nothing.
#[track_caller]
fn no_door(board: &Board) {
    for name in ["facegate.toml", "facegate.toml.new", "facegate.toml.old"] {
        assert!(!board.path(name).exists(), "{name} was left");
    }
}

#[test]
fn a_pack_by_which_no_door_would_start_is_told_before_the_first_question() {
    let (board, _) = bare();
    let (photo, data, models) = (text(&photo_path("obama2.jpg")), text(&board.path("data")), board.path("models"));
    other_pack(&models, "bare", without_calibration);
    other_pack(&models, "pointed", without_curve);
    let set_up = |pack: &str, more: &[&str], status: i32, words: &[&str]| {
        let models = text(&models);
        let answers =
            ["setup", "--no-service", "--data", &data, "--models", &models, "--pack", pack, "--camera", &photo];
        let said = board.run(&[&answers, &["--lock", "simulated"][..], more].concat()).must(status, words);
        assert!(!said.said().contains("What is the door called"), "{}", said.said());
        if status != 0 {
            no_door(&board);
        }
    };
    set_up("bare", &[], 69, &["no [recogniser.calibration]", "facegate calibrate"]);
    set_up("pointed", &["--false-accept", "1 in 1000"], 78, &["--false-accept", "no curve"]);
    set_up("pointed", &["--false-accept", "seldom"], 64, &["'seldom' is not a chance", "1 in 100000"]);
    // Whom nobody asked for a chance has the threshold alone.
    set_up("pointed", &["--yes"], 0, &["written"]);
    assert!(!fs::read_to_string(board.path("facegate.toml")).expect("written").contains("false_accept"));
}

#[test]
fn without_networks_nothing_is_asked_and_nothing_is_left() {
    let (board, _) = bare();
    let photo = text(&photo_path("obama2.jpg"));
    // As the package leaves it: the manifest is there, its networks are not.
    let manifest = fs::read(models_dir().join("starter/manifest.toml")).expect("the pack");
    board.write("data/models/starter/manifest.toml", manifest);
    let data = text(&board.path("data"));
    let answers = ["setup", "--no-service", "--data", &data, "--camera", &photo, "--lock", "simulated"];
    let fetch = format!("facegate-models fetch --models {data}/models starter");
    for yes in [&[][..], &["--yes"]] {
        let said = board.run(&[&answers[..], yes].concat()).must(69, &["cannot be read", &fetch, "--from FOLDER"]);
        assert!(!said.said().contains("What is the door called"), "{}", said.said());
        no_door(&board);
        assert!(!board.path("data/gallery").exists(), "a store was begun");
    }
    // What was fetched makes all the difference.
    fs::remove_dir_all(board.path("data/models/starter")).expect("it was there");
    let pack = models_dir().join("starter").canonicalize().expect("the pack");
    std::os::unix::fs::symlink(pack, board.path("data/models/starter")).expect("links");
    board.run(&[&answers[..], &["--yes"]].concat()).must(0, &["written"]);
}

#[test]
fn a_key_that_cannot_be_made_leaves_no_door_and_setup_can_be_run_again() {
    let (board, args) = bare();
    let photo = text(&photo_path("obama2.jpg"));
    let answers = with(&args, &["--yes", "--camera", &photo, "--lock", "simulated"]);
    // No store can be begun where a file is.
    board.write("data/gallery", "");
    board.run(&answers).must(74, &["the first key was not made", "run setup again"]);
    no_door(&board);
    fs::remove_file(board.path("data/gallery")).expect("it was there");
    board.run(&answers).must(0, &["shown this once", "written"]);
    assert!(board.path("facegate.toml").exists());
    assert!(!board.path("facegate.toml.new").exists());
}

/// Whatever ends setup while the relay is on: a key, a lost connection, and what cannot be caught.
#[test]
fn the_relay_that_is_tried_rests_however_setup_ends() {
    let (board, args) = bare();
    let photo = text(&photo_path("biden.jpg"));
    // To the group, as a terminal sends it; to the program alone, as everybody else does.
    let ends = [
        (Signal::INT, true),
        (Signal::HUP, true),
        (Signal::QUIT, true),
        (Signal::TSTP, true),
        (Signal::TERM, false),
        (Signal::KILL, false),
    ];
    for (signal, group) in ends {
        let mut tries = 0;
        eventually(&format!("{signal:?} comes while the relay is on"), || {
            tries += 1;
            let name = format!("{}-{tries}", signal.as_raw());
            let edges = format!("edges-{name}");
            let answers = with(
                &args,
                &["--yes", "--no-key", "--camera", &photo, "--lock", "simulated", "--edges", &edges, "--try-relay"],
            );
            let mut command = board.command(&answers);
            command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
            let mut setup = command.spawn().expect("it starts");
            let levels = || -> Vec<bool> { board.edges(&name).iter().map(|edge| edge.energised).collect() };
            eventually("the relay is on", || levels().contains(&true).then_some(()));
            let id = Pid::from_child(&setup);
            match group {
                true => kill_process_group(id, signal),
                false => kill_process(id, signal),
            }
            .expect("it was not waited for");
            eventually(&format!("the relay rests after {signal:?}"), || levels().ends_with(&[false]).then_some(()));
            // What only stands still is ended now.
            let _ = kill_process_group(id, Signal::KILL);
            let in_time = !setup.wait().expect("it can be waited for").success();
            if !in_time {
                // This machine was held up for the whole pulse.
                fs::remove_file(board.path("facegate.toml")).expect("setup came to its end");
            }
            in_time.then_some(())
        });
        no_door(&board);
    }
    let answers = ["--yes", "--camera", &photo, "--lock", "simulated", "--edges", "edges-whole", "--try-relay"];
    board.run(&with(&args, &answers)).must(0, &["moved", "written"]);
    let levels: Vec<_> = board.edges("whole").iter().map(|edge| edge.energised).collect();
    assert_eq!(levels, [false, true, false]);
}

/// A systemctl that writes down what it is told, and tells of the unit what `state` says. Of the socket it tells what the file
/// `bin/socket` has.
fn systemctl(board: &Board, state: &str, refuses: &str) {
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>\"$(dirname \"$0\")/called\"\n\
         case $* in show*.socket) cat \"$(dirname \"$0\")/socket\" 2>/dev/null ;; show*) printf '{state}' ;; esac\n\
         [ \"$1\" != '{refuses}' ] || {{ echo 'Access denied' >&2; exit 4; }}\n"
    );
    let program = board.write("bin/systemctl", script);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let _ = fs::remove_file(board.path("bin/called"));
}

/// Sets a door up beside that systemctl. Gives what it was told, without questions.
fn told_to_systemctl(board: &Board, args: &[String], status: i32, words: &[&str]) -> Vec<String> {
    let photo = text(&photo_path("obama2.jpg"));
    let answers = with(args, &["--yes", "--no-key", "--camera", &photo, "--lock", "simulated"]);
    let answers: Vec<_> = answers.into_iter().filter(|arg| arg != "--no-service").collect();
    let mut command = board.command(&answers);
    let path = std::env::var("PATH").unwrap_or_default();
    finish({
        command.env("PATH", format!("{}:{path}", text(&board.path("bin"))));
        command
    })
    .must(status, words);
    let called = fs::read_to_string(board.path("bin/called")).unwrap_or_default();
    called.lines().filter(|line| !line.starts_with("show ")).map(str::to_owned).collect()
}

#[test]
fn the_service_is_enabled_and_started_and_anew_where_it_runs() {
    let (board, args) = bare();
    let started =
        ["--quiet reset-failed facegate.service", "enable facegate.service", "--no-block restart facegate.service"];
    systemctl(&board, "LoadState=loaded\\nActiveState=inactive\\n", "");
    assert_eq!(told_to_systemctl(&board, &args, 0, &["written", "started  facegate.service"]), started);

    // It has the old configuration.
    systemctl(&board, "LoadState=loaded\\nActiveState=active\\n", "");
    let replace = with(&args, &["--replace"]);
    let words = ["facegate.service runs", "systemctl stop", "written", "started anew"];
    assert_eq!(told_to_systemctl(&board, &replace, 0, &words), started);

    // A port that systemd has closed is opened while the door is down.
    systemctl(&board, "LoadState=loaded\\nActiveState=active\\n", "");
    board.write("bin/socket", "LoadState=loaded\nActiveState=failed\n");
    let reopened = ["--quiet reset-failed facegate.socket", "stop facegate.service", "start facegate.socket"];
    let reopened = [&started[..1], &reopened, &started[1..]].concat();
    assert_eq!(told_to_systemctl(&board, &replace, 0, &["started anew"]), reopened);
    fs::remove_file(board.path("bin/socket")).expect("it is there");

    // Where it is to be left alone, it is said what that means.
    let mut command = board.command(&with(&replace, &["--yes", "--no-key", "--lock", "simulated"]));
    let path = format!("{}:{}", text(&board.path("bin")), std::env::var("PATH").unwrap_or_default());
    command.env("PATH", path).args(["--camera", &text(&photo_path("obama2.jpg"))]);
    finish(command).must(0, &["goes on with the old configuration", "systemctl restart facegate.service"]);

    // No such unit, or no systemd.
    for state in ["LoadState=not-found\\nActiveState=inactive\\n", ""] {
        systemctl(&board, state, "");
        assert!(told_to_systemctl(&board, &replace, 0, &["no service is started", "old configuration"]).is_empty());
    }

    systemctl(&board, "LoadState=masked\\nActiveState=inactive\\n", "");
    assert!(told_to_systemctl(&board, &replace, 0, &["no service is started", "systemctl unmask"]).is_empty());

    // What is left to do is said where systemd refuses.
    systemctl(&board, "LoadState=loaded\\nActiveState=inactive\\n", "enable");
    let words = ["written", "Access denied", "As root: systemctl enable facegate.service"];
    assert_eq!(told_to_systemctl(&board, &replace, 74, &words), started[..2]);
}

#[test]
fn what_was_not_answered_is_named_with_its_option() {
    let (board, args) = bare();
    let photo = text(&photo_path("obama2.jpg"));
    board.run(&with(&args, &["--yes", "--camera", &photo, "--chip", "pinctrl-bcm2711"])).must(64, &["--line"]);
    let nowhere = ["--yes", "--camera", &photo, "--chip", "no-such-chip", "--line", "GPIO17"];
    board.run(&with(&args, &nowhere)).must(69, &["GPIO"]);
    let edges = ["--yes", "--camera", &photo, "--chip", "pinctrl-bcm2711", "--line", "GPIO17", "--edges", "edges"];
    board.run(&with(&args, &edges)).must(64, &["--edges", "--lock simulated"]);
    board.run(&with(&args, &["--camera", &photo])).must(64, &["nobody answers", "--yes"]);
    let broken = board.write("broken.jpg", "no picture");
    board.run(&with(&args, &["--yes", "--camera", &text(&broken), "--lock", "simulated"])).must(69, &["broken.jpg"]);
    assert!(!board.path("facegate.toml").exists());
}

/// Runs a command with these lines on standard input.
fn told(mut command: Command, lines: &str) -> Ended {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    command.stdin(Stdio::from(reader));
    writer.write_all(lines.as_bytes()).expect("they fit into a pipe");
    drop(writer);
    finish(command)
}

#[test]
fn questions_are_answered_by_lines_and_empty_ones_take_the_default() {
    let (board, args) = bare();
    let photo = text(&photo_path("biden.jpg"));
    let snapshot = text(&board.path("seen.jpg"));
    // The name, the tenant, whether to look, where to save it, whether to move the relay and whether it did, how it fails.
    let lines = format!("side\n\nyes\n{snapshot}\ny\nyes\nsafe\n");
    let command = board.command(&with(&args, &["--camera", &photo, "--lock", "simulated"]));
    let said = told(command, &lines)
        .must(0, &["What is the door called?", "a face at", "moved", "written", "shown this once"]);
    assert!(said.out.contains("@"), "the picture in letters:\n{}", said.out);
    image::open(&snapshot).expect("a picture");
    board.run(&["config", "show"]).must(0, &["name = \"side\"", "tenant = \"main\"", "fail = \"safe\""]);

    fs::remove_file(board.path("facegate.toml")).expect("it was written");
    let command = board.command(&with(&args, &["--camera", &photo, "--lock", "simulated"]));
    told(command, "side\n\nno\ny\nno\n").must(69, &["the relay did not move", "--active-low"]);
    assert!(!board.path("facegate.toml").exists(), "a door that does not move is not set up");
}

#[test]
fn man_pages_and_completions_tell_every_command() {
    let board = Board::new();
    board.run(&["man", "pages"]).must(0, &[]);
    let pages = |name: &str| fs::read_to_string(board.path("pages").join(name)).unwrap_or_default();
    assert!(pages("facegate.1").contains("door controller"), "{}", pages("facegate.1"));
    for command in ["run", "setup", "check", "enroll", "door-unlock", "rest"] {
        assert!(pages(&format!("facegate-{command}.1")).contains(".TH"), "no page of {command}");
    }
    for command in ["guard", "move-relay"] {
        let page = format!("pages/facegate-{command}.1");
        assert!(!board.path(&page).exists(), "what `run` and `setup` start is for nobody to call");
    }
    for shell in ["bash", "zsh", "fish"] {
        board.run(&["completions", shell]).must(0, &["enroll", "lockdown"]);
    }
}
