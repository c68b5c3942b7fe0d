//! Airlocks: doors of which no two are open at once, by the configuration and by the rules.

use std::sync::Arc;

use parking_lot::Mutex;

use facegate_control::door::Interlock;

use crate::{config::Config, gallery::TenantId};

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
    pub(super) fn follow<'g>(&mut self, gates: impl Iterator<Item = (&'g str, Vec<(String, Vec<String>)>)>) {
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
