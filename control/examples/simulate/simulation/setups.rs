//! Doors as installers set them up, and as nobody would.

use std::time::Duration;

use facegate_control::door::{FailState, Relock, Sensor, Settings, Setup, TurnstileSettings, Wiring};

use super::random::Random;

/// Valid settings of a door; of a turnstile in half of the cases where that may be.
pub fn random(random: &mut Random, may_turn: bool) -> Setup {
    let turnstile = may_turn && random.coin();
    let mut wiring = Wiring::default();
    for sensor in Sensor::ALL {
        let fits = match sensor {
            Sensor::Contact => !turnstile,
            Sensor::PassageEntry | Sensor::PassageExit => turnstile,
            _ => true,
        };
        if fits && random.percent(90) {
            let settle = random.pick(&[0, 5, 30, 30, 30, 100, 500]);
            wiring = wiring.with(sensor, Duration::from_millis(settle));
        }
    }
    let fire = wiring.has(Sensor::Fire);
    let fail = if random.coin() { FailState::Safe } else { FailState::Secure };
    let alarm = random.pick(&[0, 5, 30, 30, 300]);
    let warning = random.pick(&[0, 3, 20]);
    let settings = Settings {
        extended_pulse_ms: random.within(100, 20_000),
        relock: random.pick(&[Relock::OnOpen, Relock::OnOpen, Relock::OnClose, Relock::AtEnd]),
        opening_grace_ms: random.pick(&[0, 500, 500, 5_000]),
        forced_open_alarm: random.percent(85),
        held_open_warning_s: if alarm > 0 && warning >= alarm { 0 } else { warning },
        held_open_alarm_s: alarm,
        extended_held_open_s: random.pick(&[0, 20]),
        rex_unlocks: random.percent(80),
        rex_shunt_ms: random.pick(&[0, 5_000, 15_000]),
        rex_in_lockdown: random.percent(70),
        rex_ignores_interlock: random.percent(25),
        release_on_fire: (fire && fail == FailState::Secure && random.percent(30)).then_some(true),
        fire_latches: fire && random.percent(30),
        buzzer_beep_ms: random.pick(&[0, 0, 200]),
        // Longer than anybody would want to hear, to spend the events on what matters.
        buzzer_pause_ms: random.pick(&[0, 0, 5_000]),
        turnstile: turnstile.then(|| TurnstileSettings {
            passage_timeout_ms: random.within(500, 10_000),
            gap_ms: random.within(50, 1_000),
            queue: random.within(0, 5) as u8,
            tailgating_window_ms: random.pick(&[0, 1_500, 5_000]),
            alarm_s: random.within(1, 20),
        }),
    };
    Setup { fail, pulse_ms: random.within(100, 8_000), wiring, settings }
}
