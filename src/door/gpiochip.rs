//! A line of a GPIO character device that drives a relay, through `gpiocdev`.
//!
//! The kernel releases the line when the process dies, however it dies; what the line does then is up to its driver, so
//! that the wiring has to be safe with the line floating.

use gpiocdev::{Request, line::Value};

use super::{
    Drive, GpiochipSettings, Lock,
    chips::{CONSUMER, Selected, Wanted, chips, select, select_beside_ours},
    lock_error,
};
use crate::error::Result;

fn wanted(settings: &GpiochipSettings) -> Wanted<'_> {
    Wanted { chip: &settings.chip, line: &settings.line, active_low: settings.active_low }
}

/// Whether the line is there and free, without claiming it.
pub(super) fn probe(settings: &GpiochipSettings) -> Result<String> {
    select(&chips(), wanted(settings)).map(|selected| selected.description)
}

/// The same, though a running facegate has it.
pub(super) fn probe_beside_ours(settings: &GpiochipSettings) -> Result<String> {
    select_beside_ours(&chips(), wanted(settings)).map(|selected| selected.description)
}

/// A claimed line that drives a relay.
pub(super) struct GpioLine {
    settings: GpiochipSettings,
    request: Option<Request>,
    description: String,
}

/// Finds the line and claims it at `energised` in one step.
fn claim(settings: &GpiochipSettings, energised: bool) -> Result<(Request, String)> {
    let Selected { path, offset, description } = select(&chips(), wanted(settings))?;
    let mut builder = Request::builder();
    builder.on_chip(path).with_consumer(CONSUMER).with_line(offset).as_output(level(energised));
    if settings.active_low {
        builder.as_active_low();
    }
    builder.with_bias(settings.bias.map(gpiocdev::line::Bias::from));
    builder.with_drive(match settings.drive {
        Drive::PushPull => gpiocdev::line::Drive::PushPull,
        Drive::OpenDrain => gpiocdev::line::Drive::OpenDrain,
        Drive::OpenSource => gpiocdev::line::Drive::OpenSource,
    });
    let request = builder.request().map_err(|error| {
        // Where another program was faster, a second look tells its name.
        let taken = select(&chips(), wanted(settings)).err();
        taken.unwrap_or_else(|| lock_error(format!("{description}: the line cannot be claimed")).source(error))
    })?;
    Ok((request, description))
}

fn level(energised: bool) -> Value {
    if energised { Value::Active } else { Value::Inactive }
}

impl GpioLine {
    /// Claims the line at rest.
    pub(super) fn open(settings: &GpiochipSettings, rest: bool) -> Result<Self> {
        let (request, description) = claim(settings, rest)?;
        Ok(Self { settings: settings.clone(), request: Some(request), description })
    }
}

impl Lock for GpioLine {
    /// A line that cannot be set is released and claimed anew: the chip may have been unplugged and come back.
    fn set(&mut self, energised: bool) -> Result<()> {
        if self.request.as_ref().is_some_and(|request| request.set_lone_value(level(energised)).is_ok()) {
            return Ok(());
        }
        self.request = None;
        let (request, description) = claim(&self.settings, energised)?;
        self.request = Some(request);
        self.description = description;
        Ok(())
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Line;

    #[test]
    fn without_gpio_the_probe_says_so() {
        let chips = chips();
        if !(chips.readable.is_empty() && chips.forbidden.is_empty() && chips.broken.is_empty()) {
            eprintln!("skipped: this machine has GPIO chips");
            return;
        }
        let settings = GpiochipSettings {
            chip: "pinctrl-bcm2711".into(),
            line: Line::Name("GPIO17".into()),
            active_low: false,
            bias: None,
            drive: Drive::PushPull,
        };
        assert!(probe(&settings).expect_err("none here").message().contains("no GPIO at all"));
        assert!(GpioLine::open(&settings, false).is_err());
    }
}
