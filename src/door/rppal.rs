//! A pin of a Raspberry Pi, set by its registers through `rppal`.
//!
//! The named alternative to `gpiochip` for a Pi: it needs `/dev/gpiomem`, not the character device's line. The kernel knows
//! nothing of the claim: another process can drive the same pin, and after a `kill -9` the pin stays as it was.

use ::rppal::gpio::{Error as PinError, Gpio, Level, OutputPin};

use super::{Lock, RppalSettings, lock_error};
use crate::error::{Error, Result};

/// A pin that drives a relay.
pub(super) struct Pin {
    pin: OutputPin,
    active_low: bool,
}

/// Claims a pin, without touching its level or mode. The error says what to do about `what`.
pub(super) fn claim(what: &str, number: u8) -> Result<::rppal::gpio::Pin> {
    Gpio::new().and_then(|gpio| gpio.get(number)).map_err(|error| explain(what, error))
}

fn explain(what: &str, error: PinError) -> Error {
    let pin = format!("{what} cannot be used");
    match error {
        PinError::UnknownModel => lock_error(format!("{pin}: this machine is no Raspberry Pi that rppal knows"))
            .help("use `kind = \"gpiochip\"`, which works on any board, or `kind = \"simulated\"`"),
        PinError::PinUsed(_) => lock_error(format!("{pin}: this process uses it already")),
        PinError::PinNotAvailable(_) => lock_error(format!("{pin}: this board has no such pin"))
            .help("`pin` is the BCM number (17 for GPIO17), not the place on the header"),
        PinError::PermissionDenied(path) => lock_error(format!("{pin}: no permission for {path}"))
            .help("add the daemon's user to the group `gpio`, and start it again"),
        other => lock_error(pin).source(other).help("on a kernel without /dev/gpiomem use `kind = \"gpiochip\"`"),
    }
}

fn claim_output(settings: &RppalSettings) -> Result<::rppal::gpio::Pin> {
    claim(&format!("the lock's pin BCM {}", settings.pin), settings.pin)
}

/// Whether the pin is there, without touching its level or mode.
pub(super) fn probe(settings: &RppalSettings) -> Result<String> {
    claim_output(settings)?;
    Ok(describe(settings.pin, settings.active_low))
}

/// A pin, for people.
pub(super) fn describe(number: u8, active_low: bool) -> String {
    format!("pin BCM {number} by rppal, active {}", if active_low { "low" } else { "high" })
}

impl Pin {
    /// Claims the pin. Its level is set before its mode, so that there is no glitch.
    pub(super) fn open(settings: &RppalSettings, rest: bool) -> Result<Self> {
        let pin = claim_output(settings)?;
        let mut pin = if rest != settings.active_low { pin.into_output_high() } else { pin.into_output_low() };
        // Else the pin floats as an input once the daemon has gone.
        pin.set_reset_on_drop(false);
        Ok(Self { pin, active_low: settings.active_low })
    }
}

impl Lock for Pin {
    fn set(&mut self, energised: bool) -> Result<()> {
        self.pin.write(if energised != self.active_low { Level::High } else { Level::Low });
        Ok(())
    }

    fn describe(&self) -> String {
        describe(self.pin.pin(), self.active_low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn errors_say_what_to_do() {
        for (error, words, help) in [
            (PinError::UnknownModel, "no Raspberry Pi", "gpiochip"),
            (PinError::PinNotAvailable(77), "BCM 77", "BCM number"),
            (PinError::PermissionDenied("/dev/gpiomem".into()), "/dev/gpiomem", "group `gpio`"),
            (PinError::Io(std::io::Error::other("broken")), "broken", "gpiochip"),
        ] {
            let error = explain("the lock's pin BCM 77", error);
            assert_eq!(error.kind(), Kind::Lock);
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.advice().is_some_and(|advice| advice.contains(help)), "{error:?}");
        }
    }

    #[test]
    fn off_a_pi_it_says_so() {
        if std::path::Path::new("/sys/firmware/devicetree/base/compatible").exists() {
            eprintln!("skipped: this machine may be a Raspberry Pi, and its pins are not touched");
            return;
        }
        let error = probe(&RppalSettings { pin: 17, active_low: false }).expect_err("no Pi");
        assert!(error.message().contains("no Raspberry Pi"), "{error}");
    }
}
