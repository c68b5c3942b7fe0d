//! What holds for every sequence of inputs.

use proptest::prelude::*;

use super::*;

fn sensors() -> impl Strategy<Value = Sensor> {
    prop::sample::select(&Sensor::ALL[..])
}

fn inputs() -> impl Strategy<Value = Input> {
    let passage = prop_oneof![Just(Passage::Entry), Just(Passage::Exit)];
    let class = prop_oneof![3 => Just(Class::Standard), 1 => Just(Class::Extended)];
    let command = prop_oneof![
        3 => passage.clone().prop_map(|passage| Command::Unlock { passage }),
        1 => Just(Command::Hold),
        1 => any::<bool>().prop_map(|on| Command::FreeAccess { on }),
        1 => Just(Command::Lockdown),
        3 => Just(Command::Release),
        1 => Just(Command::EndEmergency),
        2 => Just(Command::ResetAlarms),
    ];
    prop_oneof![
        6 => (0u64..40, class, passage).prop_map(|(tag, class, passage)| Input::Grant { tag, class, passage }),
        16 => (sensors(), any::<bool>()).prop_map(|(sensor, active)| Input::Level { sensor, active }),
        1 => sensors().prop_map(Input::SensorLost),
        2 => sensors().prop_map(Input::SensorFound),
        4 => command.prop_map(Input::Command),
        1 => any::<bool>().prop_map(Input::FreeAccess),
        1 => any::<bool>().prop_map(Input::InterlockFree),
        2 => Just(Input::Tick),
    ]
}

fn days() -> impl Strategy<Value = Vec<(Input, u64)>> {
    let gap = prop_oneof![3 => 0u64..60, 3 => 60u64..2_000, 1 => 2_000u64..40_000];
    prop::collection::vec((inputs(), gap), 1..120)
}

fn setups() -> impl Strategy<Value = Setup> {
    let relock = prop_oneof![Just(Relock::OnOpen), Just(Relock::OnClose), Just(Relock::AtEnd)];
    (any::<bool>(), any::<bool>(), relock, any::<bool>(), any::<bool>(), prop_oneof![Just(0u64), Just(30)]).prop_map(
        |(safe, turn, relock, latches, rex, settle)| {
            let change = |setup: &mut Setup| {
                setup.fail = if safe { FailState::Safe } else { FailState::Secure };
                (setup.settings.relock, setup.settings.fire_latches) = (relock, latches);
                setup.settings.rex_in_lockdown = rex;
                let wiring = setup.wiring;
                for sensor in Sensor::ALL.into_iter().filter(|&sensor| wiring.has(sensor)) {
                    setup.wiring = setup.wiring.with(sensor, Duration::from_millis(settle));
                }
            };
            if turn { turnstile(change) } else { setup(change) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// How often somebody asks changes nothing: with a tick at each deadline, with many more, and with none at all the same
    /// happens, in the same order, and the door ends in the same state.
    #[test]
    fn ticks_change_nothing(setup in setups(), day in days(), every in 1u64..700) {
        let mut doors = [(); 3].map(|()| Controller::new(&setup).expect("valid"));
        let mut told = [(); 3].map(|()| Vec::new());
        let (mut now, mut deadline) = (0, None::<Moment>);
        for (input, gap) in day {
            let end = now + gap;
            while let Some(due) = deadline.filter(|&due| due <= at(end)) {
                deadline = doors[0].on(Input::Tick, due, &mut told[0]).deadline;
                prop_assert!(deadline.is_none_or(|later| later > due));
            }
            while now < end {
                now = end.min(now + every);
                doors[1].on(Input::Tick, at(now), &mut told[1]);
            }
            let steps = [0, 1, 2].map(|at_| doors[at_].on(input, at(now), &mut told[at_]));
            prop_assert_eq!(steps[0], steps[1]);
            prop_assert_eq!(steps[0], steps[2]);
            deadline = steps[0].deadline;
            prop_assert!(deadline.is_none_or(|due| due > at(now)), "due at once");
        }
        prop_assert_eq!(&told[0], &told[1]);
        prop_assert_eq!(&told[0], &told[2]);
    }

    /// Whatever happened before: a lockdown locks, unless there is fire or somebody is on the way out, who is let out; and a
    /// fail-safe door with fire is released.
    #[test]
    fn lockdown_locks_and_fire_releases(setup in setups(), day in days()) {
        let mut bench = Bench::new(&setup);
        let mut asked = false;
        for (input, gap) in day {
            asked |= matches!(input, Input::Level { sensor: Sensor::Rex, active: true });
            bench.on(input);
            bench.run(gap);
        }
        // A request to exit that is about to be steady is one that comes in lockdown.
        bench.run(1_000);
        bench.on(Input::Command(Command::Lockdown));
        let on_the_way_out = asked && setup.settings.rex_in_lockdown;
        prop_assert!(!bench.unlocked() || bench.door.mode() == Mode::Emergency || on_the_way_out);
        // Longer than every pulse.
        bench.run(120_000);
        prop_assert!(!bench.unlocked() || bench.door.mode() == Mode::Emergency);
        bench.on(Input::SensorFound(Sensor::Fire));
        bench.sense(Sensor::Fire, true);
        let released = setup.fail == FailState::Safe;
        prop_assert_eq!(bench.unlocked(), released);
        prop_assert!(!bench.last.outputs.strike, "de-energised is released there, and locked elsewhere");
        bench.on(Input::Shutdown);
        prop_assert_eq!(bench.unlocked(), released);
    }

    /// Alarms are raised and cleared by turns, locks let go and hold by turns, and a clock that goes back does no harm.
    #[test]
    fn everything_ends_as_it_began(setup in setups(), day in days(), back in 0u64..5_000) {
        let mut door = Controller::new(&setup).expect("valid");
        let (mut now, mut told, mut alarms, mut lanes) = (back, Vec::new(), [false; 5], [false; 2]);
        let mut passed = std::collections::HashSet::new();
        for (index, (input, gap)) in day.into_iter().enumerate() {
            // Each grant is another person's.
            let input = match input {
                Input::Grant { class, passage, .. } => Input::Grant { tag: index as u64, class, passage },
                other => other,
            };
            now += gap;
            door.on(input, at(now - if index % 7 == 0 { back } else { 0 }), &mut told);
            for happening in told.drain(..) {
                match happening {
                    Happening::Raised { alarm } => {
                        prop_assert!(!std::mem::replace(&mut alarms[alarm as usize], true));
                    }
                    Happening::Cleared { alarm } => {
                        prop_assert!(std::mem::replace(&mut alarms[alarm as usize], false));
                    }
                    Happening::Unlocked { lane, .. } => {
                        prop_assert!(!std::mem::replace(&mut lanes[lane as usize], true));
                    }
                    Happening::Locked { lane } => prop_assert!(std::mem::replace(&mut lanes[lane as usize], false)),
                    Happening::Passed { tag: Some(tag), .. } | Happening::NobodyPassed { tag: Some(tag), .. } => {
                        prop_assert!(passed.insert(tag), "{} was told twice", tag);
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(lanes.contains(&true), door.is_unlocked());
            prop_assert!(Alarm::ALL.iter().all(|&alarm| door.stands(alarm) == alarms[alarm as usize]));
        }
    }
}
