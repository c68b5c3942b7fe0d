use super::{
    line::tests::{FakePace, read, wires},
    *,
};

fn settings() -> WiegandSettings {
    parse("").expect("all defaults")
}

/// Settings with simulated wires, and what else is said.
fn parse(text: &str) -> Result<WiegandSettings, toml::de::Error> {
    toml::from_str(&format!("d0 = {{ kind = \"simulated\" }}\nd1 = {{ kind = \"simulated\" }}\n{text}"))
}

fn card(number: u16) -> Card {
    Card { facility: 7, number }
}

fn start(good: usize) -> (Wiegand, line::tests::Record, Arc<FakePace>) {
    let pace = Arc::new(FakePace::default());
    let shared: Arc<dyn Pace> = pace.clone();
    let (lines, moved) = wires(&shared, good);
    (Wiegand::with(&settings(), lines, shared).expect("starts"), moved, pace)
}

/// What a panel reads of the frames on the wires.
fn cards(moved: &line::tests::Record) -> Vec<Card> {
    let (bits, _) = read(&moved.lock());
    let frame = |bits: &[bool]| Frame {
        bits: bits.iter().fold(0, |all, &bit| all << 1 | u64::from(bit)),
        format: CardFormat::Bits26,
    };
    bits.chunks(26).map(|bits| frame(bits).decode().expect("a whole frame")).collect()
}

#[test]
fn cards_go_over_the_wires_in_their_order_with_a_rest_between_them() {
    let (wiegand, moved, _) = start(usize::MAX);
    for number in [1, 2, 3] {
        wiegand.send(number.into(), card(number)).expect("queued");
    }
    wiegand.stop().expect("rests");
    assert_eq!(cards(&moved), [card(1), card(2), card(3)]);
    assert_eq!(wiegand.health().sent, 3);
    let (_, pulses) = read(&moved.lock());
    assert!(pulses[26].0 - pulses[25].1 >= GAP);
    wiegand.stop().expect("twice does no harm");
    assert_eq!(wiegand.send(4, card(4)).expect_err("stopped").kind(), Kind::NotReady);
    assert_eq!(wiegand.takes(card(4)).expect_err("stopped").kind(), Kind::NotReady);
}

#[test]
fn both_wires_rest_from_the_start_and_a_wire_that_cannot_does_not_start() {
    let (wiegand, moved, _) = start(usize::MAX);
    let first: Vec<_> = moved.lock().iter().map(|edge| (edge.wire, edge.active)).collect();
    assert_eq!(first, [(0, false), (1, false)]);
    drop(wiegand);
    assert_eq!(moved.lock().len(), 4, "and again at the end");
    let pace: Arc<dyn Pace> = Arc::new(FakePace::default());
    let error = Wiegand::with(&settings(), wires(&pace, 1).0, pace).err().expect("D1 fails");
    assert!(error.message().contains("cannot be put at rest"), "{error}");
}

#[test]
fn a_card_that_waited_for_more_than_a_second_is_dropped() {
    let pace = Arc::new(FakePace::default());
    let shared: Arc<dyn Pace> = pace.clone();
    let (lines, moved) = wires(&shared, usize::MAX);
    let health = Arc::new(Mutex::new(WiegandHealth::default()));
    let (settings, wires) = (settings(), Wires::new(lines));
    let (arrived, carried) = bounded(2);
    let mut courier = Courier {
        wires,
        timing: settings.timing(),
        pace: shared,
        health: Arc::clone(&health),
        free_at: Duration::ZERO,
        arrived,
    };
    let waiting = |number: u16| Waiting {
        tag: number.into(),
        card: card(number),
        frame: CardFormat::Bits26.encode(card(number)).expect("fits"),
        since: pace.now(),
    };
    let (in_time, late) = (waiting(1), waiting(2));
    pace.advance(MAX_AGE);
    courier.deliver(&in_time);
    courier.deliver(&late);
    assert_eq!(cards(&moved), [card(1)]);
    let health = health.lock().clone();
    assert_eq!((health.sent, health.dropped), (1, 1));
    let told: Vec<_> = carried.try_iter().map(|card| (card.tag, card.sent)).collect();
    assert_eq!(told, [(1, true), (2, false)]);
}

#[test]
fn a_wire_that_failed_rests_and_the_next_card_goes() {
    // Two calls put the wires at rest, the fifth is in the middle of a pulse.
    let (wiegand, moved, _) = start(5);
    wiegand.send(1, card(1)).expect("queued");
    wiegand.send(2, card(2)).expect("queued");
    wiegand.stop().expect("rests");
    let health = wiegand.health();
    assert_eq!((health.sent, health.errors, health.healthy), (1, 1, true));
    assert!(health.last_error.is_some_and(|error| error.contains("the wire is broken")));
    let told: Vec<_> = wiegand.carried().try_iter().map(|card| (card.tag, card.sent)).collect();
    assert_eq!(told, [(1, false), (2, true)]);
    let moved = moved.lock();
    let whole = moved.iter().rposition(|edge| edge.at.as_millis() < 100).expect("the first card's");
    assert!(!moved[whole].active, "at rest before the second card");
}

#[test]
fn a_card_with_a_pause_in_it_is_told() {
    for (late_us, stretched) in [(21_000, 1), (1_000, 0)] {
        let pace: Arc<dyn Pace> = Arc::new(FakePace::late(vec![0, 0, 0, 0, late_us]));
        let (lines, moved) = wires(&pace, usize::MAX);
        let wiegand = Wiegand::with(&settings(), lines, pace).expect("starts");
        wiegand.send(1, card(1)).expect("queued");
        wiegand.stop().expect("rests");
        assert_eq!(cards(&moved), [card(1)], "to its end");
        let health = wiegand.health();
        assert_eq!((health.sent, health.stretched), (1, stretched), "{health:?}");
        assert!(health.longest_pulse_us >= 50 && health.longest_interval_us >= 2_000 + late_us);
    }
}

/// A wire that does not return until it is let go, and that panics on request.
struct Stuck {
    go: Receiver<bool>,
    armed: bool,
}

impl Lock for Stuck {
    fn set(&mut self, active: bool) -> Result<()> {
        if self.armed && active && self.go.recv().unwrap_or_default() {
            panic!("this wire panics");
        }
        Ok(())
    }

    fn describe(&self) -> String {
        "stuck".into()
    }
}

#[test]
fn wires_that_hang_block_nobody_and_a_panic_does_not_end_the_thread() {
    let (let_go, go) = bounded(64);
    let line = |armed| -> Box<dyn Lock> { Box::new(Stuck { go: go.clone(), armed }) };
    let pace = Arc::new(FakePace::default());
    let wiegand = Wiegand::with(&settings(), [line(true), line(false)], pace.clone()).expect("starts");
    // One is with the thread, or will be; the queue takes the others.
    let queued = (0..20).filter(|&number| wiegand.send(number.into(), card(number)).is_ok()).count();
    assert!((QUEUE..=QUEUE + 1).contains(&queued), "{queued}");
    assert_eq!(wiegand.health().refused, 20 - queued as u64);
    assert_eq!(wiegand.takes(card(1)).expect_err("full").kind(), Kind::Lock);
    let_go.send(true).expect("heard");
    drop(let_go);
    wiegand.stop().expect("all sent");
    let health = wiegand.health();
    assert_eq!((health.errors, health.sent + health.dropped), (1, queued as u64 - 1));
    assert!(health.last_error.is_some_and(|error| error.contains("panicked")));
}

#[test]
fn settings_parse_and_refuse() {
    assert_eq!((settings().bits, settings().pulse_us, settings().interval_us), (CardFormat::Bits26, 50, 2_000));
    let settings = parse("bits = 34\npulse_us = 100\ninterval_us = 200").expect("parses");
    settings.validate("door.wiegand").expect("in range");
    assert_eq!(settings.bits, CardFormat::Bits34);
    let printed = toml::to_string(&settings).expect("prints");
    assert_eq!(toml::from_str::<WiegandSettings>(&printed).expect("its own print"), settings);
    for (text, words) in [
        ("pulse_us = 19", ["door.wiegand.pulse_us", "19", "20 to 100"]),
        ("pulse_us = 101", ["door.wiegand.pulse_us", "101", "20 to 100"]),
        ("interval_us = 199", ["door.wiegand.interval_us", "199", "200 to 20000"]),
        ("interval_us = 20001", ["door.wiegand.interval_us", "20001", "200 to 20000"]),
    ] {
        let error = parse(text).expect(text).validate("door.wiegand").expect_err(text);
        assert!(words.iter().all(|word| error.message().contains(word)), "{error}");
    }
    assert!(parse("bits = 30").expect_err("30").to_string().contains("only 26 and 34"));
    assert!(parse("pulse = 50").is_err() && toml::from_str::<WiegandSettings>("bits = 26").is_err(), "no wires");
}
