//! The controls of a camera, such as exposure and gain, set to what the configuration says when it is opened.
//!
//! A control that cannot be set is told and left out: kernels rename them (`exposure_absolute` became
//! `exposure_time_absolute`), and a door whose camera has another exposure than it was to have is better than a shut one.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use v4l::{
    Device,
    control::{Control, Description, Flags, Type, Value},
};

/// What the configuration says: values by name, as `v4l2-ctl --list-ctrls` shows both.
pub type Controls = BTreeMap<String, i64>;

/// A control as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    id: u32,
    name: String,
    /// Whether it is on or off, no number.
    boolean: bool,
    least: i64,
    most: i64,
}

impl Known {
    /// None for what takes no number or cannot be set.
    fn of(described: &Description) -> Option<Self> {
        let boolean = match described.typ {
            Type::Boolean => true,
            Type::Integer | Type::Menu | Type::Integer64 | Type::IntegerMenu | Type::Bitmask => false,
            _ => return None,
        };
        let settable = !described.flags.intersects(Flags::DISABLED | Flags::READ_ONLY);
        let (least, most) = (described.minimum, described.maximum);
        settable.then(|| Self { id: described.id, name: plain(&described.name), boolean, least, most })
    }
}

/// A name as `v4l2-ctl` prints it: small letters and digits, all else one underscore.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            plain.push(c.to_ascii_lowercase());
        } else if !plain.ends_with('_') && !plain.is_empty() {
            plain.push('_');
        }
    }
    plain.trim_end_matches('_').to_owned()
}

/// Sets them; gives what could not be set, in words.
pub(super) fn set(device: &Device, wanted: &Controls) -> Vec<String> {
    if wanted.is_empty() {
        return Vec::new();
    }
    // The crate panics at kinds of controls that it does not know.
    let asked = catch_unwind(AssertUnwindSafe(|| device.query_controls()));
    let Ok(Ok(described)) = asked else { return vec!["its controls cannot be listed".into()] };
    let known: Vec<_> = described.iter().filter_map(Known::of).collect();
    let (settings, mut complaints) = plan(wanted, &known);
    for (control, value) in settings {
        let value = if control.boolean { Value::Boolean(value != 0) } else { Value::Integer(value) };
        if let Err(error) = device.set_control(Control { id: control.id, value }) {
            complaints.push(format!("the control {} cannot be set: {error}", control.name));
        }
    }
    complaints
}

/// What is to be set, automatic controls first: a value that one of them governs is taken only once it is off.
fn plan<'k>(wanted: &Controls, known: &'k [Known]) -> (Vec<(&'k Known, i64)>, Vec<String>) {
    let (mut settings, mut complaints) = (Vec::new(), Vec::new());
    for (name, &value) in wanted {
        match known.iter().find(|control| control.name == *name) {
            Some(control) if (control.least..=control.most).contains(&value) => settings.push((control, value)),
            Some(Known { least, most, .. }) => {
                complaints.push(format!("the control {name} takes {least} to {most}, not {value}"));
            }
            None => {
                let names: Vec<_> = known.iter().map(|control| control.name.as_str()).collect();
                let there = if names.is_empty() { "none".into() } else { names.join(", ") };
                complaints.push(format!("no control {name}; there are: {there}"));
            }
        }
    }
    settings.sort_by_key(|(control, _)| !control.name.contains("auto"));
    (settings, complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: u32, name: &str, least: i64, most: i64) -> Known {
        Known { id, name: plain(name), boolean: false, least, most }
    }

    #[test]
    fn names_are_those_that_the_tools_print() {
        for (kernel, printed) in [
            ("Exposure Time, Absolute", "exposure_time_absolute"),
            ("Auto Exposure", "auto_exposure"),
            ("White Balance, Automatic", "white_balance_automatic"),
            (" Odd (name) ", "odd_name"),
        ] {
            assert_eq!(plain(kernel), printed);
        }
    }

    #[test]
    fn automatics_come_first_and_what_cannot_be_is_told() {
        let known =
            [known(1, "Exposure Time, Absolute", 1, 5_000), known(2, "Auto Exposure", 0, 3), known(3, "Gain", 0, 100)];
        let wanted = [("exposure_time_absolute", 100), ("gain", 101), ("auto_exposure", 1), ("exposure_absolute", 100)];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value)).into();
        let (settings, complaints) = plan(&wanted, &known);
        assert_eq!(settings, [(&known[1], 1), (&known[0], 100)]);
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].contains("exposure_absolute") && complaints[0].contains("exposure_time_absolute"));
        assert_eq!(complaints[1], "the control gain takes 0 to 100, not 101");
    }
}
