//! How errors differ between groups of people, in the terms of ISO/IEC 19795-10: the demographic groups' failures to acquire,
//! false matches and false non-matches at one threshold for all, and the differentials between them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::{
    bootstrap::{known_interval, none_seen, resampled},
    comparisons::{Comparisons, Extent, Score},
    people::People,
    taking::Taken,
};
use crate::error::{Error, Kind, Result};

/// The false match rates over all people at whose thresholds the groups are compared.
const AT: [f64; 2] = [1e-3, 1e-4];

/// Which group each picture is of, by the pictures' numbers.
pub struct Labels {
    names: Vec<String>,
    of: Vec<Option<usize>>,
}

/// The groups at one threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Groups {
    /// The false match rate over all people at whose threshold the groups are compared.
    pub fmr: f64,
    /// That threshold.
    pub cosine: f32,
    pub groups: Vec<Group>,
    /// Comparisons of people of two groups.
    pub across: Vec<Across>,
    /// None where a group has no error, or there is but one.
    pub fmr_differential: Option<Differential>,
    pub fnmr_differential: Option<Differential>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    pub images: usize,
    pub subjects: usize,
    /// The share of pictures that gave no template.
    pub failure_to_acquire: f64,
    /// Comparisons of one person.
    pub genuine: u64,
    pub false_non_matches: u64,
    /// None where there is no comparison of one person.
    pub fnmr: Option<f64>,
    /// None where that is not known.
    pub fnmr_interval: Option<[f64; 2]>,
    /// Comparisons of two people of this group.
    pub impostors: u64,
    pub false_matches: u64,
    pub fmr: Option<f64>,
    pub fmr_interval: Option<[f64; 2]>,
}

/// Comparisons of people of two groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Across {
    pub groups: [String; 2],
    pub impostors: u64,
    pub false_matches: u64,
    pub fmr: Option<f64>,
    pub fmr_interval: Option<[f64; 2]>,
}

/// How far groups are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Differential {
    /// The highest rate divided by the lowest, of the groups that have one, and the 95 % interval; none where that is not known.
    pub highest_to_lowest: f64,
    pub highest_to_lowest_interval: Option<[f64; 2]>,
    /// The highest rate divided by the geometric mean.
    pub highest_to_mean: f64,
}

/// Reads a list of labels: a person or a picture, and the group, with a tab or a comma between; the last of them parts the two.
///
/// # Errors
/// [`Kind::InvalidField`], naming the line.
pub fn read(text: &str, origin: &str) -> Result<Vec<(String, String)>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let labels = lines.map(|(at, line)| {
        let parts = line.rsplit_once(['\t', ',']).map(|(of, group)| (of.trim().to_owned(), group.trim().to_owned()));
        parts.filter(|(of, group)| !of.is_empty() && !group.is_empty()).ok_or_else(|| {
            Error::new(
                Kind::InvalidField,
                format!("{origin}, line {}: takes a name, a tab or comma, and a group", at + 1),
            )
            .help("as in `Alice,women`: the name is a person's or a picture's")
        })
    });
    labels.collect()
}

impl Labels {
    /// The labels of these people's pictures; the names in the list that are nobody's; and the groups that no picture is of, which are
    /// left out. What is said of a picture goes before what is said of the person. A first line that names nobody and a group that
    /// stands nowhere else is a heading, unless it is called much like somebody or some picture that is there.
    pub fn of(labels: &[(String, String)], people: &People) -> (Self, Vec<String>, Vec<String>) {
        let pictures = people.by_name();
        let persons: HashMap<&str, usize> = people.names.iter().enumerate().map(|(at, name)| (&**name, at)).collect();
        let is_heading = |(name, group): &(String, String)| {
            let known = persons.contains_key(&**name) || pictures.contains_key(name);
            let alike = |there: &str| strsim::normalized_levenshtein(name, there) > 0.7;
            let misspelt = || persons.keys().any(|there| alike(there)) || pictures.keys().any(|there| alike(there));
            !known && !misspelt() && labels[1..].iter().all(|(_, other)| other != group)
        };
        let labels = if labels.first().is_some_and(is_heading) { &labels[1..] } else { labels };
        let (mut of_picture, mut of_person) = (HashMap::new(), HashMap::new());
        let mut unknown = Vec::new();
        for (name, group) in labels {
            match (persons.get(&**name), pictures.get(name)) {
                (Some(person), _) => drop(of_person.insert(*person, &**group)),
                (None, Some(picture)) => drop(of_picture.insert(*picture, &**group)),
                (None, None) => unknown.push(name.clone()),
            }
        }
        let of = people.pictures.iter().enumerate();
        let of = of.map(|(at, picture)| of_picture.get(&at).or_else(|| of_person.get(&picture.subject)).copied());
        let of: Vec<Option<&str>> = of.collect();
        let used: BTreeSet<&str> = of.iter().flatten().copied().collect();
        let named: BTreeSet<&str> = labels.iter().map(|(_, group)| &**group).collect();
        let empty = named.difference(&used).map(|&group| group.to_owned()).collect();
        let names: Vec<String> = used.into_iter().map(str::to_owned).collect();
        let number = |group: &str| names.binary_search_by(|name| name.as_str().cmp(group)).ok();
        let of = of.into_iter().map(|group| group.and_then(number)).collect();
        (Self { names, of }, unknown, empty)
    }

    /// The same for some of the pictures, by their numbers.
    #[must_use]
    pub fn kept(self, pictures: &[usize]) -> Self {
        Self { of: pictures.iter().map(|&picture| self.of[picture]).collect(), ..self }
    }

    /// Pictures without a group.
    pub fn unlabelled(&self) -> usize {
        self.of.iter().filter(|group| group.is_none()).count()
    }
}

/// Comparisons and errors of each two groups, by their numbers, the lower first; in a resample not whole numbers.
type Table = BTreeMap<(usize, usize), (f64, f64)>;

/// The groups at each threshold.
pub fn measure(comparisons: &Comparisons, taken: &[Taken], labels: &Labels, threads: usize) -> Vec<Groups> {
    let everybody = vec![1.0; comparisons.people];
    let thresholds = comparisons.weighted(&AT, &everybody);
    AT.into_iter()
        .zip(thresholds)
        .map(|(fmr, (cosine, _))| at(comparisons, taken, labels, fmr, cosine, threads))
        .collect()
}

fn at(comparisons: &Comparisons, taken: &[Taken], labels: &Labels, fmr: f64, cosine: f32, threads: usize) -> Groups {
    let everybody = vec![1.0; comparisons.people];
    let matched = comparisons.near_impostors.partition_point(|near| near.cosine >= cosine);
    let matched = &comparisons.near_impostors[..matched];
    let both = |weights: &[f64]| {
        (impostors(comparisons, labels, matched, weights), genuine(comparisons, labels, cosine, weights))
    };
    let (matches, misses) = both(&everybody);
    let resamples = resampled(threads, comparisons.people, both);
    let rate = |table: &Table, key: (usize, usize)| {
        let (of, errors) = table.get(&key).copied().unwrap_or_default();
        (of > 0.0).then_some(errors / of)
    };
    let spread =
        |of: fn(&(Table, Table)) -> &Table, found: &Table, key: (usize, usize), people: f64| match rate(found, key)? {
            0.0 => Some(none_seen(people)),
            _ => known_interval(resamples.iter().filter_map(|resample| rate(of(resample), key))),
        };
    let people_of = |group: usize| {
        let mut people: Vec<usize> =
            taken.iter().zip(&labels.of).filter(|(_, of)| **of == Some(group)).map(|(one, _)| one.subject).collect();
        people.sort_unstable();
        people.dedup();
        people.len()
    };
    let count = labels.names.len();
    let groups = (0..count).map(|group| {
        let (impostors, false_matches) = matches.get(&(group, group)).copied().unwrap_or_default();
        let (genuine, missed) = misses.get(&(group, group)).copied().unwrap_or_default();
        let images: Vec<&Taken> =
            taken.iter().zip(&labels.of).filter(|(_, of)| **of == Some(group)).map(|(one, _)| one).collect();
        let failed = images.iter().filter(|one| one.templates.is_none()).count();
        let subjects = people_of(group);
        Group {
            name: labels.names[group].clone(),
            images: images.len(),
            subjects,
            failure_to_acquire: failed as f64 / images.len().max(1) as f64,
            genuine: genuine as u64,
            false_non_matches: missed as u64,
            fnmr: rate(&misses, (group, group)),
            fnmr_interval: spread(|both| &both.1, &misses, (group, group), subjects as f64),
            impostors: impostors as u64,
            false_matches: false_matches as u64,
            fmr: rate(&matches, (group, group)),
            fmr_interval: spread(|both| &both.0, &matches, (group, group), subjects as f64 / 2.0),
        }
    });
    let groups: Vec<Group> = groups.collect();
    let across = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).map(|key| {
        let (impostors, errors) = matches.get(&key).copied().unwrap_or_default();
        let fewer = people_of(key.0).min(people_of(key.1)) as f64;
        Across {
            groups: [labels.names[key.0].clone(), labels.names[key.1].clone()],
            impostors: impostors as u64,
            false_matches: errors as u64,
            fmr: rate(&matches, key),
            fmr_interval: spread(|both| &both.0, &matches, key, fewer),
        }
    });
    let differential = |of: fn(&(Table, Table)) -> &Table, rates: Vec<Option<f64>>| {
        let ratio = |rates: &[f64]| {
            let (low, high) =
                rates.iter().fold((f64::INFINITY, 0.0f64), |(low, high), &rate| (low.min(rate), high.max(rate)));
            high / low
        };
        // A group without a pair has no rate, in no resample either.
        let compared: Vec<usize> = (0..count).filter(|&group| rates[group].is_some()).collect();
        let rates: Vec<f64> = rates.into_iter().flatten().collect();
        let resampled = resamples.iter().filter_map(|resample| {
            compared.iter().map(|&group| rate(of(resample), (group, group))).collect::<Option<Vec<f64>>>()
        });
        let mean = (rates.iter().map(|rate| rate.ln()).sum::<f64>() / rates.len() as f64).exp();
        (rates.len() > 1 && rates.iter().all(|rate| *rate > 0.0)).then(|| Differential {
            highest_to_lowest: ratio(&rates),
            highest_to_lowest_interval: known_interval(resampled.map(|rates| ratio(&rates))),
            highest_to_mean: rates.iter().copied().fold(0.0, f64::max) / mean,
        })
    };
    Groups {
        fmr,
        cosine,
        across: across.collect(),
        fmr_differential: differential(|both| &both.0, groups.iter().map(|group| group.fmr).collect()),
        fnmr_differential: differential(|both| &both.1, groups.iter().map(|group| group.fnmr).collect()),
        groups,
    }
}

/// Comparisons of one person, both pictures being of one group, and those that do not match.
fn genuine(comparisons: &Comparisons, labels: &Labels, cosine: f32, weights: &[f64]) -> Table {
    let mut table = Table::new();
    for same in &comparisons.genuine {
        let [Some(a), Some(b)] = [same.enrolled, same.probe].map(|picture| labels.of[picture as usize]) else {
            continue;
        };
        if a == b {
            let (of, missed) = table.entry((a, a)).or_default();
            let weight = comparisons.weight_of(same, weights);
            *of += weight;
            *missed += if same.cosine < cosine { weight } else { 0.0 };
        }
    }
    table
}

/// Comparisons of two people by their groups, and those that match.
fn impostors(comparisons: &Comparisons, labels: &Labels, matched: &[Score], weights: &[f64]) -> Table {
    let mut table = Table::new();
    let key = |score: &Score| {
        let [a, b] = [score.enrolled, score.probe].map(|picture| labels.of[picture as usize]);
        Some((a?.min(b?), a?.max(b?)))
    };
    if comparisons.extent == Extent::Listed {
        for score in &comparisons.near_impostors {
            if let Some(key) = key(score) {
                table.entry(key).or_default().0 += comparisons.weight_of(score, weights);
            }
        }
    } else {
        // All of a group with all of another, but for those of one person.
        let mut of_person: BTreeMap<usize, BTreeMap<usize, f64>> = BTreeMap::new();
        let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
        for (picture, group) in labels.of.iter().enumerate() {
            let Some(group) = *group else { continue };
            let person = comparisons.subject(picture as u32);
            *of_person.entry(person).or_default().entry(group).or_default() += weights[person];
            *sums.entry(group).or_default() += weights[person];
        }
        for (&a, sum) in &sums {
            for (&b, other) in sums.range(a..) {
                let twice = if a == b { 1.0 } else { 2.0 };
                table.entry((a, b)).or_default().0 += twice * sum * other;
            }
        }
        for groups in of_person.values() {
            for (&a, count) in groups {
                for (&b, other) in groups.range(a..) {
                    let twice = if a == b { 1.0 } else { 2.0 };
                    table.entry((a, b)).or_default().0 -= twice * count * other;
                }
            }
        }
    }
    for score in matched {
        if let Some(key) = key(score) {
            table.entry(key).or_default().1 += comparisons.weight_of(score, weights);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::evaluate::{comparisons::tests::fifty, pairs::Pair};

    /// Persons 0 to 24 are of the one group, the others of the other.
    fn halves() -> Labels {
        Labels { names: vec!["a".into(), "b".into()], of: (0..100).map(|picture| Some(picture / 50)).collect() }
    }

    #[test]
    fn every_comparison_is_of_one_group_or_of_two() {
        let all = fifty();
        let comparisons = Comparisons::of(&all, 50, 1);
        let found = measure(&comparisons, &all, &halves(), 2);
        let at = &found[0];
        assert_eq!((at.fmr, at.groups.len()), (1e-3, 2));
        // 50 pictures of 25 people in each: 50² − 25·2² both ways; 2·50·50 across.
        assert_eq!(at.groups.iter().map(|group| group.impostors).collect::<Vec<_>>(), [2400, 2400]);
        assert_eq!(at.across[0].impostors, 5000);
        assert_eq!(at.groups.iter().map(|group| group.impostors).sum::<u64>() + at.across[0].impostors, 9800);
        // Persons 0, 10, 20 of the one and 30, 40 of the other are unlike themselves.
        assert_eq!(at.groups.iter().map(|group| group.false_non_matches).collect::<Vec<_>>(), [6, 4]);
        let differential = at.fnmr_differential.unwrap();
        assert!((differential.highest_to_lowest - 1.5).abs() < 1e-9, "{differential:?}");
        assert_eq!(at.fmr_differential, None, "nobody matched anybody");
        assert_eq!(at.groups[0].fmr_interval, Some(none_seen(12.5)));
    }

    #[test]
    fn a_group_without_pairs_leaves_the_others_their_interval() {
        let all = fifty();
        let comparisons = Comparisons::of(&all, 50, 1);
        let mut labels = halves();
        // One picture of somebody whose other one is of another group.
        labels.names.push("c".into());
        labels.of[98] = Some(2);
        let at = &measure(&comparisons, &all, &labels, 2)[0];
        assert_eq!((at.groups[2].fnmr, at.groups[2].fnmr_interval), (None, None));
        assert_eq!((at.groups[2].fmr, at.groups[2].fmr_interval), (None, None));
        let apart = at.fnmr_differential.expect("two groups have a rate");
        let [low, high] = apart.highest_to_lowest_interval.expect("it is known");
        assert!(1.0 <= low && low < high && apart.highest_to_lowest <= high, "{apart:?}");
        let json = serde_json::to_value(&at.groups[2]).expect("JSON");
        assert!(json["fnmr_interval"].is_null(), "{json}");
    }

    #[test]
    fn listed_pairs_are_counted_one_by_one_and_what_has_no_group_is_left_out() {
        let all = fifty();
        let pairs = [(0, 2), (0, 98), (98, 96), (0, 1)].map(|(a, b)| Pair {
            enrolled: a,
            probe: b,
            same: a / 2 == b / 2,
            fold: 0,
        });
        let comparisons = Comparisons::of_pairs(&all, 50, &pairs, 1);
        let mut labels = halves();
        labels.of[96] = None;
        let at = &measure(&comparisons, &all, &labels, 1)[0];
        assert_eq!((at.groups[0].impostors, at.groups[1].impostors, at.across[0].impostors), (1, 0, 1));
        assert_eq!((at.groups[1].fmr, labels.unlabelled()), (None, 1));
    }

    #[test]
    fn labels_are_of_people_or_of_pictures_and_what_is_nobodys_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["Ada_0001.jpg", "Ada_0002.jpg", "Bo_0001.jpg", "Cy_0001.jpg"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let people = crate::vision::evaluate::people::list(folder.path(), None).unwrap();
        let text = "# who\nAda\twomen\nBo,men\n\nAda_0002.jpg,blurred\nDee,women\n";
        let (labels, unknown, empty) = Labels::of(&read(text, "l").unwrap(), &people);
        assert_eq!(
            (labels.names.clone(), unknown, empty),
            (vec!["blurred".into(), "men".into(), "women".into()], vec!["Dee".to_owned()], vec![])
        );
        assert_eq!((labels.of.clone(), labels.unlabelled()), (vec![Some(2), Some(0), Some(1), None], 1));
        assert_eq!(labels.kept(&[1, 3]).of, [Some(0), None]);
        assert!(read("Ada women", "l").unwrap_err().to_string().contains("line 1"));
        // A heading, and a person whose name and group are misspelt.
        let told = |text: &str| {
            let (labels, unknown, empty) = Labels::of(&read(text, "l").unwrap(), &people);
            (labels.names.join(" "), unknown.join(" "), empty.join(" "))
        };
        let words = |all: [&str; 3]| (all[0].to_owned(), all[1].to_owned(), all[2].to_owned());
        assert_eq!(told("person,group\nAda,women\nBoo,mne\n"), words(["women", "Boo", "mne"]));
        assert_eq!(
            told("Dee,women\nAda,women\n"),
            words(["women", "Dee", ""]),
            "no heading: its group stands elsewhere"
        );
        assert_eq!(told("Ada,women\nBo,men\n"), words(["men women", "", ""]), "nor is one that names somebody");
        assert_eq!(told("person,group\n"), words(["", "", ""]));
        let misspelt = told("Ada_0003.jpg,women\nBo,men\n");
        assert_eq!(misspelt, words(["men", "Ada_0003.jpg", "women"]), "no heading is called so");
    }
}
