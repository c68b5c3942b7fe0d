//! What is refused, and how it is said.

use super::*;

#[test]
fn the_defaults_are_valid_and_print_as_they_are_read() {
    let settings: Settings = serde_json::from_str("{}").expect("every key has a default");
    assert_eq!(settings, Settings::default());
    for settings in [settings, turnstile(|_| {}).settings] {
        let printed = serde_json::to_string(&settings).expect("prints");
        assert_eq!(serde_json::from_str::<Settings>(&printed).expect("its own print"), settings);
    }
    assert!(serde_json::from_str::<Settings>("{\"rex_shunt\": 3}").is_err(), "an unknown key");
    assert!(serde_json::from_str::<Settings>("{\"turnstile\": {\"que\": 3}}").is_err(), "an unknown key");
}

#[test]
fn every_value_out_of_its_range_is_refused_by_key_value_and_range() {
    type Change = fn(&mut Setup);
    fn turn(setup: &mut Setup, change: fn(&mut TurnstileSettings)) {
        let mut settings = TurnstileSettings::default();
        change(&mut settings);
        setup.settings.turnstile = Some(settings);
        setup.wiring = Wiring::default();
    }
    let cases: &[(Change, &[&str])] = &[
        (|s| s.pulse_ms = 0, &["door.pulse_ms is 0", "100 to 60000", "[door]"]),
        (|s| s.pulse_ms = 60_001, &["door.pulse_ms is 60001"]),
        (|s| s.settings.extended_pulse_ms = 99, &["door.controller.extended_pulse_ms is 99", "100 to 120000"]),
        (|s| s.settings.opening_grace_ms = 5_001, &["opening_grace_ms", "0 to 5000"]),
        (|s| s.settings.held_open_warning_s = 3_601, &["held_open_warning_s", "0 to 3600 (seconds"]),
        (|s| s.settings.held_open_alarm_s = 3_601, &["held_open_alarm_s", "0 to 3600 (seconds"]),
        (|s| s.settings.extended_held_open_s = 3_601, &["extended_held_open_s", "0 to 3600"]),
        (|s| s.settings.rex_shunt_ms = 60_001, &["rex_shunt_ms", "0 to 60000"]),
        (|s| s.settings.buzzer_beep_ms = 10_001, &["buzzer_beep_ms", "0 to 10000"]),
        (|s| s.settings.buzzer_pause_ms = 10_001, &["buzzer_pause_ms", "0 to 10000"]),
        (|s| s.settings.held_open_warning_s = 30, &["held_open_warning_s is 30", "alarm comes after 30 s", "below"]),
        (
            |s| (s.fail, s.settings.release_on_fire) = (FailState::Safe, Some(false)),
            &["release_on_fire is false", "fail-safe", "remove release_on_fire"],
        ),
        (
            |s| (s.wiring, s.settings.release_on_fire) = (Wiring::default(), Some(true)),
            &["door.controller.release_on_fire is true", "no door.inputs.fire", "wire the fire panel"],
        ),
        (
            |s| (s.wiring, s.settings.fire_latches) = (Wiring::default(), true),
            &["door.controller.fire_latches is true", "no door.inputs.fire"],
        ),
        (
            |s| s.wiring = s.wiring.with(Sensor::Rex, Duration::from_millis(5_001)),
            &["door.inputs.rex.debounce_ms is 5001", "0 to 5000", "[door.inputs.rex]"],
        ),
        (|s| s.wiring = s.wiring.with(Sensor::PassageExit, SETTLE), &["door.inputs.passage_exit", "turnstile"]),
        (|s| turn(s, |t| t.passage_timeout_ms = 499), &["turnstile.passage_timeout_ms", "500 to 60000"]),
        (|s| turn(s, |t| t.gap_ms = 49), &["turnstile.gap_ms", "50 to 5000"]),
        (|s| turn(s, |t| t.queue = 5), &["turnstile.queue is 5", "0 to 4", "[door.controller.turnstile]"]),
        (|s| turn(s, |t| t.tailgating_window_ms = 10_001), &["tailgating_window_ms", "0 to 10000"]),
        (|s| turn(s, |t| t.alarm_s = 0), &["turnstile.alarm_s is 0", "1 to 600"]),
        (
            |s| s.settings.turnstile = Some(TurnstileSettings::default()),
            &["door.inputs.contact", "this is a turnstile", "passage_entry"],
        ),
    ];
    for (change, words) in cases {
        let fault = Controller::new(&setup(change)).expect_err(words[0]);
        let said = format!("{} – {}", fault.message, fault.help);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[test]
fn everything_is_named_as_in_the_configuration() {
    for sensor in Sensor::ALL {
        assert_eq!(serde_json::to_value(sensor).expect("prints"), sensor.key());
        assert_eq!(Sensor::ALL[sensor.index()], sensor);
    }
    for refusal in [
        Refusal::Lockdown,
        Refusal::Interlock,
        Refusal::Repeated,
        Refusal::Busy,
        Refusal::Fire,
        Refusal::Late,
        Refusal::Stopped,
    ] {
        assert_eq!(serde_json::to_value(refusal).expect("prints"), refusal.code());
        assert!(!refusal.sentence().is_empty());
    }
    for (at, alarm) in Alarm::ALL.into_iter().enumerate() {
        assert_eq!(alarm as usize, at);
    }
    let told = Happening::Unlocked { lane: Passage::Exit, by: Cause::FreeAccess, tag: None };
    let printed = serde_json::to_string(&told).expect("prints");
    assert_eq!(printed, r#"{"happening":"unlocked","lane":"exit","by":"free_access"}"#);
}
