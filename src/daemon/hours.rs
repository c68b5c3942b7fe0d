//! What the rules ask of the doors themselves: free access in office hours, and which doors make an airlock.

use std::{sync::Arc, time::Duration};

use facegate_control::{
    Moment,
    access::{FreeAccess, WallTrust, WallWatch},
    door::Interlock,
};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::records;
use crate::{clock::Clock, config::Config, door::Driver, gallery::TenantId, journal::Journal, rulebook::Gate};

/// How often a door is told that free access lasts: it ends a minute after it was told last.
const RENEWED: Duration = Duration::from_secs(10);

/// Keeps the office hours of every door.
pub struct OfficeHours {
    clock: Arc<dyn Clock>,
    journal: Arc<Journal>,
    airlocks: Airlocks,
    wall: Arc<Mutex<WallTrust>>,
    /// Whether the wall clock was believed at the last look.
    believed: bool,
    watch: WallWatch,
    doors: Vec<Kept>,
}

struct Kept {
    name: Arc<str>,
    gate: Arc<Gate>,
    driver: Arc<Driver>,
    access: FreeAccess,
    /// What the door was told last, and took, and when.
    told: (bool, Moment),
    /// Whether it is known that free access is withheld.
    withheld: bool,
}

impl OfficeHours {
    /// Office hours of no door yet. `wall` says how far the wall clock is believed.
    pub fn new(clock: Arc<dyn Clock>, journal: Arc<Journal>, airlocks: Airlocks, wall: Arc<Mutex<WallTrust>>) -> Self {
        let watch = WallWatch::since(wall.lock().floor());
        Self { clock, journal, airlocks, wall, believed: true, watch, doors: Vec::new() }
    }

    /// Another door.
    pub fn add(&mut self, name: Arc<str>, gate: Arc<Gate>, driver: Arc<Driver>) {
        self.doors.push(Kept {
            name,
            gate,
            driver,
            access: FreeAccess::default(),
            told: (false, Moment::default()),
            withheld: false,
        });
    }

    /// Looks at the clocks and the rules and tells the doors. To be called several times a second.
    pub fn keep(&mut self) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        self.look_at_the_clock(now, wall);
        let jump = self.watch.look(now, wall);
        if let Some(jump) = jump {
            let seconds = jump.as_secs();
            tracing::warn!(seconds, "the wall clock jumped; free access waits for the next opening of its schedule");
            self.journal.append(records::clock_jumped(seconds));
        }
        for door in &mut self.doors {
            let scheduled = door.gate.free_access_now(now, wall);
            let free = door.access.update(scheduled, jump.is_some());
            let withheld = door.access.withheld(scheduled);
            if withheld && !std::mem::replace(&mut door.withheld, withheld) {
                tracing::warn!(door = %door.name, "free access is withheld, since the wall clock jumped");
            }
            door.withheld = withheld;
            // Where the door's thread is too busy to hear it, it is told again at the next look.
            let (told, at) = door.told;
            let due = free != told || (free && now.since(at) >= RENEWED);
            if due && door.driver.free_access(free).is_ok() {
                door.told = (free, now);
            }
        }
        self.airlocks.follow(self.doors.iter().map(|door| (&*door.name, door.gate.interlocks())));
    }

    /// Sees how far the wall clock is believed, and says so where it is news.
    fn look_at_the_clock(&mut self, now: Moment, wall: Timestamp) {
        // Before the lock, which doors wait for: it asks the file system.
        let by_server = self.clock.set_by_server();
        let mut trust = self.wall.lock();
        if let Some(newest) = trust.look(now, wall, by_server) {
            self.watch = WallWatch::since(trust.floor());
            tracing::warn!(%newest, "a time server has set the clock to before the newest record: that was made by a clock that was ahead");
            self.journal.append(records::records_ahead(newest));
        }
        let believed = trust.judge(now, wall).set;
        drop(trust);
        match (std::mem::replace(&mut self.believed, believed), believed) {
            (true, false) => tracing::warn!(
                %wall,
                "the wall clock is not believed: until it is right, nobody is let in by a schedule, and no door is in free access. \
                 Where it is right, restart the daemon"
            ),
            (false, true) => tracing::info!("the wall clock is believed"),
            _ => {}
        }
    }
}

/// The interlock groups of the configuration and of every tenant's rules.
pub struct Airlocks {
    interlock: Arc<Mutex<Interlock>>,
    /// The doors of this board, each with its tenant.
    doors: Vec<(String, TenantId)>,
    configured: Vec<(String, Vec<String>)>,
    in_force: Vec<(String, Vec<String>)>,
}

impl Airlocks {
    /// Those of the configuration, which `interlock` was made of.
    pub fn new(config: &Config, interlock: Arc<Mutex<Interlock>>) -> Self {
        let configured: Vec<_> =
            config.interlocks.iter().map(|group| (group.name.clone(), group.doors.clone())).collect();
        let doors = config.doors.iter().map(|door| (door.name.clone(), door.tenant.clone())).collect();
        Self { interlock, doors, in_force: configured.clone(), configured }
    }

    /// Takes in what the rules say now: of each door's name the groups of its tenant's rules. Doors of other boards do not count here:
    /// a group of which this board has but one door is none. Nor do doors of other tenants, whose names anybody may write into
    /// their own rules; only the configuration makes an airlock of two tenants' doors.
    fn follow<'g>(&mut self, gates: impl Iterator<Item = (&'g str, Vec<(String, Vec<String>)>)>) {
        let mut groups = self.configured.clone();
        for (door, of_its_tenant) in gates {
            let tenant = self.tenant_of(door);
            for (name, mut doors) in of_its_tenant {
                doors.retain(|door| tenant.is_some() && self.tenant_of(door) == tenant);
                let group = (name, doors);
                if group.1.len() >= 2 && !groups.contains(&group) {
                    groups.push(group);
                }
            }
        }
        if groups == self.in_force {
            return;
        }
        let named: Vec<_> = groups.iter().map(|(name, doors)| (name.as_str(), &doors[..])).collect();
        let doors: Vec<_> = self.doors.iter().map(|(name, _)| name.as_str()).collect();
        match Interlock::new(&doors, &named) {
            Ok(new) => {
                self.interlock.lock().take_over(new);
                tracing::info!(groups = groups.len(), "the interlocks of the rules are in force");
            }
            Err(fault) => tracing::error!(%fault, "the interlocks of the rules cannot be used; the old ones stay"),
        }
        // Either way: what cannot be used is said once.
        self.in_force = groups;
    }

    fn tenant_of(&self, door: &str) -> Option<&TenantId> {
        self.doors.iter().find(|(name, _)| name == door).map(|(_, tenant)| tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: &str = r#"
        [[door]]
        name = "hall"
        tenant = "acme"
        camera = { source = "v4l", device = "/dev/video0" }
        [[door]]
        name = "store"
        tenant = "acme"
        camera = { source = "v4l", device = "/dev/video1" }
        [[door]]
        name = "office"
        tenant = "globex"
        camera = { source = "v4l", device = "/dev/video2" }
    "#;

    #[test]
    fn a_tenants_rules_shut_none_of_another_tenants_doors() {
        let config = |more: &str| Config::parse(&(BOARD.to_owned() + more), "t", std::iter::empty()).expect("valid");
        let group = |doors: &[&str]| vec![("lock".to_owned(), doors.iter().map(|&door| door.into()).collect())];
        let concerned = |config: &Config, acme: &[&str], globex: &[&str]| {
            let interlock = Arc::new(Mutex::new(config.interlock().expect("valid")));
            let mut airlocks = Airlocks::new(config, Arc::clone(&interlock));
            airlocks.follow([("hall", group(acme)), ("store", group(acme)), ("office", group(globex))].into_iter());
            [0, 1, 2].map(|door| interlock.lock().concerns(door))
        };
        let alone = config("");
        assert_eq!(concerned(&alone, &["hall", "office"], &[]), [false; 3]);
        assert_eq!(concerned(&alone, &["hall", "store", "office"], &[]), [true, true, false], "their own count");
        assert_eq!(concerned(&alone, &[], &["hall", "store"]), [false; 3]);
        // Whoever owns the board may.
        let crossing = config("[[interlock]]\nname = \"porch\"\ndoors = [\"hall\", \"office\"]\n");
        assert_eq!(concerned(&crossing, &[], &[]), [true, false, true]);
    }
}

#[cfg(test)]
#[path = "hours_tests.rs"]
mod tests;
