//! The GPIO chips of this machine, and which of their lines a configuration means.
//!
//! Chips are found by label first: the numbers of `/dev/gpiochipN` change from boot to boot and from kernel to kernel.

use std::{
    io,
    path::{Path, PathBuf},
};

use gpiocdev::Chip;
use serde::Serialize;

use super::{Line, lock_error};
use crate::error::{Error, Result};

/// Whom the kernel names as the user of our lines.
pub(super) const CONSUMER: &str = "facegate";

/// A chip as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChipDescription {
    pub path: PathBuf,
    pub name: String,
    pub label: String,
    /// By offset, from 0.
    pub lines: Vec<LineDescription>,
}

/// A line as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineDescription {
    /// Empty where it has none.
    pub name: String,
    /// Who uses the line; empty where its user gave no name. None where it is free.
    pub used_by: Option<String>,
}

/// What the machine has.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Chips {
    pub readable: Vec<ChipDescription>,
    /// Chips that may not be opened.
    pub forbidden: Vec<PathBuf>,
    /// Chips that cannot be read, and why.
    pub broken: Vec<(PathBuf, String)>,
}

/// A line as a configuration names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// A chip's label, name or path.
    pub(super) chip: &'a str,
    pub(super) line: &'a Line,
    pub(super) active_low: bool,
}

/// The line that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) path: PathBuf,
    pub(super) offset: u32,
    /// For people.
    pub(super) description: String,
}

fn describe_chip(path: &Path) -> gpiocdev::Result<ChipDescription> {
    let chip = Chip::from_path(path)?;
    let info = chip.info()?;
    let lines = chip
        .line_info_iter()?
        .map(|line| line.map(|line| LineDescription { name: line.name, used_by: line.used.then_some(line.consumer) }));
    Ok(ChipDescription {
        path: path.into(),
        name: info.name,
        label: info.label,
        lines: lines.collect::<Result<_, _>>()?,
    })
}

/// Asks the kernel for its chips.
pub fn chips() -> Chips {
    let mut chips = Chips::default();
    for path in gpiocdev::chip::chips().unwrap_or_default() {
        match describe_chip(&path) {
            Ok(chip) => chips.readable.push(chip),
            Err(gpiocdev::Error::Os(errno)) if is_forbidden(errno.0) => chips.forbidden.push(path),
            Err(error) => chips.broken.push((path, error.to_string())),
        }
    }
    chips
}

fn is_forbidden(errno: i32) -> bool {
    io::Error::from_raw_os_error(errno).kind() == io::ErrorKind::PermissionDenied
}

/// Finds the line, and refuses one that is in use. Pure.
pub(super) fn select(chips: &Chips, wanted: Wanted<'_>) -> Result<Selected> {
    select_unless(chips, wanted, |_| true)
}

/// The same, but a line that a facegate has is taken for free. Pure.
pub(super) fn select_beside_ours(chips: &Chips, wanted: Wanted<'_>) -> Result<Selected> {
    select_unless(chips, wanted, |user| user != CONSUMER)
}

fn select_unless(chips: &Chips, wanted: Wanted<'_>, bars: impl Fn(&str) -> bool) -> Result<Selected> {
    let chip = select_chip(chips, wanted.chip)?;
    let place = format!("{} [{}]", chip.name, chip.label);
    let offset = select_line(chip, wanted.line, &place)?;
    let line = chip.lines.get(offset as usize).ok_or_else(|| {
        let last = chip.lines.len().saturating_sub(1);
        lock_error(format!("{place} has no line {offset}: its lines are 0 to {last}"))
    })?;
    let name = if line.name.is_empty() { String::new() } else { format!(" ({})", line.name) };
    if let Some(user) = line.used_by.as_ref().filter(|user| bars(user)) {
        return Err(in_use(&format!("line {offset}{name} of {place}"), user));
    }
    let active = if wanted.active_low { "low" } else { "high" };
    let description = format!("{place}, line {offset}{name}, active {active}");
    Ok(Selected { path: chip.path.clone(), offset, description })
}

fn select_chip<'a>(chips: &'a Chips, wanted: &str) -> Result<&'a ChipDescription> {
    let labelled: Vec<_> = chips.readable.iter().filter(|chip| chip.label == wanted).collect();
    match labelled.as_slice() {
        [chip] => return Ok(chip),
        [] => {}
        several => {
            let candidates: Vec<_> = several.iter().map(|chip| chip.path.display().to_string()).collect();
            return Err(lock_error(format!(
                "{} GPIO chips are labelled `{wanted}`: {}",
                several.len(),
                candidates.join(", ")
            ))
            .help("give the path of one of them as `chip`"));
        }
    }
    let named = |chip: &&ChipDescription| chip.name == wanted || chip.path.as_os_str() == wanted;
    chips.readable.iter().find(named).ok_or_else(|| no_such_chip(chips, wanted))
}

fn no_such_chip(chips: &Chips, wanted: &str) -> Error {
    let list = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    if !chips.forbidden.is_empty() {
        return lock_error(format!(
            "no GPIO chip `{wanted}` among those that this user may open; no permission for {}",
            list(&chips.forbidden)
        ))
        .help("add the daemon's user to the group `gpio` (or whichever owns these files), and start it again");
    }
    if chips.readable.is_empty() && chips.broken.is_empty() {
        return lock_error(format!("no GPIO chip `{wanted}`: this machine has no GPIO at all"))
            .help("use `kind = \"simulated\"` to try things out; on a board see that its GPIO driver is loaded");
    }
    let there = chips.readable.iter().map(|chip| format!("{} [{}], {} lines", chip.name, chip.label, chip.lines.len()));
    let broken = chips.broken.iter().map(|(path, error)| format!("{} (not readable: {error})", path.display()));
    let there: Vec<_> = there.chain(broken).collect();
    lock_error(format!("no GPIO chip `{wanted}`; there are: {}", there.join("; ")))
        .help("give one of these labels, names or paths as `chip`")
}

fn select_line(chip: &ChipDescription, wanted: &Line, place: &str) -> Result<u32> {
    let name = match wanted {
        Line::Offset(offset) => return Ok(*offset),
        Line::Name(name) => name,
    };
    let offsets: Vec<u32> = (0..).zip(&chip.lines).filter(|(_, line)| line.name == *name).map(|(at, _)| at).collect();
    match offsets.as_slice() {
        [offset] => Ok(*offset),
        [] => {
            let names: Vec<_> =
                chip.lines.iter().map(|line| line.name.as_str()).filter(|name| !name.is_empty()).collect();
            let there = if names.is_empty() { "its lines have no names".into() } else { names.join(", ") };
            Err(lock_error(format!("{place} has no line named `{name}`; there are: {there}"))
                .help("give one of these names, or the line's offset as a number, as `line`"))
        }
        several => Err(lock_error(format!("{place} has several lines named `{name}`: {several:?}"))
            .help("give the offset of one of them, as a number, as `line`")),
    }
}

fn in_use(line: &str, user: &str) -> Error {
    let user = if user.is_empty() { "by somebody who gave no name".into() } else { format!("by `{user}`") };
    lock_error(format!("{line} is in use {user}"))
        .help("stop that program, or choose another line; `facegate` itself claims it while the daemon runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chip(number: u32, label: &str, lines: &[(&str, Option<&str>)]) -> ChipDescription {
        let lines =
            lines.iter().map(|(name, user)| LineDescription { name: (*name).into(), used_by: user.map(Into::into) });
        ChipDescription {
            path: format!("/dev/gpiochip{number}").into(),
            name: format!("gpiochip{number}"),
            label: label.into(),
            lines: lines.collect(),
        }
    }

    fn board() -> Chips {
        let header =
            [("ID_SDA", None), ("", Some("")), ("GPIO17", None), ("GPIO27", Some("fan")), ("DUP", None), ("DUP", None)];
        Chips {
            readable: vec![chip(0, "pinctrl-bcm2711", &header), chip(1, "twin", &[]), chip(2, "twin", &[("X", None)])],
            ..Chips::default()
        }
    }

    fn find(chips: &Chips, chip: &str, line: Line) -> Result<Selected> {
        select(chips, Wanted { chip, line: &line, active_low: true })
    }

    fn name(name: &str) -> Line {
        Line::Name(name.into())
    }

    #[test]
    fn chips_are_found_by_label_name_and_path_and_lines_by_name_and_offset() {
        for chip in ["pinctrl-bcm2711", "gpiochip0", "/dev/gpiochip0"] {
            for line in [name("GPIO17"), Line::Offset(2)] {
                let selected = find(&board(), chip, line).expect("there");
                assert_eq!((selected.path.to_str(), selected.offset), (Some("/dev/gpiochip0"), 2));
                assert_eq!(selected.description, "gpiochip0 [pinctrl-bcm2711], line 2 (GPIO17), active low");
            }
        }
        assert_eq!(find(&board(), "gpiochip2", name("X")).expect("one of the twins, by name").offset, 0);
    }

    #[test]
    fn a_line_of_a_running_facegate_is_in_use_but_where_its_own_place_is_taken() {
        let mut chips = board();
        chips.readable[0].lines[2].used_by = Some(CONSUMER.into());
        let line = |name| Wanted { chip: "gpiochip0", line: name, active_low: false };
        let (ours, somebody_elses) = (name("GPIO17"), name("GPIO27"));
        assert!(select(&chips, line(&ours)).is_err_and(|error| error.message().contains("in use by `facegate`")));
        assert_eq!(select_beside_ours(&chips, line(&ours)).expect("ours").offset, 2);
        assert!(select_beside_ours(&chips, line(&somebody_elses)).is_err(), "it is a fan's");
    }

    #[test]
    fn a_label_goes_before_a_name() {
        let mut chips = board();
        chips.readable.push(chip(7, "gpiochip0", &[("Y", None)]));
        assert_eq!(find(&chips, "gpiochip0", Line::Offset(0)).expect("there").path.to_str(), Some("/dev/gpiochip7"));
    }

    #[test]
    fn what_cannot_be_had_is_said_clearly() {
        let forbidden = Chips { forbidden: vec!["/dev/gpiochip0".into()], ..Chips::default() };
        let broken = Chips { broken: vec![("/dev/gpiochip0".into(), "EIO".into())], ..Chips::default() };
        for (chips, chip, line, words) in [
            (
                board(),
                "pinctrl-rp1",
                name("GPIO17"),
                "there are: gpiochip0 [pinctrl-bcm2711], 6 lines; gpiochip1 [twin]",
            ),
            (board(), "twin", name("X"), "2 GPIO chips are labelled `twin`: /dev/gpiochip1, /dev/gpiochip2"),
            (board(), "gpiochip0", name("GPIO18"), "no line named `GPIO18`; there are: ID_SDA, GPIO17, GPIO27"),
            (board(), "gpiochip1", name("GPIO18"), "its lines have no names"),
            (board(), "gpiochip0", name("DUP"), "several lines named `DUP`: [4, 5]"),
            (board(), "gpiochip0", Line::Offset(6), "no line 6: its lines are 0 to 5"),
            (board(), "gpiochip0", name("GPIO27"), "line 3 (GPIO27) of gpiochip0 [pinctrl-bcm2711] is in use by `fan`"),
            (board(), "gpiochip0", Line::Offset(1), "line 1 of gpiochip0 [pinctrl-bcm2711] is in use by somebody"),
            (Chips::default(), "gpiochip0", Line::Offset(1), "no GPIO at all"),
            (forbidden, "gpiochip0", Line::Offset(1), "no permission for /dev/gpiochip0"),
            (broken, "gpiochip0", Line::Offset(1), "/dev/gpiochip0 (not readable: EIO)"),
        ] {
            let error = find(&chips, chip, line).expect_err(words);
            assert_eq!(error.kind(), crate::error::Kind::Lock);
            assert!(error.message().contains(words), "{error}");
        }
        let forbidden = Chips { forbidden: vec!["/dev/gpiochip0".into()], ..Chips::default() };
        let help = find(&forbidden, "x", Line::Offset(1)).expect_err("forbidden");
        assert!(help.advice().is_some_and(|advice| advice.contains("group `gpio`")));
    }
}
