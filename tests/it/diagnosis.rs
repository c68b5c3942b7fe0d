//! What is wrong with a board is said by `run`, which ends with a status that a service manager knows what to do about, and by
//! `check`, each with the cure.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
};

use crate::support::{daemon::Board, daemon::finish, disk::SmallDisk, models_dir, photo_path};

fn board() -> Board {
    let mut board = Board::with_door(&[photo_path("biden.jpg")]);
    board.set("gallery.max_mb", 8);
    board.set("gallery.dir", "disk/gallery");
    board.set("journal.dir", "disk/journal");
    board
}

#[test]
fn a_data_partition_that_is_read_only_is_told_by_name() {
    let board = board();
    let Some(disk) = SmallDisk::mount(board.path("disk")) else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    // New, and with data on it.
    for known in [false, true] {
        if known {
            disk.make_writable();
            board.start().stop();
        }
        disk.make_read_only();
        board.run(&["run"]).must(74, &["disk/", "Read-only file system", "help:", "remount"]);
        board.run(&["check"]).must(1, &["FAIL", "disk/gallery", "Read-only file system", "remount"]);
    }
}

#[test]
fn a_data_partition_that_is_full_is_told_where_a_store_is_to_be_begun() {
    let board = board();
    let Some(disk) = SmallDisk::mount(board.path("disk")) else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    disk.fill();
    board.run(&["run"]).must(74, &["full", "help:"]);
    board.run(&["check"]).must(1, &["FAIL", "full"]);
}

#[test]
fn a_store_is_not_begun_as_root_in_a_folder_of_somebody_else() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root could");
        return;
    }
    let board = board();
    fs::create_dir(board.path("disk")).expect("a folder");
    fs::set_permissions(board.path("disk"), Permissions::from_mode(0o700)).expect("a folder of one's own");
    std::os::unix::fs::chown(board.path("disk"), Some(65_534), Some(65_534)).expect("root may");
    for args in [&["keys", "list"][..], &["check"], &["run"]] {
        let refused = board.run(args);
        assert_ne!(refused.code, Some(0));
        let said = refused.said();
        assert!(said.contains("belongs to another user") && said.contains("sudo -u"), "{said}");
    }
    assert!(!board.path("disk/gallery").exists() && !board.path("disk/journal").exists(), "nothing was left there");
}

/// A command as somebody else, who may look at the board's folder and write nothing there. None where this user cannot be another.
fn as_somebody_else(board: &mut Board, args: &[&str]) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be somebody else");
        return None;
    }
    // Where the program was built, and its networks lie, that user may not look: a clone in root's home.
    for file in fs::read_dir(models_dir().join("starter")).expect("the pack is here") {
        let file = file.expect("it can be listed").path();
        let name = file.file_name().and_then(|name| name.to_str()).expect("a pack's names are plain");
        board.write(&format!("models/starter/{name}"), fs::read(&file).expect("a file of the pack"));
    }
    board.set("models.dir", "models");
    let program = board.path("facegate");
    let ours = board.command(args);
    fs::copy(ours.get_program(), &program).expect("there is room");
    let mut command = Command::new(program);
    command.args(ours.get_args()).current_dir(board.path("")).uid(65_534).gid(65_534);
    fs::set_permissions(board.path(""), Permissions::from_mode(0o755)).expect("it is ours");
    Some(command)
}

#[test]
fn a_user_who_may_not_write_is_told_whose_folder_it_is() {
    let mut board = board();
    board.run(&["keys", "list"]).must(0, &[]);
    let Some(command) = as_somebody_else(&mut board, &["keys", "list"]) else { return };
    finish(command).must(74, &["disk/gallery", "run as the user that owns the folder"]);
}

#[test]
fn a_camera_that_may_not_be_opened_is_told_with_the_cure() {
    let mut board = Board::with_door(&[]);
    board.write("video0", "");
    fs::set_permissions(board.path("video0"), Permissions::from_mode(0o600)).expect("it is ours");
    board.set("door.0.camera", toml::toml! { source = "v4l" device = "video0" });
    let Some(command) = as_somebody_else(&mut board, &["check"]) else { return };
    let forbidden = ["FAIL", "door 'front', camera", "permission denied for video0", "usermod -a -G video"];
    finish(command).must(1, &forbidden);
}

#[test]
fn a_chip_that_has_another_name_is_told_with_the_cure() {
    let mut board = Board::with_door(&[photo_path("biden.jpg")]);
    board.set("door.0.lock", toml::toml! { kind = "gpiochip" chip = "pinctrl-bcm2835" line = "GPIO17" });
    board.run(&["run"]).must(69, &["door 'front'", "GPIO", "help:"]);
    board.run(&["check"]).must(1, &["FAIL", "door 'front', lock", "GPIO"]);
}

#[test]
fn with_everything_read_only_but_its_data_the_door_opens() {
    let mut board = Board::with_door(&[photo_path("obama2.jpg")]);
    board.set("api.socket", "facegate.sock");
    board.enrol("barack", "obama.jpg");
    // The board's folder is the partition that can be written to; all else is read-only for this process alone.
    const READ_ONLY: &str = "
        mount --bind . . && mount -o remount,bind,ro / || exit 200
        if [ \"$(stat -c %m /tmp)\" != / ]; then mount -o remount,bind,ro /tmp || exit 200; fi
        touch /tmp/facegate-may-not 2>/dev/null && exit 201
        cd \"$PWD\" && exec \"$@\"";
    let read_only = |command: Command| {
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "--propagation", "private", "sh", "-c", READ_ONLY, "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.current_dir(command.get_current_dir().expect("the board's folder"));
        shell
    };
    let mut probe = Command::new("true");
    probe.current_dir(board.path(""));
    let probed = finish(read_only(probe));
    if probed.code != Some(0) {
        eprintln!("skipped: this user may not make the root read-only for a process: {}", probed.said());
        return;
    }
    let daemon = board.start_as(read_only(board.command(&["run", "--json"])));
    board.decisions("front", 0, 1, |decision| decision["outcome"] == "granted");
    board.edge("front", 0, |edge| edge.energised);
    daemon.stop();
    board.run(&["journal", "verify"]).must(0, &["unbroken"]);
}
