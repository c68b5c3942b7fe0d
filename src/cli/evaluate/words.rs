//! The report for a terminal.

use crate::vision::evaluate::{Report, groups::Groups, open_set::OpenSet};

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn interval(of: [f64; 2]) -> String {
    format!("{:.2} to {:.2} %", 100.0 * of[0], 100.0 * of[1])
}

/// The whole report.
pub fn of(report: &Report) -> String {
    let mut lines = vec![format!(
        "{}: {} pictures of {} people ({} unreadable, {} without a face), {} genuine and {} impostor pairs",
        report.words(),
        report.images,
        report.subjects,
        report.unreadable,
        report.without_face,
        report.genuine_pairs,
        report.impostor_pairs
    )];
    lines.extend(report.notes.iter().map(|note| format!("  note: {note}")));
    if !report.calibrated {
        lines.push(
            "  the pack is not calibrated: nothing can be said in similarities (`facegate calibrate` measures it)"
                .into(),
        );
    }
    let time = report.time;
    lines.push(format!(
        "  a picture took {:.1} ms of decoding, {:.1} of the detector, {:.1} of landmarks, {:.1} of the recogniser and {:.1} around \
         them",
        time.decode, time.detector, time.landmarks, time.recogniser, time.around
    ));
    lines.push(format!(
        "  failure to acquire {}, refused at enrolment {}{}",
        percent(report.failure_to_acquire),
        percent(report.failure_to_enrol as f64 / report.images.max(1) as f64),
        report.refused.iter().map(|(reason, count)| format!(", {reason} {count}")).collect::<String>()
    ));
    if let Some(folds) = &report.folds {
        lines.push(format!(
            "  accuracy over {} folds {} ± {} (standard error)",
            folds.folds.len(),
            percent(folds.accuracy),
            percent(folds.standard_error)
        ));
    }
    lines.extend(report.equal_error_rate.map(|rate| format!("  equal error rate {}", percent(rate))));
    lines.extend(report.rates.iter().map(|rate| {
        format!(
            "  FMR {:.0e} ({} false matches): FNMR {} (95 %: {}) at cosine {:.3}",
            rate.fmr,
            rate.false_matches,
            percent(rate.fnmr),
            interval(rate.fnmr_interval),
            rate.cosine
        )
    }));
    lines.extend(report.thresholds.iter().map(|at| {
        format!(
            "  threshold {:.2}: FMR {:.2e} ({} false matches), FNMR {} (95 %: {})",
            at.threshold,
            at.fmr,
            at.false_matches,
            percent(at.fnmr),
            interval(at.fnmr_interval)
        )
    }));
    for curve in report.discard.iter().filter(|curve| curve.by == "score") {
        let points =
            curve.points.iter().map(|point| format!("{:.0} %: {}", 100.0 * point.discarded, percent(point.fnmr)));
        let points: Vec<_> = points.collect();
        lines.push(format!("  FNMR at FMR {:.0e} with the worst pictures discarded: {}", curve.fmr, points.join(", ")));
    }
    lines.extend(report.identification.iter().map(|open| {
        format!(
            "  {} enrolled, FPIR {}: FNIR {} (draws {})",
            open.enrolled,
            percent(open.fpir),
            percent(open.fnir),
            interval(open.fnir_range)
        )
    }));
    lines.extend(report.open_set.iter().map(|open| door(open, "by the pack's curve")));
    lines.extend(report.held_back.iter().map(|open| door(open, "by a curve of other people")));
    report.groups.iter().for_each(|groups| between(groups, &mut lines));
    if let Some(beside) = &report.beside {
        lines.push(format!("{}\n  beside {}", beside.runs[0], beside.runs[1]));
        lines.push(format!(
            "  {} pictures of {} people in common ({} only in the first, {} only in the second); failures to acquire {} and {}",
            beside.images, beside.subjects, beside.left_out[0], beside.left_out[1], beside.failures[0], beside.failures[1]
        ));
        lines.extend(beside.differences.iter().map(|at| {
            let points = |share: f64| format!("{:+.2}", 100.0 * share);
            format!(
                "  FMR {:.0e} ({} false matches): FNMR {} and {}, difference {} points (95 %: {} to {})",
                at.fmr,
                at.false_matches,
                percent(at.fnmr[0]),
                percent(at.fnmr[1]),
                points(at.difference),
                points(at.interval[0]),
                points(at.interval[1])
            )
        }));
    }
    lines.join("\n")
}

fn door(open: &OpenSet, by: &str) -> String {
    format!(
        "  {} enrolled, 1 stranger in {} allowed in, {by}: {} were (95 %: {}; of {}) at threshold {:.3}; {} of the enrolled were not \
         known",
        open.enrolled,
        open.one_in,
        percent(open.fpir),
        interval(open.fpir_interval),
        open.strangers,
        open.threshold,
        percent(open.fnir)
    )
}

fn range(of: Option<[f64; 2]>, scale: fn(f64) -> String) -> String {
    of.map_or("not known".to_owned(), |[low, high]| format!("{} to {}", scale(low), scale(high)))
}

fn between(groups: &Groups, lines: &mut Vec<String>) {
    lines.push(format!("  groups at the threshold of FMR {:.0e}, cosine {:.3}:", groups.fmr, groups.cosine));
    let rate = |rate: Option<f64>, of: Option<[f64; 2]>, scale: fn(f64) -> String| match rate {
        Some(rate) => format!("{} (95 %: {})", scale(rate), range(of, scale)),
        None => "not known, there is no pair".to_owned(),
    };
    let small = |rate: f64| format!("{rate:.1e}");
    lines.extend(groups.groups.iter().map(|group| {
        format!(
            "    {}: {} pictures of {} people, failure to acquire {}, FNMR {}, FMR {} ({} false matches)",
            group.name,
            group.images,
            group.subjects,
            percent(group.failure_to_acquire),
            rate(group.fnmr, group.fnmr_interval, percent),
            rate(group.fmr, group.fmr_interval, small),
            group.false_matches
        )
    }));
    lines.extend(groups.across.iter().map(|across| {
        let [a, b] = &across.groups;
        format!("    {a} with {b}: FMR {}", rate(across.fmr, across.fmr_interval, small))
    }));
    for (what, differential) in [("FMR", groups.fmr_differential), ("FNMR", groups.fnmr_differential)] {
        lines.push(match differential {
            Some(apart) => format!(
                "    {what}: the highest is {:.1} times the lowest (95 %: {}), {:.1} times the geometric mean",
                apart.highest_to_lowest,
                range(apart.highest_to_lowest_interval, |times| format!("{times:.1}")),
                apart.highest_to_mean
            ),
            None => format!("    {what}: no ratio, since a group has no error or there is but one group"),
        });
    }
}
