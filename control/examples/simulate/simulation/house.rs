//! What is behind the doors of a site: areas, and what they make of somebody who comes in twice.

use facegate_control::{
    Passage,
    access::rules::{AntiPassback, Rulebook, Rules, Strictness},
};
use serde_json::json;

use super::{Micros, random::Random, site::DOORS};

/// Everybody whom the cameras know.
pub const PEOPLE: usize = 6;
/// One of them is exempt from anti-passback, and one is not in the rules.
pub const EXEMPT: usize = 4;
pub const STRANGER: usize = 5;

/// One side of a door: an area by its number, or the world outside.
pub type Side = Option<usize>;

#[derive(Clone, Copy, Debug)]
pub struct Area {
    pub anti_passback: AntiPassback,
    pub minutes: u16,
    pub exit_without_entry: Strictness,
}

impl Area {
    fn random(random: &mut Random) -> Self {
        use AntiPassback::{Hard, Off, Soft, Timed};
        let anti_passback = random.pick(&[Hard, Hard, Hard, Timed, Soft, Off]);
        let strictness = random.pick(&[Strictness::Allow, Strictness::Flag, Strictness::Deny]);
        Self {
            anti_passback,
            minutes: random.pick(&[1, 5, 60, 600]),
            exit_without_entry: if anti_passback == Off { Strictness::Flag } else { strictness },
        }
    }

    pub fn counts(&self) -> bool {
        self.anti_passback != AntiPassback::Off
    }

    /// For how long a second entry is denied, where that is timed.
    pub fn window(&self) -> Micros {
        Micros::from(self.minutes) * 60 * 1_000_000
    }
}

/// The plan of a site, as an installer would draw it.
#[derive(Clone, Copy, Debug)]
pub struct House {
    pub areas: [Area; 2],
    /// What is outside and inside of each door.
    doors: [[Side; 2]; DOORS],
}

impl House {
    pub fn random(random: &mut Random) -> Self {
        let (street, hall, vault) = (None, Some(0), Some(1));
        let doors = random.pick(&[
            [[street, hall], [street, hall], [street, hall]],
            [[street, hall], [hall, vault], [street, hall]],
            // The vault has a way of its own to the street.
            [[street, hall], [hall, vault], [street, vault]],
            // Two houses.
            [[street, hall], [street, vault], [street, hall]],
            // The third is a door without areas.
            [[street, hall], [hall, vault], [street, street]],
        ]);
        Self { areas: [(); 2].map(|()| Area::random(random)), doors }
    }

    /// From where to where somebody passes.
    pub fn way(&self, door: usize, passage: Passage) -> (Side, Side) {
        let [outside, inside] = self.doors[door];
        match passage {
            Passage::Entry => (outside, inside),
            Passage::Exit => (inside, outside),
        }
    }

    pub fn area(&self, side: Side) -> Option<&Area> {
        side.map(|number| &self.areas[number])
    }

    pub fn counts(&self, side: Side) -> bool {
        self.area(side).is_some_and(Area::counts)
    }

    /// The same as an administrator would write it, compiled by what compiles it in the daemon.
    pub fn rulebook(&self) -> Rulebook {
        let area = |number: usize| {
            let area = &self.areas[number];
            let timed = area.anti_passback == AntiPassback::Timed;
            json!({
                "name": area_name(number), "anti_passback": area.anti_passback,
                "minutes": timed.then_some(area.minutes), "exit_without_entry": area.exit_without_entry,
            })
        };
        let doors = |door: usize| {
            let [outside, inside] = self.doors[door].map(|side| side.map(area_name));
            json!({"name": door_name(door), "outside": outside, "inside": inside})
        };
        let subject = |who: usize| {
            let class = if who == 1 { "extended" } else { "standard" };
            json!({
                "id": person_name(who), "groups": ["all"], "class": class, "anti_passback_exempt": who == EXEMPT,
            })
        };
        let rules = json!({
            "areas": [area(0), area(1)],
            "doors": (0..DOORS).map(doors).collect::<Vec<_>>(),
            "groups": [{"name": "all", "access": [{"doors": (0..DOORS).map(door_name).collect::<Vec<_>>()}]}],
            "subjects": (0..PEOPLE).filter(|&who| who != STRANGER).map(subject).collect::<Vec<_>>(),
        });
        let rules: Rules = serde_json::from_value(rules).expect("rules as they are written");
        Rulebook::compile(&rules, &|_| None).expect("the simulator makes valid rules")
    }
}

pub fn area_name(number: usize) -> &'static str {
    ["hall", "vault"][number]
}

pub fn door_name(door: usize) -> &'static str {
    ["outer", "inner", "gate"][door]
}

pub fn person_name(who: usize) -> &'static str {
    ["ann", "bob", "cyd", "dan", "guard", "stranger"][who]
}
