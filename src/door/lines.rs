//! Which lines of hardware a configuration names, and which of its names are names of the same line.

use super::{InputSettings, Line, LockSettings};

/// A line as a configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLine {
    /// As the configuration has it: `pinctrl-bcm2711 `GPIO17``, `BCM 17`.
    pub name: String,
    /// The number of the pin of a Raspberry Pi that it may be.
    pin: Option<u32>,
    /// Whether it is that pin for certain, and not one of that name on another chip.
    certain: bool,
}

impl NamedLine {
    /// A pin by its BCM number.
    fn pin(pin: u8) -> Self {
        Self { name: format!("BCM {pin}"), pin: Some(pin.into()), certain: true }
    }

    /// A line of a chip. On the chip of a Raspberry Pi's own pins, offsets and names both count as BCM does.
    fn of_chip(chip: &str, line: &Line) -> Self {
        let own = chip.starts_with("pinctrl-bcm") || chip == "pinctrl-rp1";
        let pin = match line {
            Line::Offset(offset) => own.then_some(*offset),
            Line::Name(name) => name.strip_prefix("GPIO").and_then(|number| number.parse().ok()),
        };
        Self { name: format!("{chip} {line}"), pin, certain: own }
    }

    /// Whether both are the same line, as far as names tell.
    pub fn is(&self, other: &Self) -> bool {
        let same_pin = self.pin.is_some() && self.pin == other.pin && (self.certain || other.certain);
        self.name == other.name || same_pin
    }
}

impl LockSettings {
    /// What it drives, where that is hardware.
    pub fn line(&self) -> Option<NamedLine> {
        match self {
            Self::None | Self::Simulated(_) => None,
            Self::Gpiochip(line) => Some(NamedLine::of_chip(&line.chip, &line.line)),
            Self::Rppal(pin) => Some(NamedLine::pin(pin.pin)),
        }
    }
}

impl InputSettings {
    /// What it reads, where that is hardware.
    pub fn line(&self) -> Option<NamedLine> {
        match self {
            Self::Simulated(_) => None,
            Self::Gpiochip(input) => Some(NamedLine::of_chip(&input.chip, &input.line)),
            Self::Rppal(input) => Some(NamedLine::pin(input.pin)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_of_a_raspberry_pi_is_one_line_however_it_is_named() {
        let name = |chip: &str, name: &str| NamedLine::of_chip(chip, &Line::Name(name.into()));
        let offset = |chip: &str, offset| NamedLine::of_chip(chip, &Line::Offset(offset));
        let pin = NamedLine::pin(17);
        for same in [
            name("pinctrl-bcm2711", "GPIO17"),
            offset("pinctrl-bcm2711", 17),
            offset("pinctrl-rp1", 17),
            name("gpiochip0", "GPIO17"),
            NamedLine::pin(17),
        ] {
            assert!(pin.is(&same) && same.is(&pin), "{same:?}");
        }
        for other in [
            NamedLine::pin(18),
            name("pinctrl-bcm2711", "GPIO18"),
            // Nobody knows whose lines those are.
            offset("gpiochip0", 17),
            name("gpiochip0", "RELAY17"),
        ] {
            assert!(!pin.is(&other) && !other.is(&pin), "{other:?}");
        }
        assert!(name("pinctrl-bcm2711", "GPIO17").is(&offset("pinctrl-bcm2711", 17)));
        assert!(!name("expander-a", "GPIO17").is(&name("expander-b", "GPIO17")));
    }
}
