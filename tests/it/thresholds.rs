//! `docs/thresholds.md` against the packs' manifests.

use toml::Value;

const PAGE: &str = include_str!("../../docs/thresholds.md");
const MANIFESTS: [&str; 2] =
    [include_str!("../../models/door/manifest.toml"), include_str!("../../models/starter/manifest.toml")];

const THRESHOLDS: [f64; 6] = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

fn calibrations() -> [Value; 2] {
    MANIFESTS.map(|manifest| {
        let manifest: toml::Table = toml::from_str(manifest).expect("TOML");
        manifest["recogniser"]["calibration"].clone()
    })
}

#[test]
fn the_page_has_the_rates_of_both_manifests_beside_each_threshold() {
    let [door, starter] = calibrations();
    // A photograph and a door's frame; the small pack looks at both alike.
    assert_eq!(starter["thresholds"], starter["frames"]);
    let columns = [(&door, "thresholds"), (&door, "frames"), (&starter, "thresholds")];
    for (number, threshold) in THRESHOLDS.into_iter().enumerate() {
        let row = PAGE.lines().map(|line| line.replace("**", "")).find(|line| {
            // The one table that has both packs side by side.
            line.starts_with(&format!("| {threshold} |")) && line.matches('|').count() == 8
        });
        let row = row.unwrap_or_else(|| panic!("there is no row of {threshold}"));
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        for ((scale, rates), told) in columns.iter().zip(cells[1..].chunks(2)) {
            let measured = &scale[*rates][number];
            let figure = |key: &str| measured[key].as_float().expect("a number");
            assert_eq!(figure("threshold"), threshold);
            let fnmr: f64 = told[1].trim_end_matches(" %").parse().expect("a number");
            // The manifest is rounded too.
            assert!((fnmr - 100.0 * figure("fnmr")).abs() < 0.0056, "{row}: {}", figure("fnmr"));
            let (fmr, limit) = (figure("fmr"), |key: &str| scale[key].as_float().expect("a number"));
            match told[0].strip_prefix("1 in ") {
                None => assert!(
                    told[0].starts_with("none seen") && measured["false_matches"].as_integer() == Some(0),
                    "{row}"
                ),
                Some(told) => {
                    let one_in: f64 =
                        told.split(' ').next().expect("a number").replace(',', "").parse().expect("a number");
                    assert!((one_in * fmr - 1.0).abs() < 0.005, "{row}: {fmr}");
                }
            }
            let (guess, extrapolated) = (fmr < limit("extrapolated_to"), fmr < limit("measured_to"));
            assert_eq!(told[0].contains("a guess"), guess, "{row}");
            assert_eq!(told[0].contains("extrapolated"), extrapolated && !guess, "{row}");
        }
    }
}

/// A door derives its threshold from the curve of photographs, and compares single frames. By that threshold a frame of a stranger
/// must match no more often: the promise would be another one otherwise.
#[test]
fn a_doors_frame_matches_strangers_no_more_often_than_the_curve_of_photographs_says() {
    for scale in calibrations() {
        for (number, threshold) in THRESHOLDS.into_iter().enumerate() {
            let of = |rates: &str, key: &str| scale[rates][number][key].clone();
            assert_eq!(of("frames", "threshold").as_float(), Some(threshold));
            let (photographs, frames) = (of("thresholds", "fmr").as_float(), of("frames", "fmr").as_float());
            // Where ten false matches and more stand behind it: a tenth more is chance.
            if of("thresholds", "false_matches").as_integer() >= Some(10) {
                assert!(frames <= photographs.map(|fmr| 1.1 * fmr), "{threshold}: {frames:?}, {photographs:?}");
            }
        }
    }
}
