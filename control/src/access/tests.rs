use std::time::Duration;

use proptest::prelude::*;

use super::*;

const BLURRED: Flaw = Flaw { code: "too_blurred", advice: "hold still" };

fn at(ms: u64) -> Moment {
    Moment::from_start(Duration::from_millis(ms))
}

fn seen(track: u64, subject: &str, similarity: f32, ms: u64) -> Observation {
    let sighting = Sighting::Match { subject: subject.into(), similarity, runner_up: None };
    Observation { track: Track(track), sighting, living: None, at: at(ms) }
}

fn stranger(track: u64, ms: u64) -> Observation {
    Observation { track: Track(track), sighting: Sighting::Stranger { similarity: 0.31 }, living: None, at: at(ms) }
}

fn code(decision: Option<Decision>) -> Option<&'static str> {
    decision.map(|decision| decision.code())
}

#[test]
fn two_of_three_frames_open_the_door_once() {
    let mut decider = Decider::new(Policy::default());
    assert_eq!(decider.observe(seen(1, "EMP-001", 0.80, 0)), None);
    assert_eq!(decider.observe(seen(1, "EMP-001", 0.40, 100)), None);
    let decision = decider.observe(seen(1, "EMP-001", 0.83, 200)).expect("two of three agree");
    assert_eq!(decision.describe(), "granted to EMP-001: similarity 0.83, 2 of 3 frames");
    assert_eq!((decision.granted(), decision.code(), decision.at), (true, "agreed", at(200)));
    for ms in (300..120_000).step_by(100) {
        assert_eq!(
            decider.observe(seen(1, "EMP-001", 0.83, ms)),
            None,
            "one track opens once, also after the cooldown"
        );
    }
}

#[test]
fn a_stranger_is_denied_once_and_then_only_every_interval() {
    let mut decider = Decider::new(Policy::default());
    assert_eq!(decider.observe(stranger(1, 0)), None);
    assert_eq!(decider.observe(stranger(1, 100)), None);
    let decision = decider.observe(stranger(1, 200)).expect("the window is full");
    assert_eq!(decision.describe(), "denied: nobody enrolled is similar enough (best similarity 0.31)");
    for ms in (300..5_200).step_by(100) {
        assert_eq!(decider.observe(stranger(1, ms)), None);
    }
    assert_eq!(code(decider.observe(stranger(1, 5_200))), Some("below_threshold"));
}

#[test]
fn an_enrolled_person_after_weak_frames_is_not_denied_first() {
    let mut decider = Decider::new(Policy::default());
    decider.observe(stranger(1, 0));
    assert_eq!(decider.observe(stranger(1, 100)), None);
    assert_eq!(decider.observe(seen(1, "A", 0.7, 200)), None, "the next frame may agree");
    assert_eq!(code(decider.observe(seen(1, "A", 0.7, 300))), Some("agreed"));
}

#[test]
fn close_runners_up_are_ambiguous() {
    let mut decider = Decider::new(Policy::default());
    let mut look = |ms, runner_up| {
        let sighting = Sighting::Match { subject: "A".into(), similarity: 0.80, runner_up: Some(runner_up) };
        code(decider.observe(Observation { track: Track(1), sighting, living: None, at: at(ms) }))
    };
    assert_eq!([look(0, 0.79), look(1, 0.79), look(2, f32::NAN)], [None, None, Some("ambiguous")]);
    assert_eq!([look(3, 0.70), look(4, 0.70)], [None, Some("agreed")]);
}

#[test]
fn a_track_that_changes_its_subject_collects_votes_anew() {
    let mut decider = Decider::new(Policy::default());
    assert_eq!(decider.observe(seen(1, "A", 0.9, 0)), None);
    assert_eq!(decider.observe(seen(1, "B", 0.9, 1)), None);
    assert_eq!(code(decider.observe(seen(1, "A", 0.9, 2))), Some("not_agreed"), "A's first vote is void");
    assert_eq!(code(decider.observe(seen(1, "A", 0.9, 3))), Some("agreed"));
}

#[test]
fn stale_votes_do_not_count() {
    let mut decider = Decider::new(Policy::default());
    decider.observe(seen(1, "A", 0.9, 0));
    assert_eq!(decider.observe(seen(1, "A", 0.9, 2_001)), None);
    assert_eq!(code(decider.observe(seen(1, "A", 0.9, 4_001))), Some("agreed"), "2,000 ms old is fresh");
}

#[test]
fn the_cooldown_holds_across_tracks_and_ends() {
    let mut decider = Decider::new(Policy::default());
    decider.observe(seen(1, "A", 0.9, 0));
    assert_eq!(code(decider.observe(seen(1, "A", 0.9, 100))), Some("agreed"));
    decider.observe(seen(2, "A", 0.9, 5_000));
    let denied = decider.observe(seen(2, "A", 0.9, 5_100)).expect("told once");
    assert_eq!(denied.describe(), "denied to A: the door opened for this person a moment ago (best similarity 0.90)");
    assert_eq!(decider.observe(seen(2, "A", 0.9, 5_200)), None);
    decider.observe(seen(3, "A", 0.9, 10_050));
    assert_eq!(code(decider.observe(seen(3, "A", 0.9, 10_099))), Some("cooldown"));
    assert_eq!(code(decider.observe(seen(3, "A", 0.9, 10_100))), Some("agreed"));
}

fn living(score: f32, frames: u32) -> Option<Living> {
    Some(Living { score, frames, flaw: Flaw { code: "network", advice: "come closer" } })
}

#[test]
fn where_liveness_is_required_a_grant_waits_for_it_and_a_picture_is_told_apart() {
    let policy = Policy { liveness: PadPolicy::Required, liveness_frames: 3, ..Policy::default() };
    let mut decider = Decider::new(policy.clone());
    let mut look = |track, ms, living| code(decider.observe(Observation { living, ..seen(track, "A", 0.9, ms) }));
    assert_eq!([look(1, 0, None), look(1, 100, living(0.9, 2)), look(1, 200, None)], [None, None, None], "not yet");
    assert_eq!(look(1, 300, living(0.2, 4)), Some("liveness_failed"));
    assert_eq!(look(1, 400, living(f32::NAN, 5)), None, "told a moment ago");
    assert_eq!(look(1, 500, living(0.5, 6)), Some("agreed"), "what spoke against it was a glitch");
    // Another face begins anew.
    assert_eq!([look(2, 11_000, living(0.9, 1)), look(2, 11_100, living(0.9, 2))], [None, None]);

    for liveness in [PadPolicy::Off, PadPolicy::Advisory] {
        let mut decider = Decider::new(Policy { liveness, ..policy.clone() });
        decider.observe(seen(1, "A", 0.9, 0));
        let observation = Observation { living: living(0.0, 9), ..seen(1, "A", 0.9, 100) };
        assert_eq!(code(decider.observe(observation)), Some("agreed"), "{liveness:?} keeps nobody out");
    }
}

#[test]
fn whom_the_rules_refuse_is_told_once_and_asked_about_again() {
    let mut decider = Decider::new(Policy::default());
    decider.observe(seen(1, "A", 0.9, 0));
    let granted = decider.observe(seen(1, "A", 0.9, 100)).expect("agreed");
    let denied = decider.refuse(&granted, rules::RuleReason::OutsideHours).expect("told once");
    assert_eq!((denied.granted(), denied.code(), denied.at), (false, "outside_hours", at(100)));
    let again = decider.observe(seen(1, "A", 0.9, 200)).expect("neither the track nor a cooldown stands in the way");
    assert!(again.granted());
    assert_eq!(decider.refuse(&again, rules::RuleReason::OutsideHours), None, "not told with every frame");
    assert_eq!(decider.observe(seen(1, "A", 0.9, 5_100)), None, "those votes are old");
    let later = decider.observe(seen(1, "A", 0.9, 5_200)).expect("agreed");
    assert_eq!(code(decider.refuse(&later, rules::RuleReason::OutsideHours)), Some("outside_hours"), "told again");
    assert!(decider.observe(seen(1, "A", 0.9, 5_300)).is_some());
    assert_eq!(decider.observe(seen(1, "A", 0.9, 5_400)), None, "the rules allowed the last one: the track is used");
}

#[test]
fn a_grant_that_the_door_refused_is_given_back_after_a_moment() {
    let mut decider = Decider::new(Policy::default());
    decider.observe(seen(1, "A", 0.9, 0));
    let granted = decider.observe(seen(1, "A", 0.9, 100)).expect("agreed");
    assert!(decider.has_opened(Track(1)));
    decider.give_back(&granted, at(1_100));
    assert!(!decider.has_opened(Track(1)));
    for ms in (200..1_100).step_by(100) {
        assert_eq!(decider.observe(seen(1, "A", 0.9, ms)), None, "not with every frame");
    }
    let again = decider.observe(seen(1, "A", 0.9, 1_100)).expect("neither the track nor a cooldown stands in the way");
    assert!(again.granted());
    // What is given back late does not take away what was granted since.
    decider.give_back(&granted, at(9_000));
    decider.observe(seen(2, "A", 0.9, 1_200));
    assert_eq!(code(decider.observe(seen(2, "A", 0.9, 1_300))), Some("cooldown"));
}

#[test]
fn whoever_did_not_pass_in_time_is_told_and_does_not_open_the_door_for_ever() {
    let mut decider = Decider::new(Policy::default());
    decider.observe(seen(1, "A", 0.9, 0));
    let granted = decider.observe(seen(1, "A", 0.9, 100)).expect("agreed");
    assert_eq!(decider.observe(seen(1, "A", 0.9, 200)), None, "they are on their way");
    decider.missed(&granted);
    assert_eq!(decider.observe(seen(1, "A", 0.9, 3_000)), None, "one vote is fresh");
    let told: Vec<_> =
        (3_100..60_000).step_by(100).filter_map(|ms| code(decider.observe(seen(1, "A", 0.9, ms)))).collect();
    assert_eq!(told, ["not_used"; 12], "every five seconds");
    decider.observe(seen(2, "A", 0.9, 60_000));
    assert_eq!(code(decider.observe(seen(2, "A", 0.9, 60_100))), Some("agreed"), "on coming again");
}

#[test]
fn a_used_track_opens_for_nobody_else() {
    let mut decider = Decider::new(Policy::default());
    decider.observe(seen(1, "A", 0.9, 0));
    decider.observe(seen(1, "A", 0.9, 1));
    decider.observe(seen(1, "B", 0.9, 20_000));
    assert_eq!(code(decider.observe(seen(1, "B", 0.9, 20_001))), Some("track_used"));
    assert_eq!(decider.observe(stranger(1, 40_000)), None);
}

#[test]
fn whoever_numbers_tracks_anew_takes_no_cooldown_and_no_grant_back() {
    let mut decider = Decider::new(Policy::default());
    decider.observe(seen(1, "A", 0.9, 0));
    let granted = decider.observe(seen(1, "A", 0.9, 100)).expect("granted");
    decider.observe(seen(2, "B", 0.9, 100));
    decider.forget_tracks();
    assert_eq!(decider.observe(seen(2, "B", 0.9, 200)), None, "B's first vote is void");
    decider.observe(seen(1, "A", 0.9, 200));
    assert_eq!(code(decider.observe(seen(1, "A", 0.9, 300))), Some("cooldown"));
    // What the door refused is given back all the same, to whomever the track's number was given since.
    decider.give_back(&granted, at(1_100));
    assert_eq!(code(decider.observe(seen(1, "A", 0.9, 400))), Some("agreed"));
    decider.missed(&granted);
    assert_eq!(decider.observe(seen(1, "A", 0.9, 500)), None, "the other grant of that number is another");
}

#[test]
fn poor_quality_is_told_once_per_reason_and_interval() {
    let mut decider = Decider::new(Policy::default());
    let mut look = |ms, flaw| {
        code(decider.observe(Observation {
            track: Track(1),
            sighting: Sighting::PoorQuality(flaw),
            living: None,
            at: at(ms),
        }))
    };
    let dark = Flaw { code: "too_dark", advice: "more light" };
    assert_eq!([look(0, BLURRED), look(1, BLURRED), look(2, BLURRED)], [None, None, Some("too_blurred")]);
    assert_eq!([look(3, dark), look(4, BLURRED), look(5_001, dark)], [Some("too_dark"), None, None]);
    assert_eq!(look(5_002, BLURRED), Some("too_blurred"));
}

#[test]
fn poor_frames_neither_vote_nor_use_up_the_window() {
    let mut decider = Decider::new(Policy::default());
    decider.observe(seen(1, "A", 0.9, 0));
    for ms in 1..50 {
        let sighting = Sighting::PoorQuality(BLURRED);
        decider.observe(Observation { track: Track(1), sighting, living: None, at: at(ms) });
    }
    assert_eq!(code(decider.observe(seen(1, "A", 0.9, 50))), Some("agreed"));
}

#[test]
fn a_new_policy_voids_votes_but_not_the_cooldown() {
    let mut decider = Decider::new(Policy::default());
    decider.observe(seen(1, "A", 0.9, 0));
    decider.observe(seen(2, "B", 0.9, 0));
    decider.observe(seen(2, "B", 0.9, 1));
    decider.set_policy(Policy { threshold: 0.5, ..Policy::default() });
    assert_eq!(decider.observe(seen(1, "A", 0.9, 2)), None);
    decider.observe(seen(3, "B", 0.9, 3));
    assert_eq!(code(decider.observe(seen(3, "B", 0.9, 4))), Some("cooldown"));
}

#[test]
fn memory_is_bounded() {
    let mut decider = Decider::new(Policy::default());
    for track in 0..100_000 {
        decider.observe(seen(track, "A", 0.9, track / 100));
        assert!(decider.held() <= 257, "256 tracks and one cooldown");
    }
    decider.expire(at(600_000));
    assert_eq!(decider.held(), 0);
}

#[test]
fn policies_out_of_range_name_key_value_and_range() {
    assert!(Policy::default().validate().is_ok());
    let default = Policy::default;
    let wrong = [
        ("threshold", Policy { threshold: 0.0, ..default() }),
        ("threshold", Policy { threshold: f32::NAN, ..default() }),
        ("threshold", Policy { threshold: 1.01, ..default() }),
        ("margin", Policy { margin: -0.01, ..default() }),
        ("margin", Policy { margin: f32::NAN, ..default() }),
        ("votes", Policy { votes: 4, ..default() }),
        ("votes", Policy { votes: 0, ..default() }),
        ("window", Policy { window: 31, ..default() }),
        ("liveness_threshold", Policy { liveness_threshold: f32::NAN, ..default() }),
        ("liveness_frames", Policy { liveness_frames: 0, ..default() }),
        ("vote_age_ms", Policy { vote_age_ms: 99, ..default() }),
        ("cooldown_ms", Policy { cooldown_ms: 3_600_001, ..default() }),
        ("deny_interval_ms", Policy { deny_interval_ms: 0, ..default() }),
    ];
    for (key, policy) in wrong {
        let error = policy.validate().expect_err(key);
        assert!(error.message.starts_with(&format!("access.{key} is ")), "{error}");
        assert!(error.message.contains("must be"), "{error}");
    }
    let unknown = serde_json::from_str::<Policy>(r#"{"treshold": 0.7}"#).expect_err("unknown keys are refused");
    assert!(unknown.to_string().contains("treshold"));
}

fn similarity() -> impl Strategy<Value = f32> {
    prop_oneof![6 => 0.5f32..0.9, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY), 1 => Just(0.6f32)]
}

fn sighting() -> impl Strategy<Value = Sighting> {
    prop_oneof![
        8 => (prop::sample::select(vec!["A", "B", "C"]), similarity(), prop::option::of(similarity()))
            .prop_map(|(id, similarity, runner_up)| Sighting::Match { subject: id.into(), similarity, runner_up }),
        1 => similarity().prop_map(|similarity| Sighting::Stranger { similarity }),
        1 => Just(Sighting::PoorQuality(BLURRED)),
    ]
}

/// Sightings of a few tracks, in the order of time.
fn story() -> impl Strategy<Value = Vec<Observation>> {
    let living =
        prop::option::of((similarity(), 0u32..6).prop_map(|(score, frames)| Living { score, frames, flaw: BLURRED }));
    prop::collection::vec((0u64..4, sighting(), living, 0u64..1_500), 1..120).prop_map(|steps| {
        let mut now = 0;
        let mut observe = |(track, sighting, living, gap)| {
            now += gap;
            Observation { track: Track(track), sighting, living, at: at(now) }
        };
        steps.into_iter().map(&mut observe).collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let pad = prop::sample::select(vec![PadPolicy::Off, PadPolicy::Advisory, PadPolicy::Required]);
    (1u32..6, 0u32..4, 0u64..8_000, 100u64..4_000, 0.0f32..0.2, pad).prop_map(
        |(votes, more, cooldown_ms, vote_age_ms, margin, liveness)| Policy {
            liveness,
            votes,
            window: votes + more,
            cooldown_ms,
            vote_age_ms,
            margin,
            ..Policy::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The rule, told a second time in the plainest way, over whole histories.
    #[test]
    fn nobody_is_granted_without_enough_votes(story in story(), policy in policies()) {
        prop_assert!(policy.validate().is_ok());
        let mut decider = Decider::new(policy.clone());
        for (index, observation) in story.iter().enumerate() {
            let Some(decision) = decider.observe(observation.clone()) else { continue };
            prop_assert_eq!(decision.track, observation.track);
            let Outcome::Granted { subject, similarity, votes, frames } = decision.outcome else { continue };
            prop_assert!(similarity.is_finite() && similarity >= policy.threshold);
            prop_assert!(votes >= policy.votes && votes <= frames && frames <= policy.window);
            let usable = story[..=index].iter().rev().filter(|past| {
                past.track == observation.track && !matches!(past.sighting, Sighting::PoorQuality(_))
            });
            let support = usable.take(policy.window as usize).filter(|past| {
                let fresh = observation.at.since(past.at).as_millis() <= u128::from(policy.vote_age_ms);
                fresh && match &past.sighting {
                    Sighting::Match { subject: best, similarity, runner_up } => {
                        *best == subject && similarity.is_finite() && *similarity >= policy.threshold
                            && runner_up.is_none_or(|second| similarity - second >= policy.margin)
                    }
                    _ => false,
                }
            });
            prop_assert!(support.count() >= policy.votes as usize);
            if policy.liveness == PadPolicy::Required {
                let living = observation.living.expect("nobody passes without it");
                prop_assert!(living.frames >= policy.liveness_frames && living.score >= policy.liveness_threshold);
            }
        }
    }

    /// Advice decides nothing.
    #[test]
    fn liveness_changes_nothing_unless_it_is_required(story in story(), policy in policies()) {
        let decide = |liveness, living: bool| {
            let mut decider = Decider::new(Policy { liveness, ..policy.clone() });
            let seen = story.iter().cloned().map(|o| Observation { living: o.living.filter(|_| living), ..o });
            seen.filter_map(|observation| decider.observe(observation)).collect::<Vec<_>>()
        };
        prop_assert_eq!(decide(PadPolicy::Advisory, true), decide(PadPolicy::Off, false));
    }

    #[test]
    fn cooldowns_hold_and_tracks_open_once(story in story(), policy in policies()) {
        let mut decider = Decider::new(policy.clone());
        let grants: Vec<_> = story.into_iter().filter_map(|observation| decider.observe(observation))
            .filter_map(|decision| match decision.outcome {
                Outcome::Granted { subject, .. } => Some((subject, decision.track, decision.at)),
                Outcome::Denied { .. } => None,
            }).collect();
        for (index, (subject, track, at)) in grants.iter().enumerate() {
            for (earlier, same_track, before) in &grants[..index] {
                prop_assert!(track != same_track);
                prop_assert!(earlier != subject || at.since(*before).as_millis() >= u128::from(policy.cooldown_ms));
            }
        }
    }

    /// Without a cooldown, which is the one thing that tracks share, each track is decided as if it were alone.
    #[test]
    fn tracks_are_independent(story in story(), policy in policies()) {
        let policy = Policy { cooldown_ms: 0, ..policy };
        let mut together = Decider::new(policy.clone());
        let mut mixed: Vec<_> = story.iter().cloned().filter_map(|observation| together.observe(observation)).collect();
        let mut apart = Vec::new();
        for track in 0..4 {
            let mut alone = Decider::new(policy.clone());
            apart.extend(story.iter().filter(|o| o.track == Track(track)).cloned().filter_map(|o| alone.observe(o)));
        }
        mixed.sort_by_key(|decision| decision.track);
        prop_assert_eq!(mixed, apart);
    }

    #[test]
    fn denials_of_a_cause_keep_their_distance(story in story(), policy in policies()) {
        let mut decider = Decider::new(policy.clone());
        let mut told = std::collections::HashMap::new();
        for decision in story.into_iter().filter_map(|observation| decider.observe(observation)) {
            if decision.granted() {
                continue;
            }
            if let Some(before) = told.insert((decision.track, decision.code()), decision.at) {
                prop_assert!(decision.at.since(before).as_millis() >= u128::from(policy.deny_interval_ms));
            }
        }
    }
}
