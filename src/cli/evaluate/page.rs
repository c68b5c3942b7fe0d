//! The report as one page without anything outside of it: what an operator hands to an auditor.

use super::plot::{Axis, COLOURS, Kind, Plot, Series, escaped};
use crate::vision::evaluate::{
    Report,
    discard::{Discard, Worse},
    groups::Groups,
    open_set::OpenSet,
};

/// Fewer errors than this stand behind a figure that is a matter of chance; such rows stand back.
const FEW: u64 = 10;

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn between(of: [f64; 2]) -> String {
    format!("{:.2} – {:.2} %", 100.0 * of[0], 100.0 * of[1])
}

/// A power of ten in per cent, without zeros that say nothing.
fn power(rate: f64) -> String {
    let decimals = (-rate.log10() - 2.0).round().max(0.0) as usize;
    format!("{:.decimals$} %", 100.0 * rate)
}

fn one_in(rate: f64) -> String {
    format!("1 in {}", number((1.0 / rate).round() as u64))
}

/// With commas between thousands.
fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut written = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// Rows of cells under headings; those of which `weak` is said stand back.
fn table(headings: &[&str], rows: impl IntoIterator<Item = (bool, Vec<String>)>) -> String {
    let cells = |tag: &str, all: &[String]| all.iter().map(|cell| format!("<{tag}>{cell}</{tag}>")).collect::<String>();
    let headings: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let rows = rows
        .into_iter()
        .map(|(weak, row)| format!("<tr{}>{}</tr>", if weak { " class=\"weak\"" } else { "" }, cells("td", &row)));
    format!("<div class=\"wide\"><table><tr>{}</tr>{}</table></div>", cells("th", &headings), rows.collect::<String>())
}

/// A heading with words and what follows; nothing where nothing follows.
fn section(title: &str, words: &str, inside: &str) -> String {
    let words = if words.is_empty() { String::new() } else { format!("<p class=\"what\">{words}</p>") };
    if inside.is_empty() { String::new() } else { format!("<section><h2>{title}</h2>{words}{inside}</section>") }
}

fn figure(plot: &Plot, caption: &str) -> String {
    format!("<figure>{}<figcaption>{caption}</figcaption></figure>", plot.svg())
}

/// The page.
pub fn of(report: &Report) -> String {
    let parts = [
        head(report),
        beside(report),
        rates(report),
        thresholds(report),
        histogram(report),
        quality(report),
        identification(report),
        doors(report),
        groups(report),
        provenance(report),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Accuracy of the pack {}</title><style>{}</style></head><body><main>{}</main></body></html>\n",
        escaped(&report.networks.pack),
        include_str!("page.css"),
        parts.concat()
    )
}

fn head(report: &Report) -> String {
    let mut tiles: Vec<[String; 3]> = Vec::new();
    for rate in report.rates.iter().filter(|rate| rate.false_matches >= FEW && rate.fmr <= 1e-3) {
        tiles.push([
            format!("FNMR at FMR {}", one_in(rate.fmr)),
            percent(rate.fnmr),
            format!("95 %: {}", between(rate.fnmr_interval)),
        ]);
    }
    if let Some(folds) = &report.folds {
        let error = format!("± {} (standard error)", percent(folds.standard_error));
        tiles.push([format!("Accuracy over {} folds", folds.folds.len()), percent(folds.accuracy), error]);
    }
    tiles.extend(report.equal_error_rate.map(|rate| ["Equal error rate".into(), percent(rate), "FMR = FNMR".into()]));
    let failures = format!("{} of {} pictures", report.failures(), number(report.images as u64));
    tiles.push(["Failure to acquire".into(), percent(report.failure_to_acquire), failures]);
    let tiles: String = tiles
        .iter()
        .map(|[what, figure, below]| {
            format!("<div class=\"tile\"><span>{what}</span><b>{figure}</b><small>{below}</small></div>")
        })
        .collect();
    let mut notes: Vec<String> = report.notes.iter().map(|note| escaped(&note.to_string())).collect();
    if !report.calibrated {
        notes.push(
            "the pack is not calibrated, so nothing is said in similarities (<code>facegate calibrate</code>)".into(),
        );
    }
    let items: String = notes.iter().map(|note| format!("<li>{note}</li>")).collect();
    let notes = if notes.is_empty() { String::new() } else { format!("<div class=\"notes\"><ul>{items}</ul></div>") };
    let pairs = if report.every_pair { "all pairs, each compared both ways" } else { "the pairs of a list" };
    format!(
        "<h1>Accuracy of the pack “{}”</h1><p class=\"lead\">{} pictures of {} people: {} pairs of one person and {} of two people \
         ({pairs}). {}.</p><div class=\"tiles\">{tiles}</div>{notes}",
        escaped(&report.networks.pack),
        number(report.images as u64),
        number(report.subjects as u64),
        number(report.genuine_pairs),
        number(report.impostor_pairs),
        escaped(&report.words()),
    )
}

fn beside(report: &Report) -> String {
    let Some(beside) = &report.beside else { return String::new() };
    let points = |share: f64| format!("{:+.2}", 100.0 * share);
    let rows = beside.differences.iter().map(|at| {
        let proven = at.interval[0] > 0.0 || at.interval[1] < 0.0;
        let row = vec![
            one_in(at.fmr),
            percent(at.fnmr[0]),
            percent(at.fnmr[1]),
            format!("{} points", points(at.difference)),
            format!("{} – {}", points(at.interval[0]), points(at.interval[1])),
            if !proven {
                "no difference shown"
            } else if at.difference < 0.0 {
                "the first is better"
            } else {
                "the second is better"
            }
            .into(),
        ];
        (at.false_matches < FEW, row)
    });
    let words = format!(
        "First: {}. Second: {}. Over the {} pictures of {} people that both runs have ({} only in the first, {} only in the second); \
         failures to acquire {} and {}. The interval of the difference is over the same resamples of people for both, thresholds \
         included.",
        escaped(&beside.runs[0]),
        escaped(&beside.runs[1]),
        number(beside.images as u64),
        number(beside.subjects as u64),
        beside.left_out[0],
        beside.left_out[1],
        beside.failures[0],
        beside.failures[1]
    );
    section(
        "Two runs beside each other",
        &words,
        &table(&["FMR", "first: FNMR", "second: FNMR", "difference", "95 %", ""], rows),
    )
}

fn rates(report: &Report) -> String {
    let rows = report.rates.iter().map(|rate| {
        let row = vec![
            one_in(rate.fmr),
            number(rate.false_matches),
            format!("{:.4}", rate.cosine),
            percent(rate.fnmr),
            between(rate.fnmr_interval),
        ];
        (rate.false_matches < FEW, row)
    });
    let curve =
        report.det.iter().filter(|point| point.fmr > 0.0 && point.fnmr > 0.0).map(|point| (point.fmr, point.fnmr));
    let line = Series {
        name: "all thresholds".into(),
        colour: COLOURS[0],
        points: curve.collect(),
        whiskers: Vec::new(),
        kind: Kind::Line,
    };
    let known = report.rates.iter().filter(|rate| rate.false_matches >= FEW);
    let dots = Series {
        name: "with 95 % interval over people".into(),
        colour: COLOURS[1],
        points: known.clone().filter(|rate| rate.fnmr > 0.0).map(|rate| (rate.fmr, rate.fnmr)).collect(),
        whiskers: known.map(|rate| (rate.fmr, rate.fnmr_interval.map(|end| end.max(1e-4)))).collect(),
        kind: Kind::Dots,
    };
    let plot = Plot {
        title: "Detection error trade-off: FNMR against FMR".into(),
        x: Axis::powers("false match rate (FMR)", -6, 0, power),
        y: Axis::powers("false non-match rate (FNMR)", -4, 0, power),
        series: vec![line, dots],
        marks: Vec::new(),
    };
    let caption = "Detection error trade-off (DET), both axes logarithmic: towards the lower left is better. Left of the last dot \
                   fewer than ten false matches stand behind the curve.";
    section(
        "Error rates",
        "FNMR is the share of comparisons of one person that do not match, FMR the share of comparisons of two people that do \
         (ISO/IEC 19795-1). Pictures that gave no template count as not matching, so these are the generalised rates. Intervals are \
         95 % of a bootstrap over people, threshold included. Figures in italics rest on fewer than ten false matches.",
        &(table(&["FMR", "false matches", "cosine", "FNMR", "95 %"], rows) + &figure(&plot, caption) + &folds(report)),
    )
}

fn folds(report: &Report) -> String {
    let Some(folds) = &report.folds else { return String::new() };
    let rows = folds.folds.iter().enumerate().map(|(at, fold)| {
        (
            false,
            vec![(at + 1).to_string(), fold.pairs.to_string(), format!("{:.4}", fold.cosine), percent(fold.accuracy)],
        )
    });
    format!(
        "<h3>Accuracy over the folds of the list of pairs</h3><p class=\"what\">{} ± {} (mean and standard error), each fold with the \
         threshold that is right most often on the others.</p>{}",
        percent(folds.accuracy),
        percent(folds.standard_error),
        table(&["fold", "pairs", "cosine", "accuracy"], rows)
    )
}

fn thresholds(report: &Report) -> String {
    let rows = report.thresholds.iter().map(|at| {
        let row = vec![
            format!("{:.2}", at.threshold),
            format!("{:.4}", at.cosine),
            number(at.false_matches),
            format!("{:.2e}", at.fmr),
            format!("{:.1e} – {:.1e}", at.fmr_interval[0], at.fmr_interval[1]),
            percent(at.fnmr),
            between(at.fnmr_interval),
        ];
        (at.false_matches < FEW, row)
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    section(
        "What a threshold means",
        "A threshold is the least similarity that counts as a match: higher is stricter. By the scale that the pack has. Where no \
         error was seen, the interval is that of the rule of three.",
        &table(&["threshold", "cosine", "false matches", "FMR", "95 %", "FNMR", "95 %"], rows),
    )
}

fn histogram(report: &Report) -> String {
    let (Some(first), Some(last)) = (report.histogram.first(), report.histogram.last()) else { return String::new() };
    let steps = |name: &str, colour, of: fn(&crate::vision::evaluate::curves::Bar) -> f64| Series {
        name: name.into(),
        colour,
        points: report.histogram.iter().map(|bar| (bar.cosine, of(bar))).chain([(last.cosine + 0.02, 0.0)]).collect(),
        whiskers: Vec::new(),
        kind: Kind::Steps,
    };
    let highest = report.histogram.iter().map(|bar| bar.genuine.max(bar.impostors)).fold(0.0, f64::max);
    let at = report.rates.iter().find(|rate| rate.fmr == 1e-4 && rate.false_matches >= FEW);
    let plot = Plot {
        title: "How the scores of one person's and of two people's comparisons are spread".into(),
        x: Axis::linear("cosine", first.cosine, (last.cosine + 0.02).min(1.0), |at| format!("{at:.1}")),
        y: Axis::linear("share of comparisons", 0.0, highest, |at| format!("{:.0} %", 100.0 * at)),
        series: vec![
            steps("two people (impostors)", COLOURS[1], |bar| bar.impostors),
            steps("one person (genuine)", COLOURS[0], |bar| bar.genuine),
        ],
        marks: at.map(|rate| (f64::from(rate.cosine), "FMR 1 in 10,000".to_owned())).into_iter().collect(),
    };
    let caption = "Each bar is 0.02 wide, and each of the two adds up to 100 %. Failures to acquire are in neither.";
    section("How scores are spread", "", &figure(&plot, caption))
}

fn name_of(curve: &Discard) -> String {
    let words = match (&*curve.by, curve.worse) {
        ("score", _) => "quality score",
        ("eye_distance_px", _) => "distance of the eyes",
        ("roll_deg", _) => "tilt",
        ("brightness", Worse::Low) => "darkness",
        (other, _) => other,
    };
    words.to_owned()
}

fn quality(report: &Report) -> String {
    let reasons =
        report.refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ");
    let gate = format!(
        "<p class=\"what\">The gate for enrolments, as configured, would refuse {} of {} pictures (failure to enrol){}.</p>",
        number(report.failure_to_enrol as u64),
        number(report.images as u64),
        if reasons.is_empty() { String::new() } else { format!(": {reasons}; a picture may have several reasons") }
    );
    let curves: Vec<&Discard> = report.discard.iter().filter(|curve| curve.fmr == 1e-4).collect();
    if curves.is_empty() {
        return section("Error against discard by quality", "", &gate);
    }
    let series = curves.iter().zip(COLOURS).map(|(curve, colour)| {
        let score = curve.by == "score";
        Series {
            name: name_of(curve),
            colour,
            points: curve.points.iter().map(|point| (point.discarded, point.fnmr)).collect(),
            whiskers: curve
                .points
                .iter()
                .filter(|_| score)
                .map(|point| (point.discarded, point.fnmr_interval))
                .collect(),
            kind: if score { Kind::Dotted } else { Kind::Thin },
        }
    });
    let series: Vec<Series> = series.collect();
    let ends = series
        .iter()
        .flat_map(|series| series.points.iter().map(|point| point.1).chain(series.whiskers.iter().map(|end| end.1[1])));
    let plot = Plot {
        title: "FNMR against the share of pictures that are discarded for their quality".into(),
        x: Axis::linear("share of pictures discarded, the worst first", 0.0, 0.5, |at| format!("{:.0} %", 100.0 * at)),
        y: Axis::linear("FNMR", 0.0, ends.fold(0.001, f64::max), |at| format!("{:.1} %", 100.0 * at)),
        series,
        marks: Vec::new(),
    };
    let rows = curves
        .iter()
        .flat_map(|curve| curve.points.iter().map(move |point| (curve, point)))
        .filter(|(_, point)| [0.0, 0.02, 0.05, 0.1, 0.2].contains(&point.asked));
    let rows = rows.map(|(curve, point)| {
        let worse = if curve.worse == Worse::Low { "≥" } else { "≤" };
        let limit = point.value.map_or("–".to_owned(), |value| format!("{worse} {value:.3}"));
        let row = vec![
            name_of(curve),
            percent(point.discarded),
            limit,
            number(point.genuine),
            number(point.false_non_matches),
            percent(point.fnmr),
            between(point.fnmr_interval),
            number(point.false_matches),
        ];
        (false, row)
    });
    let caption = "At the threshold that has FMR 1 in 10,000 over all pictures. A measure that tells which pictures the recogniser gets \
                   wrong makes its line fall.";
    section(
        "Error against discard by quality",
        "What would be gained by not taking the worst pictures (the error versus discard characteristic of ISO/IEC 29794-1).",
        &(gate
            + &figure(&plot, caption)
            + &table(&["by", "discarded", "kept", "genuine", "missed", "FNMR", "95 %", "false matches"], rows)),
    )
}

fn identification(report: &Report) -> String {
    let mut rates: Vec<f64> = report.identification.iter().map(|open| open.fpir).collect();
    rates.dedup();
    rates.truncate(3);
    let series = rates.iter().zip(COLOURS).map(|(&fpir, colour)| {
        let of = report.identification.iter().filter(move |open| open.fpir == fpir);
        Series {
            name: format!("FPIR {}", one_in(fpir)),
            colour,
            points: of.clone().map(|open| (open.enrolled as f64, open.fnir)).collect(),
            whiskers: of.map(|open| (open.enrolled as f64, open.fnir_range)).collect(),
            kind: Kind::Dotted,
        }
    });
    let rows = report.identification.iter().map(|open| {
        let row = vec![
            number(open.enrolled as u64),
            one_in(open.fpir),
            number(open.false_positives as u64),
            format!("{:.4}", open.cosine),
            percent(open.fnir),
            between(open.fnir_range),
        ];
        (open.false_positives < FEW as usize, row)
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let highest = report.identification.iter().map(|open| open.fnir_range[1]).fold(0.001, f64::max);
    let plot = Plot {
        title: "FNIR against the number of enrolled".into(),
        x: Axis::powers("embeddings enrolled", 1, 4, |at| number(at as u64)),
        y: Axis::linear("FNIR", 0.0, highest, |at| format!("{:.1} %", 100.0 * at)),
        series: series.collect(),
        marks: Vec::new(),
    };
    section(
        "One against many: strangers before a gallery",
        "Some people are enrolled, the others come as strangers (open-set identification, ISO/IEC 19795-1; one photograph an attempt; \
         20 draws of who is enrolled). FPIR is the share of strangers who are taken for somebody, FNIR the share of other photographs of \
         the enrolled that are not recognised, at a threshold that is chosen for the FPIR.",
        &(figure(&plot, "Whiskers are the lowest and the highest of the draws.")
            + &table(&["enrolled", "FPIR", "false positives", "cosine", "FNIR", "draws"], rows)),
    )
}

fn doors(report: &Report) -> String {
    let rows = |all: &[OpenSet]| -> Vec<(bool, Vec<String>)> {
        let row = |open: &OpenSet| {
            let support = format!("{:?}", open.support).to_lowercase();
            vec![
                number(open.enrolled as u64),
                format!("1 in {}", open.one_in),
                percent(open.fpir),
                between(open.fpir_interval),
                between(open.fpir_range),
                format!("{:.3} ({support})", open.threshold),
                percent(open.fnir),
                format!("{:.0}", open.enrolled_of_the_curve),
            ]
        };
        all.iter().map(|open| (false, row(open))).collect()
    };
    let headings = [
        "enrolled",
        "asked",
        "strangers let in",
        "95 %",
        "draws",
        "threshold",
        "enrolled not known",
        "enrolled, of the curve’s people",
    ];
    let mut inside = String::new();
    if !report.held_back.is_empty() {
        inside += "<h3>People held back</h3><p class=\"what\">In each of 20 draws the curve comes from one half of the people, and the \
                   strangers are of the other half. Where that half cannot fill the gallery, people of the first are enrolled too; they \
                   are never the strangers.</p>";
        inside += &table(&headings, rows(&report.held_back));
    }
    if !report.open_set.is_empty() {
        inside += "<h3>By the curve that the pack has</h3><p class=\"what\">Where the pack was calibrated on these photographs, this says \
                   less than the table above.</p>";
        inside += &table(&headings, rows(&report.open_set));
    }
    section(
        "Doors that are set by a chance",
        "A door that is told <code>false_accept = \"1 in …\"</code> derives its threshold from the number enrolled and the pack’s curve. \
         One photograph is one attempt, at a door that one frame opens (<code>votes = 1</code>, <code>window = 1</code>).",
        &inside,
    )
}

fn groups(report: &Report) -> String {
    let each: String = report.groups.iter().map(between_groups).collect();
    section(
        "Differences between groups",
        "Each group at the same threshold (ISO/IEC 19795-10, performance variation across demographic groups). A differential is the \
         highest rate divided by the lowest. What the groups are, the operator’s labels say; small groups have wide intervals.",
        &each,
    )
}

fn between_groups(groups: &Groups) -> String {
    let rate = |rate: Option<f64>, words: fn(f64) -> String| rate.map_or("–".to_owned(), words);
    let small = |rate: f64| format!("{rate:.1e}");
    let unknown = || "not known".to_owned();
    let range = |of: Option<[f64; 2]>| of.map_or_else(unknown, |of| format!("{:.1e} – {:.1e}", of[0], of[1]));
    let rows = groups.groups.iter().map(|group| {
        let row = vec![
            escaped(&group.name),
            number(group.subjects as u64),
            number(group.images as u64),
            percent(group.failure_to_acquire),
            rate(group.fnmr, percent),
            group.fnmr_interval.map_or_else(unknown, between),
            rate(group.fmr, small),
            range(group.fmr_interval),
            number(group.false_matches),
        ];
        (group.subjects < FEW as usize, row)
    });
    let across = groups.across.iter().map(|across| {
        let row = vec![
            format!("{} with {}", escaped(&across.groups[0]), escaped(&across.groups[1])),
            number(across.impostors),
            number(across.false_matches),
            rate(across.fmr, small),
            range(across.fmr_interval),
        ];
        (across.false_matches < FEW, row)
    });
    let differential =
        [("FMR", groups.fmr_differential), ("FNMR", groups.fnmr_differential)].map(|(what, apart)| match apart {
            Some(apart) => format!(
                "<li>{what}: the highest is {:.1} times the lowest (95 %: {}) and {:.1} times the geometric mean</li>",
                apart.highest_to_lowest,
                apart.highest_to_lowest_interval.map_or_else(unknown, |of| format!("{:.1} – {:.1}", of[0], of[1])),
                apart.highest_to_mean
            ),
            None => format!("<li>{what}: no ratio, since a group has no error or there is but one group</li>"),
        });
    let across: Vec<_> = across.collect();
    let crossed = if across.is_empty() {
        String::new()
    } else {
        table(&["people of two groups", "comparisons", "false matches", "FMR", "95 %"], across)
    };
    format!(
        "<h3>At the threshold that has FMR {} over all (cosine {:.3})</h3>{}<ul>{}</ul>{crossed}",
        one_in(groups.fmr),
        groups.cosine,
        table(&["group", "people", "pictures", "FTA", "FNMR", "95 %", "FMR", "95 %", "false matches"], rows),
        differential.concat()
    )
}

fn provenance(report: &Report) -> String {
    let time = report.time;
    let times = [
        ("decoding", time.decode),
        ("detector", time.detector),
        ("landmarks", time.landmarks),
        ("recogniser", time.recogniser),
        ("around them", time.around),
    ];
    let times = times.map(|(stage, ms)| (false, vec![stage.to_owned(), format!("{ms:.1} ms")]));
    let files =
        report.networks.networks.iter().map(|(file, hash)| {
            format!("<tr><td>{}</td><td class=\"code\">{}</td></tr>", escaped(file), escaped(hash))
        });
    format!(
        "<section><h2>What ran</h2><p class=\"what\">facegate {}, pack “{}”, recogniser “{}”. {} unreadable files, {} pictures without \
         a name, {} without a face, {} without a template.</p>{}<p class=\"what\">Mean time for one picture on one of the threads, both \
         templates of it together; it depends on the machine and its load.</p><div class=\"wide\"><table><tr><th>network</th><th \
         style=\"text-align:left\">SHA-256</th></tr>{}</table></div></section><footer>What this does not say: how the rates are for other \
         people, other cameras and other light, and how often a picture held before the camera is taken for a person. What the \
         networks were trained on is not published for all of them, so nothing is known of who was among those people.</footer>",
        escaped(&report.version),
        escaped(&report.networks.pack),
        escaped(&report.model),
        report.unreadable,
        report.unlabelled,
        report.without_face,
        report.without_template,
        table(&["stage", "time"], times),
        files.collect::<String>()
    )
}
