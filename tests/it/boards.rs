//! What is written for boards and for those who build for them, as far as it can be looked at here.

use std::fs;

use crate::support::project;

fn text(name: &str) -> String {
    fs::read_to_string(project(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Keys that `cross` 0.2.5 knows, by the table they stand in.
fn known(table: &[&str]) -> &'static [&'static str] {
    match table {
        [] => &["build", "target"],
        ["build"] => &["build-std", "xargo", "zig", "default-target", "pre-build", "dockerfile", "env"],
        ["target", _] => &["build-std", "xargo", "zig", "image", "dockerfile", "pre-build", "runner", "env"],
        [.., "env"] => &["volumes", "passthrough"],
        [.., "dockerfile"] => &["file", "context", "build-args"],
        _ => &[],
    }
}

fn look(table: &toml::Table, place: &mut Vec<String>) {
    let names: Vec<_> = place.iter().map(String::as_str).collect();
    // Here the keys are ours to choose.
    let free = matches!(names[..], ["target"] | [.., "build-args"]);
    let allowed = known(&names);
    for (key, value) in table {
        assert!(free || allowed.contains(&key.as_str()), "Cross.toml: cross knows no {key} in [{}]", place.join("."));
        if let Some(file) = value.as_str().filter(|_| key == "file") {
            assert!(project(file).is_file(), "Cross.toml names {file}");
        }
        if let Some(below) = value.as_table() {
            place.push(key.clone());
            look(below, place);
            place.pop();
        }
    }
}

#[test]
fn cross_knows_every_key_of_its_file() {
    let read: toml::Table = text("cross/Cross.toml").parse().expect("TOML");
    look(&read, &mut Vec::new());
    let targets = read["target"].as_table().expect("targets");
    assert_eq!(targets.len(), 3, "64-bit and 32-bit ARM, and x86-64");
    let arguments: Vec<_> =
        text("cross/Dockerfile").lines().filter_map(|line| Some(line.strip_prefix("ARG ")?.to_owned())).collect();
    for (name, target) in targets {
        let given = target["dockerfile"]["build-args"].as_table().expect("arguments");
        assert!(
            arguments.iter().all(|argument| given.contains_key(argument)),
            "{name} leaves out one of {arguments:?}"
        );
        assert_eq!(given["RUST"].as_str(), Some(name.as_str()));
    }
}

#[test]
#[should_panic(expected = "cross knows no imgae in [target.x]")]
fn a_key_that_cross_does_not_know_is_found() {
    look(&"[target.x]\nimgae = \"y\"".parse().expect("TOML"), &mut Vec::new());
}

#[test]
fn every_board_says_how_a_relay_is_reached_and_what_was_never_tried() {
    let overview = text("docs/boards/README.md");
    for board in ["pi-zero-2-w", "pi-3", "pi-4", "pi-5", "jetson-nano", "jetson-orin-nano"] {
        let page = text(&format!("docs/boards/{board}.md"));
        assert!(overview.contains(&format!("({board}.md)")), "the overview does not name {board}");
        for word in ["GPIO chip", "relay", "Never tried on hardware", "| from |"] {
            assert!(page.contains(word), "{board}: {word}");
        }
    }
}

/// What the configuration's lines on the pages say is what the program reads.
#[test]
fn configurations_on_the_pages_are_ones_that_the_daemon_takes() {
    for page in ["docs/boards/pi-4.md", "docs/cameras.md"] {
        let text = text(page);
        let mut blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let block = blocks.next().unwrap_or_else(|| panic!("{page} shows a configuration"));
        let camera = if block.contains("[door.camera]") { "" } else { "[door.camera]\nsource = \"v4l\"\n" };
        let whole = format!("[[door]]\nname = \"d\"\ntenant = \"t\"\n{camera}{block}");
        facegate::config::Config::parse(&whole, page, std::iter::empty())
            .unwrap_or_else(|error| panic!("{error}\n{whole}"));
    }
}
