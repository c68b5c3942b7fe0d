//! What people, operators and faults do at a door.

use facegate_control::{
    Class, Passage,
    door::{Command, Input, Sensor},
};

use super::{
    Micros,
    access::Ask,
    agenda::Act,
    site::{DAY, DOORS, Site},
};

const MS: Micros = 1_000;
const S: Micros = 1_000_000;

/// Plans the next thing that happens at a door.
pub fn plan(site: &mut Site, door: usize) {
    match site.random().within(0, 100) {
        0..42 => visit(site, door),
        42..57 => leave(site, door),
        57..62 => pass(site, door, 0),
        62..68 => operator(site, door),
        68..70 => fire(site, door),
        70..72 => lose_a_sensor(site, door),
        72..75 => press(site, door, Sensor::Tamper, 0, 600 * S),
        75..77 => press(site, door, Sensor::Rex, 0, DAY / 2),
        77..82 => glitches(site, door),
        82..84 => {
            let in_order = site.random().coin();
            site.plan(door, 0, Act::Restart { in_order });
        }
        84..86 => {
            let hours = site.random().pick(&[-8_760, -24, -1, 1, 12, 8_760, 87_600]);
            site.plan(door, 0, Act::WallJump(hours));
        }
        86..94 => crowd(site, door),
        _ => noise(site, door),
    }
}

/// Somebody is granted, and mostly goes through.
fn visit(site: &mut Site, door: usize) {
    grant(site, door, 0);
    if site.random().percent(12) {
        let second = site.random().within(0, 5 * S);
        grant(site, door, second);
    }
    if site.random().percent(88) {
        let after = site.random().within(100 * MS, 9 * S);
        pass(site, door, after);
    }
}

/// Several people in a row, and perhaps one more than was granted.
fn crowd(site: &mut Site, door: usize) {
    let mut after = 0;
    for _ in 0..site.random().within(2, 8) {
        if site.random().percent(90) {
            grant(site, door, after);
        }
        after += site.random().within(200 * MS, 4 * S);
        pass(site, door, after);
    }
}

/// Somebody is recognised: where nobody has written any rules, that is a grant.
fn grant(site: &mut Site, door: usize, after: Micros) {
    let passage = if site.random().percent(60) { Passage::Entry } else { Passage::Exit };
    if site.has_rules() {
        site.plan(door, after, Act::Ask(Ask { door, passage, who: None }));
        return;
    }
    let tag = site.tag();
    let class = if site.random().percent(12) { Class::Extended } else { Class::Standard };
    let grant = Act::Input(Input::Grant { tag, class, passage });
    site.plan(door, after, grant);
    again(site, door, after, grant);
}

/// Now and then a grant is delivered again, later.
pub fn again(site: &mut Site, door: usize, after: Micros, grant: Act) {
    if site.random().percent(8) {
        let again = site.random().within(0, 8 * S);
        site.plan(door, after + again, grant);
    }
}

/// What somebody does whom the rules answered: tries again or elsewhere, asks to be forgiven, or shows up twice.
pub fn answered(site: &mut Site, ask: Ask, who: usize, allowed: bool) {
    let door = if site.random().percent(60) { ask.door } else { site.random().within(0, DOORS as u64) as usize };
    let passage = if site.random().percent(80) { ask.passage } else { opposite(ask.passage) };
    if site.random().percent(if allowed { 8 } else { 50 }) {
        let after = site.random().within(0, 20 * S);
        site.plan(door, after, Act::Ask(Ask { door, passage, who: Some(who) }));
    }
    if !allowed && site.random().percent(10) {
        let after = site.random().within(0, 600 * S);
        let who = if site.random().percent(5) { None } else { Some(who) };
        site.plan(door, after, Act::Forgive(who));
    }
}

fn opposite(passage: Passage) -> Passage {
    if passage == Passage::Entry { Passage::Exit } else { Passage::Entry }
}

/// Somebody wants out, and mostly goes.
fn leave(site: &mut Site, door: usize) {
    press(site, door, Sensor::Rex, 0, 800 * MS);
    if site.random().percent(90) {
        let after = site.random().within(100 * MS, 7 * S);
        pass(site, door, after);
    }
}

/// The door opens and closes, or somebody walks through the turnstile.
fn pass(site: &mut Site, door: usize, after: Micros) {
    let long = site.random().percent(8);
    let stays = if long { site.random().within(10 * S, 400 * S) } else { site.random().within(300 * MS, 9 * S) };
    let sensor = match (site.is_turnstile(door), site.random().percent(60)) {
        (false, _) => Sensor::Contact,
        (true, true) => Sensor::PassageEntry,
        (true, false) => Sensor::PassageExit,
    };
    press(site, door, sensor, after, stays);
}

/// An input becomes active and inactive again, and may bounce both times.
fn press(site: &mut Site, door: usize, sensor: Sensor, after: Micros, longest: Micros) {
    let length = site.random().within(50 * MS, longest.max(51 * MS));
    edge(site, door, sensor, after, true);
    edge(site, door, sensor, after + length, false);
}

fn edge(site: &mut Site, door: usize, sensor: Sensor, after: Micros, active: bool) {
    let mut at = after;
    if site.random().percent(35) {
        for bounce in 0..site.random().within(1, 6) {
            site.plan(door, at, Act::Wire(sensor, active == (bounce % 2 == 0)));
            at += site.random().within(50, 20 * MS);
        }
    }
    site.plan(door, at, Act::Wire(sensor, active));
}

fn operator(site: &mut Site, door: usize) {
    let length = site.random().within(S, 1_800 * S);
    let passage = if site.random().coin() { Passage::Entry } else { Passage::Exit };
    let command = match site.random().within(0, 10) {
        0..2 => Command::Unlock { passage },
        2..4 => Command::Hold,
        4..6 => Command::FreeAccess { on: true },
        6..9 => Command::Lockdown,
        _ => Command::EndEmergency,
    };
    site.plan(door, 0, Act::Input(Input::Command(command)));
    // Life goes on meanwhile.
    for _ in 0..2 {
        let after = site.random().within(0, length);
        if site.random().coin() {
            grant(site, door, after);
        } else {
            press(site, door, Sensor::Rex, after, 800 * MS);
        }
        pass(site, door, after + 500 * MS);
    }
    let end = match command {
        Command::FreeAccess { .. } if site.random().coin() => Command::FreeAccess { on: false },
        _ => Command::Release,
    };
    site.plan(door, length, Act::Input(Input::Command(end)));
    if site.random().percent(40) {
        let after = site.random().within(0, 2 * length);
        site.plan(door, after, Act::Input(Input::Command(Command::ResetAlarms)));
    }
}

/// The fire panel, over a good wire or a loose one, in whatever state the door is.
fn fire(site: &mut Site, door: usize) {
    if site.random().percent(40) {
        operator(site, door);
    }
    let length = site.random().within(S, 600 * S);
    edge(site, door, Sensor::Fire, 0, true);
    if site.random().percent(30) {
        chatter(site, door, Sensor::Fire);
    }
    visit(site, door);
    edge(site, door, Sensor::Fire, length, false);
    if site.random().percent(60) {
        let after = site.random().within(0, 2 * length);
        site.plan(door, after, Act::Input(Input::Command(Command::EndEmergency)));
    }
    site.plan(door, 2 * length, Act::Input(Input::Command(Command::EndEmergency)));
}

fn chatter(site: &mut Site, door: usize, sensor: Sensor) {
    let (mut at, period) = (0, site.random().within(MS, 300 * MS));
    for edge in 0..site.random().within(10, 40) {
        site.plan(door, at, Act::Wire(sensor, edge % 2 == 0));
        at += site.random().within(period / 2, period);
    }
}

fn any_sensor(site: &mut Site) -> Sensor {
    site.random().pick(&Sensor::ALL)
}

fn lose_a_sensor(site: &mut Site, door: usize) {
    let sensor = any_sensor(site);
    let length = site.random().within(S, 3_600 * S);
    site.plan(door, 0, Act::Input(Input::SensorLost(sensor)));
    site.plan(door, length, Act::Input(Input::SensorFound(sensor)));
    visit(site, door);
    let after = site.random().within(0, 2 * length);
    pass(site, door, after);
}

fn glitches(site: &mut Site, door: usize) {
    let sensor = any_sensor(site);
    chatter(site, door, sensor);
    let end = site.random().within(10 * S, 20 * S);
    site.plan(door, end, Act::Wire(sensor, false));
}

/// Anything at all, in any order.
fn noise(site: &mut Site, door: usize) {
    for _ in 0..site.random().within(4, 16) {
        let after = site.random().within(0, 20 * S);
        let (sensor, on) = (any_sensor(site), site.random().coin());
        let command = match site.random().within(0, 8) {
            0 => Command::Unlock { passage: Passage::Entry },
            1 => Command::Unlock { passage: Passage::Exit },
            2 => Command::Hold,
            3 => Command::Lockdown,
            4 | 5 => Command::Release,
            6 => Command::FreeAccess { on },
            _ => Command::ResetAlarms,
        };
        match site.random().within(0, 8) {
            0..2 => grant(site, door, after),
            2..6 => site.plan(door, after, Act::Wire(sensor, on)),
            6 => site.plan(door, after, Act::Input(Input::Command(command))),
            _ => site.plan(door, after, Act::Input(Input::Tick)),
        }
    }
    // Nobody leaves a door like that.
    for sensor in Sensor::ALL {
        site.plan(door, 30 * S, Act::Wire(sensor, false));
    }
    site.plan(door, 30 * S, Act::Input(Input::Command(Command::Release)));
}
