//! How long each stage takes, at the doors and of photographs, and what came of the faces.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, counter::Counter, family::Family},
    registry::Registry,
};

use crate::{
    operator::Work,
    tally::{Photographs, Reading, Times},
};

type Labels = Vec<(&'static str, String)>;
type Counts = Family<Labels, Counter>;

/// Some histograms of one name.
#[derive(Debug)]
struct Histograms(Vec<(Labels, Reading)>);

impl EncodeMetric for Histograms {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (labels, Reading { sum, buckets }) in &self.0 {
            let count = buckets.iter().map(|(_, count)| count).sum();
            if labels.is_empty() {
                encoder.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)?;
            } else {
                encoder.encode_family(labels)?.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the recognition did with the photographs that clients sent.
pub(super) fn describe_photographs(registry: &mut Registry, photographs: &Photographs) {
    let all = photographs.stages().map(|(stage, times)| (vec![("stage", stage.to_owned())], times.read()));
    registry.register("recognition_stage_seconds", "A photograph of the API, stage by stage", Histograms(all.into()));
    let networks = Histograms(vec![(Vec::new(), photographs.networks.read())]);
    registry.register("recognition_networks_seconds", "The networks themselves within detect and embed", networks);
}

/// What the doors' loops and cameras did.
pub(super) fn describe_doors(registry: &mut Registry, doors: &[Work]) {
    if doors.is_empty() {
        return;
    }
    let of = |work: &Work, name: &'static str, value: &str| vec![("door", work.door.to_string()), (name, value.into())];
    let stages = doors.iter().flat_map(|work| {
        work.tally.stages().map(|(stage, times): (_, &Times)| (of(work, "stage", stage), times.read()))
    });
    registry.register("door_stage_seconds", "A frame at a door, stage by stage", Histograms(stages.collect()));
    let edges = doors.iter().map(|work| (vec![("door", work.door.to_string())], work.tally.edge.read()));
    let help = "From the capture of the frame that was granted to the relay's edge";
    registry.register("door_frame_to_edge_seconds", help, Histograms(edges.collect()));

    let (faces, decisions, livings) = (Counts::default(), Counts::default(), Counts::default());
    for work in doors {
        for (outcome, count) in work.tally.faces() {
            faces.get_or_create(&of(work, "outcome", outcome)).inc_by(count.read());
        }
        for (outcome, count) in work.tally.decisions() {
            decisions.get_or_create(&of(work, "outcome", outcome)).inc_by(count.read());
        }
        for (outcome, count) in work.tally.livings() {
            livings.get_or_create(&of(work, "outcome", outcome)).inc_by(count.read());
        }
    }
    registry.register("door_faces", "Faces in the frames of a door, by what was made of them", faces);
    registry.register("door_decisions", "Decisions of a door, the rules included", decisions);
    registry.register("door_liveness", "Whether people whom a door knows look alive, where it asks", livings);
    describe_cameras(registry, doors);
}

fn describe_cameras(registry: &mut Registry, doors: &[Work]) {
    let all = [Counts::default(), Counts::default(), Counts::default(), Counts::default()];
    for work in doors {
        for (number, camera) in work.cameras.iter().enumerate() {
            let labels = vec![("door", work.door.to_string()), ("camera", number.to_string())];
            let counts = [camera.frames, camera.dropped, camera.reopened, camera.errors];
            for (family, count) in all.iter().zip(counts) {
                family.get_or_create(&labels).inc_by(count);
            }
        }
    }
    let [frames, dropped, reopened, errors] = all;
    registry.register("camera_frames", "Frames that a camera gave", frames);
    registry.register("camera_frames_dropped", "Frames that a newer one replaced before it was looked at", dropped);
    registry.register("camera_reopened", "How often a camera was opened again", reopened);
    registry.register("camera_errors", "What went wrong with a camera: frames, openings, stalls", errors);
}
