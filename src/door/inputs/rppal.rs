//! Pins of a Raspberry Pi, read by their registers through `rppal`.
//!
//! They are polled. rppal's interrupts go through the character device, where `gpiochip` does the same and more, and were
//! never tried here; reading a register costs less than a microsecond and cannot fail, and the state machine debounces in
//! time, so that a level that is seen 5 ms late is seen in time. A pulse shorter than that can be missed.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ::rppal::gpio::{Bias as Resistor, InputPin, Pin};

use super::{InputEdge, Inputs};
use crate::{
    clock::Clock,
    door::{Bias, RppalInput, rppal},
    error::Result,
};

/// The pins are read as often as this.
const LOOK: Duration = Duration::from_millis(5);

/// What the pins are at; the one call that needs a Pi.
trait Pins: Send {
    /// Whether the pin at that place in the list is high.
    fn high(&self, pin: usize) -> bool;
}

impl Pins for Vec<InputPin> {
    fn high(&self, pin: usize) -> bool {
        self[pin].is_high()
    }
}

fn claim(settings: &RppalInput) -> Result<Pin> {
    rppal::claim(&format!("the input pin BCM {}", settings.pin), settings.pin)
}

/// Whether the pin is there, without touching its mode.
pub(super) fn probe(settings: &RppalInput) -> Result<String> {
    claim(settings)?;
    Ok(rppal::describe(settings.pin, settings.active_low))
}

/// Pins, and the levels that were told.
pub(super) struct PolledPins {
    pins: Box<dyn Pins>,
    settings: Vec<RppalInput>,
    told: Vec<bool>,
    clock: Arc<dyn Clock>,
}

impl PolledPins {
    /// Claims the pins. The errors say what to do.
    pub(super) fn open(settings: &[RppalInput], clock: Arc<dyn Clock>) -> Result<Self> {
        let claim = |settings: &RppalInput| {
            let mut pin = claim(settings)?.into_input();
            if let Some(bias) = settings.bias {
                pin.set_bias(match bias {
                    Bias::PullUp => Resistor::PullUp,
                    Bias::PullDown => Resistor::PullDown,
                    Bias::Disabled => Resistor::Off,
                });
            }
            Ok(pin)
        };
        let pins: Vec<_> = settings.iter().map(claim).collect::<Result<_>>()?;
        Ok(Self::with(Box::new(pins), settings, clock))
    }

    fn with(pins: Box<dyn Pins>, settings: &[RppalInput], clock: Arc<dyn Clock>) -> Self {
        let mut polled = Self { pins, settings: settings.to_vec(), told: Vec::new(), clock };
        polled.told = (0..settings.len()).map(|input| polled.active(input)).collect();
        polled
    }

    fn active(&self, input: usize) -> bool {
        self.pins.high(input) != self.settings[input].active_low
    }
}

impl Inputs for PolledPins {
    fn next(&mut self, timeout: Duration) -> Result<Option<InputEdge>> {
        let begun = Instant::now();
        loop {
            for input in 0..self.told.len() {
                let active = self.active(input);
                if active != self.told[input] {
                    self.told[input] = active;
                    return Ok(Some(InputEdge { input, active, at: self.clock.now() }));
                }
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(LOOK.min(left));
        }
    }

    fn levels(&mut self) -> Result<Vec<bool>> {
        Ok(self.told.clone())
    }

    fn describe(&self) -> String {
        let pins: Vec<_> = self.settings.iter().map(|pin| rppal::describe(pin.pin, pin.active_low)).collect();
        pins.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use jiff::Timestamp;

    use super::*;
    use crate::clock::SimulatedClock;

    /// Pins as the bits of a byte.
    impl Pins for Arc<AtomicU8> {
        fn high(&self, pin: usize) -> bool {
            self.load(Ordering::SeqCst) & (1 << pin) != 0
        }
    }

    fn pin(pin: u8, active_low: bool) -> RppalInput {
        RppalInput { pin, active_low, bias: None, debounce_ms: 30 }
    }

    #[test]
    fn each_change_is_told_once_with_its_polarity() {
        let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_secs(7));
        let wires = Arc::new(AtomicU8::new(0b10));
        let settings = [pin(4, false), pin(5, true)];
        let mut pins = PolledPins::with(Box::new(Arc::clone(&wires)), &settings, Arc::new(clock.clone()));
        assert_eq!(pins.levels().expect("levels"), [false, false]);
        assert_eq!(pins.next(Duration::ZERO).expect("nothing"), None);
        wires.store(0b01, Ordering::SeqCst);
        let at = clock.now();
        for input in [0, 1] {
            let edge = InputEdge { input, active: true, at };
            assert_eq!(pins.next(Duration::ZERO).expect("an edge"), Some(edge));
        }
        assert_eq!(pins.next(Duration::ZERO).expect("nothing more"), None);
        assert_eq!(pins.levels().expect("levels"), [true, true]);
        assert_eq!(pins.describe(), "pin BCM 4 by rppal, active high; pin BCM 5 by rppal, active low");
    }

    #[test]
    fn a_change_while_it_waits_ends_the_waiting() {
        let wires = Arc::new(AtomicU8::new(0));
        let clock = Arc::new(SimulatedClock::new(Timestamp::UNIX_EPOCH));
        let mut pins = PolledPins::with(Box::new(Arc::clone(&wires)), &[pin(4, false)], clock);
        let press = thread::spawn(move || wires.store(1, Ordering::SeqCst));
        assert!(pins.next(Duration::from_secs(10)).expect("an edge").is_some_and(|edge| edge.active));
        press.join().expect("pressed");
    }

    #[test]
    fn off_a_pi_it_says_so() {
        if std::path::Path::new("/sys/firmware/devicetree/base/compatible").exists() {
            eprintln!("skipped: this machine may be a Raspberry Pi, and its pins are not touched");
            return;
        }
        let clock = Arc::new(SimulatedClock::new(Timestamp::UNIX_EPOCH));
        let error = PolledPins::open(&[pin(17, false)], clock).err().expect("no Pi");
        assert!(error.message().contains("input pin BCM 17") && error.message().contains("no Raspberry Pi"), "{error}");
    }
}
