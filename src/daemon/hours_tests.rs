//! Office hours and schedules while the wall clock is set back and forth: the real rules, door and journal on a simulated clock.

use facegate_control::{Passage, access::rules::Rulebook};
use tempfile::TempDir;

use super::*;
use crate::{
    clock::{self, SimulatedClock},
    config::Config,
    door::{self, FailState, Hardware, Simulated, SimulatedEdges, SimulatedSettings},
    journal,
    rulebook::{Bell, Pass, TenantAccess, zones},
};

/// Everybody who comes at ten, and somebody who is a visitor until the eleventh. 2030-01-07 is a Monday.
const RULES: &str = r#"{
    "schedules": [{"name": "day", "zone": "UTC", "week": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00"}]}],
    "doors": [{"name": "front", "free_access": "day"}],
    "groups": [{"name": "staff", "access": [{"doors": ["front"], "schedule": "day"}]},
               {"name": "visitors", "access": [{"doors": ["front"]}]}],
    "subjects": [{"id": "ann", "groups": ["staff"]},
                 {"id": "eve", "groups": ["visitors"], "valid_until": "2030-01-11T00:00:00Z"}]
}"#;

struct House {
    clock: SimulatedClock,
    hours: OfficeHours,
    gate: Arc<Gate>,
    edges: SimulatedEdges,
    journal: Arc<Journal>,
    folder: TempDir,
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn house(starts: &str, recorded: Option<&str>) -> House {
    let clock = SimulatedClock::new(time(starts));
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let wall = Arc::new(Mutex::new(WallTrust::since(recorded.map(time), clock::WRITTEN)));
    let access = TenantAccess::new(Bell::default());
    access.set_book(Rulebook::compile(&serde_json::from_str(RULES).expect("rules"), &zones).expect("good rules"));
    let gate = Arc::new(Gate::new(Arc::new(access), "front".into()).believing(Arc::clone(&wall)));
    let rest = FailState::Secure.rest_energised();
    let lock = Simulated::open(&SimulatedSettings::default(), rest, Arc::clone(&shared)).expect("a lock");
    let edges = lock.edges();
    let settings = door::Settings::default();
    let driver = Driver::start(&settings, Hardware::only(Box::new(lock)), None, Arc::clone(&shared)).expect("a door");
    let folder = tempfile::tempdir().expect("a folder");
    let settings = journal::Settings { dir: folder.path().into(), ..journal::Settings::default() };
    let journal = Arc::new(Journal::open(&settings, Arc::clone(&shared)).expect("a journal"));
    let config = Config::parse(crate::config::EXAMPLE, "t", std::iter::empty()).expect("the example");
    let airlocks = Airlocks::new(&config, Arc::new(Mutex::new(config.interlock().expect("none"))));
    let mut hours = OfficeHours::new(shared, Arc::clone(&journal), airlocks, wall);
    hours.add("front".into(), Arc::clone(&gate), Arc::new(driver));
    House { clock, hours, gate, edges, journal, folder }
}

impl House {
    fn code(&self, subject: &str) -> &'static str {
        let (at, now) = (self.clock.wall(), self.clock.now());
        let ruling = self.gate.admit(Pass { subject, passage: Passage::Entry, tag: 1, at, now });
        self.gate.unused(1);
        ruling.code()
    }

    /// Looks at the clocks, and waits until the door is as it is told.
    #[track_caller]
    fn keeps(&mut self, open: bool) {
        self.hours.keep();
        let begun = std::time::Instant::now();
        while self.edges.energised() != open {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "the door is to be {}",
                if open { "open" } else { "shut" }
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn records(&self, word: &str) -> usize {
        let done = self.journal.append_durable(records::stopped());
        done.expect("it is written");
        let text = std::fs::read_to_string(self.folder.path().join(journal::FILE)).expect("a journal");
        text.lines().filter(|line| line.contains(word)).count()
    }
}

#[test]
fn records_from_the_future_lock_nobody_out_once_a_time_server_has_set_the_clock() {
    let mut house = house("2030-01-07T10:00:00Z", Some("2062-05-01T00:00:00Z"));
    house.keeps(false);
    assert_eq!((house.code("ann"), house.code("eve")), ("clock_unset", "access_expired"), "who knows which is right?");
    house.clock.set_wall_by_server(time("2030-01-07T10:00:05Z"));
    house.keeps(true);
    assert_eq!((house.code("ann"), house.code("eve")), ("allowed", "allowed"));
    house.keeps(true);
    assert_eq!(house.records("records_ahead"), 1);
}

#[test]
fn an_access_that_has_ended_does_not_begin_anew_with_a_clock_that_is_set_back() {
    for by_server in [false, true] {
        let mut house = house("2030-01-07T10:00:00Z", None);
        if by_server {
            house.clock.set_wall_by_server(time("2030-01-07T10:00:00Z"));
        }
        house.keeps(true);
        assert_eq!(house.code("eve"), "allowed");
        house.clock.advance(Duration::from_secs(14 * 86_400));
        house.keeps(true);
        assert_eq!((house.code("eve"), house.code("ann")), ("access_expired", "allowed"));
        let back = time("2030-01-08T10:00:00Z");
        if by_server {
            house.clock.set_wall_by_server(back)
        } else {
            house.clock.set_wall(back)
        }
        house.keeps(false);
        assert_eq!((house.code("eve"), house.code("ann")), ("access_expired", "clock_unset"), "{by_server}");
    }
}

#[test]
fn a_clock_that_a_server_has_set_and_that_is_set_forward_lets_nobody_in_by_a_schedule() {
    let mut house = house("2030-01-07T03:00:00Z", None);
    house.clock.set_wall_by_server(time("2030-01-07T03:00:00Z"));
    house.keeps(false);
    assert_eq!(house.code("ann"), "outside_hours");
    for by_server in [false, true] {
        let noon = time("2030-01-07T12:00:00Z");
        if by_server {
            house.clock.set_wall_by_server(noon)
        } else {
            house.clock.set_wall(noon)
        }
        // Before anybody has looked, too.
        assert_eq!(house.code("ann"), "clock_unset");
        house.keeps(false);
        assert_eq!(house.code("ann"), "clock_unset");
        assert_eq!(house.code("eve"), "allowed", "who may pass at any time passes");
    }
    house.clock.set_wall_by_server(time("2030-01-07T03:00:30Z"));
    house.keeps(false);
    // Seen closed by a clock that runs evenly.
    house.keeps(false);
    house.clock.advance(Duration::from_secs(7 * 3_600));
    house.keeps(true);
    assert_eq!(house.code("ann"), "allowed", "its own ten o'clock");
}

#[test]
fn a_board_that_starts_with_an_old_time_is_believed_when_it_is_set() {
    let mut house = house("2030-01-06T20:00:00Z", Some("2030-01-06T20:00:00Z"));
    house.keeps(false);
    house.clock.set_wall_by_server(time("2030-01-07T10:00:00Z"));
    house.keeps(false);
    assert_eq!(house.code("ann"), "allowed");
}

#[test]
fn free_access_lasts_for_as_long_as_the_hours_are_kept() {
    let mut house = house("2030-01-07T10:00:00Z", None);
    for _ in 0..20 {
        house.keeps(true);
        std::thread::sleep(Duration::from_millis(20));
        house.clock.advance(Duration::from_secs(15));
    }
    assert_eq!(house.edges.all().len(), 2, "the rest level and one edge: it was never shut");
    house.clock.advance(Duration::from_secs(7 * 3_600));
    house.keeps(false);
}
