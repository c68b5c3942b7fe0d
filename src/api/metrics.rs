//! What `/metrics` tells: calls as they were counted, and the daemon's state as it is when somebody asks.
//!
//! No label names a person or a tenant, and each has few values: routes are patterns, statuses are classes.

mod work;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use axum::http::Method;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    error::{Context as _, Kind, Result},
    fleet, gallery, journal,
    operator::{Status, Work},
    tally::Photographs,
};

const PREFIX: &str = "facegate";

/// Upper bounds of the buckets of a call's duration, in seconds: from memory's work to a photograph that waited.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    route: String,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: String,
    method: &'static str,
}

/// What was asked of the API since the start.
#[derive(Debug)]
pub(super) struct Requests {
    started: Instant,
    calls: Family<Call, Counter>,
    seconds: Family<Route, Histogram>,
    registry: Registry,
}

impl Default for Requests {
    fn default() -> Self {
        let (calls, seconds) =
            (Family::default(), Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> _));
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register("http_requests", "Calls of the API", calls.clone());
        registry.register("http_request_duration_seconds", "From a call's head to its answer", seconds.clone());
        Self { started: Instant::now(), calls, seconds, registry }
    }
}

impl Requests {
    /// Counts a call. `route` is the pattern, not the path, which anybody could make up.
    pub(super) fn count(&self, route: &str, method: &Method, status: u16, seconds: f64) {
        let (route, method) = (route.to_owned(), known(method));
        self.calls.get_or_create(&Call { route: route.clone(), method, status: class(status) }).inc();
        self.seconds.get_or_create(&Route { route, method }).observe(seconds);
    }
}

/// A method of the API; any other counts as one, since clients may make up as many as they like.
pub(super) fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| method == known).unwrap_or("other")
}

fn class(status: u16) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

/// How the daemon is at one moment.
pub(super) struct Snapshot {
    pub(super) gallery: gallery::Stats,
    /// For how long the doors have not followed what changes in the gallery, in seconds; 0 while they do.
    pub(super) behind_s: f64,
    /// None where there is no door.
    pub(super) journal: Option<journal::Stats>,
    pub(super) doors: Vec<Status>,
    pub(super) work: Vec<Work>,
    /// None where photographs are nobody's business.
    pub(super) photographs: Option<Arc<Photographs>>,
    /// Photographs that wait for the networks.
    pub(super) waiting: usize,
    /// Forms that are received or worked on.
    pub(super) uploads: usize,
    /// None where this board is of no fleet.
    pub(super) fleet: Option<Arc<fleet::Stats>>,
}

/// All of it in the text format of `OpenMetrics`, which Prometheus reads.
///
/// # Errors
/// `Internal` where it cannot be written.
pub(super) fn render(requests: &Requests, snapshot: Snapshot) -> Result<String> {
    let mut now = Registry::with_prefix(PREFIX);
    describe(&mut now, requests, snapshot);
    let mut page = String::new();
    text::encode_registry(&mut page, &requests.registry)
        .and_then(|()| text::encode_registry(&mut page, &now))
        .and_then(|()| text::encode_eof(&mut page))
        .context(Kind::Internal, || "the metrics cannot be written")?;
    Ok(page)
}

type Number = Gauge<f64, AtomicU64>;

fn describe(registry: &mut Registry, requests: &Requests, snapshot: Snapshot) {
    let Snapshot { gallery, behind_s, journal, doors, work, photographs, waiting, uploads, fleet } = snapshot;
    gauge(registry, "uptime_seconds", "Since the API started", requests.started.elapsed().as_secs_f64());
    gauge(registry, "recognition_waiting", "Photographs that wait for the networks", waiting as f64);
    gauge(registry, "uploads", "Forms that are received or worked on", uploads as f64);
    gauge(registry, "store_used_bytes", "Bytes of the store in use", gallery.used_bytes as f64);
    gauge(registry, "store_max_bytes", "Bytes that the store may use", gallery.max_bytes as f64);
    gauge(
        registry,
        "store_behind_seconds",
        "For how long changes of the store cannot be taken in; 0: they can",
        behind_s,
    );
    let faces = Family::<[(&str, &str); 1], Number>::default();
    for (state, count) in [("active", gallery.active), ("inactive", gallery.inactive), ("foreign", gallery.foreign)] {
        faces.get_or_create(&[("state", state)]).set(count as f64);
    }
    registry.register("faces", "Embeddings: matched, replaced by newer ones, or of another recogniser", faces);
    if let Some(journal) = journal {
        counter(registry, "journal_written", "Entries of the journal on the disk", journal.written);
        counter(registry, "journal_lost", "Entries of the journal that found no room on their way to it", journal.lost);
        gauge(registry, "journal_healthy", "Whether the last entry could be written", journal.healthy.into());
    }
    describe_doors(registry, &doors);
    work::describe_doors(registry, &work);
    if let Some(photographs) = photographs {
        work::describe_photographs(registry, &photographs);
    }
    if let Some(fleet) = fleet {
        describe_fleet(registry, &fleet);
    }
}

fn describe_fleet(registry: &mut Registry, fleet: &fleet::Stats) {
    for (name, help, value) in fleet.gauges() {
        gauge(registry, name, help, value as f64);
    }
    for (name, help, value) in fleet.counters() {
        counter(registry, name, help, value);
    }
    let refused = Family::<[(&str, &str); 1], Counter>::default();
    for (cause, count) in fleet.refused() {
        refused.get_or_create(&[("cause", cause)]).inc_by(count);
    }
    registry.register("fleet_refused", "Messages that were not believed, by cause", refused);
}

fn describe_doors(registry: &mut Registry, doors: &[Status]) {
    if doors.is_empty() {
        return;
    }
    let modes = Family::<Vec<(String, String)>, Number>::default();
    for door in doors {
        let mode = serde_json::to_value(door.mode).ok();
        let mode = mode.as_ref().and_then(|mode| mode.as_str()).unwrap_or_default();
        modes.get_or_create(&vec![("door".into(), door.door.clone()), ("mode".into(), mode.into())]).set(1.0);
    }
    registry.register("door_mode", "1 for the mode that a door is in", modes);
    type Fact = fn(&Status) -> bool;
    let facts: [(&str, &str, Fact); 5] = [
        ("door_unlocked", "Whether a lock has let go", |door| door.unlocked),
        ("door_lock_healthy", "Whether the locks take their levels", |door| door.lock_works),
        ("door_signals_healthy", "Whether lamps, buzzer and alarm relay do", |door| door.signals_work),
        ("door_inputs_healthy", "Whether every input can be read", |door| door.inputs_work),
        ("door_cameras_healthy", "Whether every camera gives frames", |door| door.cameras_work),
    ];
    for (name, help, fact) in facts {
        let family = Family::<[(&str, String); 1], Number>::default();
        for door in doors {
            family.get_or_create(&[("door", door.door.clone())]).set(fact(door).into());
        }
        registry.register(name, help, family);
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Number::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{camera::FeedStats, tally};

    fn nothing() -> Snapshot {
        Snapshot {
            gallery: gallery::Stats::default(),
            behind_s: 0.0,
            journal: None,
            doors: Vec::new(),
            work: Vec::new(),
            photographs: None,
            waiting: 3,
            uploads: 0,
            fleet: None,
        }
    }

    #[test]
    fn stages_are_told_by_door_and_name_and_each_bucket_holds_those_below() {
        let (door, photographs) = (Arc::<tally::Door>::default(), Arc::<Photographs>::default());
        for millis in [3, 30] {
            door.embed.add(Duration::from_millis(millis));
        }
        door.faces_strange.add(2);
        door.granted.add(1);
        photographs.waiting.add(Duration::from_micros(50));
        let camera = FeedStats { frames: 9, dropped: 4, ..FeedStats::default() };
        let work = vec![Work { door: "front".into(), tally: door, cameras: vec![camera] }];
        let snapshot = Snapshot { work, photographs: Some(photographs), ..nothing() };
        let page = render(&Requests::default(), snapshot).expect("it can be written");
        for line in [
            "# TYPE facegate_door_stage_seconds histogram",
            "facegate_door_stage_seconds_bucket{le=\"0.0025\",door=\"front\",stage=\"embed\"} 0",
            "facegate_door_stage_seconds_bucket{le=\"0.005\",door=\"front\",stage=\"embed\"} 1",
            "facegate_door_stage_seconds_bucket{le=\"+Inf\",door=\"front\",stage=\"embed\"} 2",
            "facegate_door_stage_seconds_count{door=\"front\",stage=\"embed\"} 2",
            "facegate_door_stage_seconds_sum{door=\"front\",stage=\"embed\"} 0.033",
            "facegate_door_frame_to_edge_seconds_count{door=\"front\"} 0",
            "facegate_recognition_stage_seconds_count{stage=\"waiting\"} 1",
            "facegate_recognition_stage_seconds_count{stage=\"decode\"} 0",
            "facegate_recognition_networks_seconds_count 0",
            "facegate_door_faces_total{door=\"front\",outcome=\"stranger\"} 2",
            "facegate_door_decisions_total{door=\"front\",outcome=\"granted\"} 1",
            "facegate_camera_frames_total{door=\"front\",camera=\"0\"} 9",
            "facegate_camera_frames_dropped_total{door=\"front\",camera=\"0\"} 4",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} is not in:\n{page}");
        }
    }

    #[test]
    fn calls_are_told_by_route_method_and_class_and_made_up_methods_are_one() {
        let requests = Requests::default();
        requests.count("/healthz", &Method::GET, 200, 0.002);
        requests.count("/healthz", &Method::GET, 204, 0.002);
        requests.count("/healthz", &Method::from_bytes(b"BREW").expect("a method"), 405, 0.002);
        requests.count("/healthz", &Method::from_bytes(b"STIR").expect("a method"), 405, 0.002);
        let page = render(&requests, nothing()).expect("it can be written");
        for line in [
            "facegate_http_requests_total{route=\"/healthz\",method=\"GET\",status=\"2xx\"} 2",
            "facegate_http_requests_total{route=\"/healthz\",method=\"other\",status=\"4xx\"} 2",
            "facegate_http_request_duration_seconds_bucket{le=\"0.001\",route=\"/healthz\",method=\"GET\"} 0",
            "facegate_http_request_duration_seconds_bucket{le=\"0.0025\",route=\"/healthz\",method=\"GET\"} 2",
            "facegate_recognition_waiting 3.0",
            "facegate_faces{state=\"active\"} 0.0",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} is not in:\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
        assert_eq!(page.matches("# EOF").count(), 1);
    }
}
