//! `docs/thresholds.md` against the packs' manifests.

const PAGE: &str = include_str!("../../docs/thresholds.md");
const MANIFESTS: [&str; 2] =
    [include_str!("../../models/door/manifest.toml"), include_str!("../../models/starter/manifest.toml")];

#[test]
fn the_page_has_the_rates_of_both_manifests_beside_each_threshold() {
    let scales = MANIFESTS.map(|manifest| {
        let manifest: toml::Table = toml::from_str(manifest).expect("TOML");
        manifest["recogniser"]["calibration"].clone()
    });
    for (number, threshold) in [0.4, 0.5, 0.6, 0.7, 0.8, 0.9].into_iter().enumerate() {
        let row = PAGE.lines().map(|line| line.replace("**", "")).find(|line| {
            // The one table that has both packs side by side.
            line.starts_with(&format!("| {threshold} |")) && line.matches('|').count() == 6
        });
        let row = row.unwrap_or_else(|| panic!("there is no row of {threshold}"));
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        for (scale, told) in scales.iter().zip(cells[1..].chunks(2)) {
            let measured = &scale["thresholds"][number];
            let figure = |key: &str| measured[key].as_float().expect("a number");
            assert_eq!(figure("threshold"), threshold);
            assert_eq!(told[1], format!("{:.2} %", 100.0 * figure("fnmr")), "{row}");
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
