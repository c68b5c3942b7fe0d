//! Inputs: who presses a button, whether the door is open, whether there is fire.

use std::{sync::Arc, time::Duration};

use facegate_control::door::Sensor;

use super::{InputSettings, InputsSettings, lock_error, simulated_inputs::SimulatedInputs};
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
pub fn open_inputs(settings: &InputsSettings, clock: &Arc<dyn Clock>) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let (mut sensors, mut simulated) = (Vec::new(), Vec::new());
    for (sensor, input) in settings.wired() {
        match input {
            InputSettings::Simulated(input) => {
                sensors.push(sensor);
                simulated.push(input.level.clone());
            }
            InputSettings::Gpiochip(_) | InputSettings::Rppal(_) => {
                return Err(not_built().within(sensor.key()));
            }
        }
    }
    if !simulated.is_empty() {
        sources.push(Source { sensors, inputs: Box::new(SimulatedInputs::new(simulated, Arc::clone(clock))) });
    }
    Ok(sources)
}

/// Says whether the input could be opened, and what it is, without claiming its line.
pub fn probe_input(settings: &InputSettings) -> Result<String> {
    match settings {
        InputSettings::Simulated(input) => Ok(format!("simulated input, level in {}", input.level.display())),
        InputSettings::Gpiochip(_) | InputSettings::Rppal(_) => Err(not_built()),
    }
}

fn not_built() -> crate::error::Error {
    lock_error("this build cannot read inputs of hardware").help("use `kind = \"simulated\"`")
}
