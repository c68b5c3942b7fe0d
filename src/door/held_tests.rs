//! Who is taken to have passed, where locks and cards fail.

use super::*;

/// What has happened, without what moved, once the driver has had nothing to do for a while.
fn happened(driver: &Driver, until: impl Fn(&Happening) -> bool) -> Vec<Happening> {
    let mut seen = Vec::new();
    while !seen.last().is_some_and(&until) {
        match driver.reports().recv_timeout(Duration::from_secs(10)) {
            Ok(Report::Happened { happening, .. }) => seen.push(happening),
            Ok(Report::Edge(_) | Report::Card { .. }) => {}
            Err(_) => panic!("never: {seen:?}"),
        }
    }
    seen
}

fn passed(tag: u64) -> Happening {
    Happening::Passed { tag: Some(tag), passage: Passage::Entry, seen: false }
}

fn nobody_passed(tag: u64) -> Happening {
    Happening::NobodyPassed { tag: Some(tag), passage: Passage::Entry }
}

#[test]
fn nobody_is_taken_to_have_passed_a_lock_that_did_not_let_go() {
    let (clock, lock) = (system(), Bad::default());
    let driver = start_bad(&lock, &clock);
    let ends = |tag| move |happening: &Happening| [passed(tag), nobody_passed(tag)].contains(happening);
    driver.grant(grant(1, clock.now())).expect("heard");
    assert_eq!(happened(&driver, ends(1)).last(), Some(&passed(1)), "no sensor sees it");
    happened(&driver, |happening| matches!(happening, Happening::Locked { .. }));

    lock.failures.store(1, Ordering::SeqCst);
    driver.grant(grant(2, clock.now())).expect("heard");
    assert_eq!(happened(&driver, ends(2)).last(), Some(&passed(2)), "it let go at the second attempt");
    happened(&driver, |happening| matches!(happening, Happening::Locked { .. }));

    lock.failures.store(u64::MAX, Ordering::SeqCst);
    driver.grant(grant(3, clock.now())).expect("heard");
    assert_eq!(happened(&driver, ends(3)).last(), Some(&nobody_passed(3)));
    lock.failures.store(0, Ordering::SeqCst);
    eventually("it works again", || driver.health().healthy);

    lock.panics.store(1, Ordering::SeqCst);
    driver.grant(grant(4, clock.now())).expect("heard");
    assert_eq!(happened(&driver, ends(4)).last(), Some(&nobody_passed(4)), "setting it panicked");
}

/// A door whose relay a panel keeps, by wires that do as they are told, badly.
fn start_reader(wires: &Bad, clock: &Arc<dyn Clock>) -> Driver {
    let reader = r#"d0 = { kind = "simulated" }
        d1 = { kind = "simulated" }"#;
    let reader: WiegandSettings = toml::from_str(reader).expect("settings");
    let lines: [Box<dyn Lock>; 2] = [Box::new(wires.clone()), Box::new(wires.clone())];
    let wiegand = Arc::new(Wiegand::start(&reader, lines).expect("starts"));
    let hardware = Hardware { lock: None, wiegand: Some(wiegand), ..Hardware::only(Box::new(Bad::default())) };
    let settings = Settings { lock: LockSettings::None, wiegand: Some(reader), ..settings(FailState::Secure) };
    Driver::start(&settings, hardware, None, Arc::clone(clock)).expect("starts")
}

#[test]
fn nobody_is_taken_to_have_passed_by_a_card_that_did_not_reach_the_panel() {
    let (clock, wires) = (system(), Bad::default());
    let driver = start_reader(&wires, &clock);
    let present = |tag| {
        let card = Some(Card { facility: 7, number: 9 });
        driver.grant(Grant { card, ..grant(tag, clock.now()) }).expect("heard");
    };
    // What became of a grant, with what was told of its card.
    let ending = |tag: u64| {
        let mut sent = Vec::new();
        loop {
            match driver.reports().recv_timeout(Duration::from_secs(10)).expect("an end") {
                Report::Card { tag: card, sent: whether, .. } if card == tag => sent.push(whether),
                Report::Happened { happening, .. }
                    if happening.tag() == Some(tag) && !matches!(happening, Happening::Unlocked { .. }) =>
                {
                    return (happening, sent);
                }
                _ => {}
            }
        }
    };
    present(1);
    assert_eq!(ending(1), (passed(1), vec![true]));
    // The wire fails in the first pulse, and can be put at rest.
    wires.failures.store(1, Ordering::SeqCst);
    present(2);
    assert_eq!(ending(2), (nobody_passed(2), vec![false]));

    // One card hangs on the wires, the queue takes eight, and the next is not let in at all.
    wires.slow.store(1_500, Ordering::SeqCst);
    for tag in 3..=11 {
        present(tag);
        eventually("it is taken", || driver.grants.is_empty());
        // The first of them leaves the queue.
        thread::sleep(if tag == 3 { 200 * MS } else { MS });
    }
    for tag in 12..=13 {
        present(tag);
    }
    let refused = Happening::Refused { by: Cause::Grant, tag: Some(13), why: Refusal::Busy };
    assert_eq!(ending(13), (refused, Vec::new()));
    wires.slow.store(0, Ordering::SeqCst);
    assert_eq!(ending(3), (passed(3), vec![true]), "slowly");
    assert_eq!(ending(11), (nobody_passed(11), vec![false]), "it came too late for the wires");
    // In lockdown no card is sent, and nobody passes.
    driver.command(Command::Lockdown).expect("heard");
    present(14);
    let refused = Happening::Refused { by: Cause::Grant, tag: Some(14), why: Refusal::Lockdown };
    assert_eq!(ending(14), (refused, Vec::new()));
}
