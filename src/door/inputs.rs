//! Inputs: who presses a button, whether the door is open, whether there is fire.

mod gpiochip;
mod rppal;

use std::{sync::Arc, time::Duration};

use facegate_control::door::Sensor;

use super::{GpiochipInput, InputSettings, InputsSettings, simulated_inputs::SimulatedInputs};
use crate::{
    clock::{Clock, Moment},
    error::Result,
};

/// An input has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputEdge {
    /// Its place among those that were asked for.
    pub input: usize,
    pub active: bool,
    /// When it did.
    pub at: Moment,
}

/// Some inputs that are read together.
pub trait Inputs: Send {
    /// Waits for an edge of any of them; none where there is none within `timeout`. An error means that they cannot be read
    /// for now; asking again is how to find out that they can.
    fn next(&mut self, timeout: Duration) -> Result<Option<InputEdge>>;

    /// Whether each is active now, in the order in which they were asked for.
    fn levels(&mut self) -> Result<Vec<bool>>;

    /// What is read, for logs.
    fn describe(&self) -> String;
}

/// Some inputs, and what they mean.
pub struct Source {
    pub sensors: Vec<Sensor>,
    pub inputs: Box<dyn Inputs>,
}

/// Claims every input of a door. The errors say what to do.
///
/// A source is what is lost together, and read by one thread: the lines of a chip, the pins of a Pi, the simulated inputs.
pub fn open_inputs(settings: &InputsSettings, clock: &Arc<dyn Clock>) -> Result<Vec<Source>> {
    let (mut chips, mut pins, mut simulated) = (Vec::<Group<GpiochipInput>>::new(), Group::new(), Group::new());
    for (sensor, input) in settings.wired() {
        match input {
            InputSettings::Simulated(input) => simulated.push((sensor, input.level.clone())),
            InputSettings::Rppal(pin) => pins.push((sensor, pin.clone())),
            InputSettings::Gpiochip(line) => {
                match chips.iter_mut().find(|group| group.iter().any(|(_, first)| first.chip == line.chip)) {
                    Some(chip) => chip.push((sensor, line.clone())),
                    None => chips.push(vec![(sensor, line.clone())]),
                }
            }
        }
    }
    let mut sources = Vec::new();
    for group in chips {
        let (sensors, lines): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        sources.push(Source { sensors, inputs: open_lines(lines, clock)? });
    }
    if !pins.is_empty() {
        let (sensors, pins): (Vec<_>, Vec<_>) = pins.into_iter().unzip();
        sources.push(Source { sensors, inputs: Box::new(rppal::PolledPins::open(&pins, Arc::clone(clock))?) });
    }
    if !simulated.is_empty() {
        let (sensors, files) = simulated.into_iter().unzip();
        sources.push(Source { sensors, inputs: Box::new(SimulatedInputs::new(files, Arc::clone(clock))) });
    }
    Ok(sources)
}

/// Says whether the input could be opened, and what it is, without claiming its line.
pub fn probe_input(settings: &InputSettings) -> Result<String> {
    match settings {
        InputSettings::Simulated(input) => Ok(format!("simulated input, level in {}", input.level.display())),
        InputSettings::Gpiochip(line) => gpiochip::probe(line),
        InputSettings::Rppal(pin) => rppal::probe(pin),
    }
}

/// Inputs of one kind, and what they mean.
type Group<T> = Vec<(Sensor, T)>;

/// Claims lines of GPIO character devices, which are lost together where one is. The errors say what to do.
pub fn open_lines(lines: Vec<GpiochipInput>, clock: &Arc<dyn Clock>) -> Result<Box<dyn Inputs>> {
    Ok(Box::new(gpiochip::GpioInputs::open(lines, Arc::clone(clock))?))
}
