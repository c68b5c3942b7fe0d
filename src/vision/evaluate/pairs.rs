//! A list of pairs: which pictures are compared, and whether they are of one person.
//!
//! Two forms are read. LFW's own (`pairs.txt`, `pairsDevTest.txt`): a first line with the number of folds, where there is more
//! than one, and of pairs of either sort in a fold; then for each fold the lines `name n m` of one person and `name n name m` of
//! two. And a table of two pictures and `1` (one person) or `0` a line, with tabs, commas or spaces between and any first line; a
//! fourth column may name the fold.

use std::collections::HashMap;

use super::people::People;
use crate::error::{Error, Kind, Result};

/// Two pictures that are compared, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub enrolled: usize,
    pub probe: usize,
    /// Whether they are of one person.
    pub same: bool,
    /// Numbered from 0.
    pub fold: usize,
}

/// A pair as the list has it: what the pictures are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub pictures: [String; 2],
    pub same: bool,
    pub fold: usize,
}

/// The pairs of a list whose pictures are there, and the names of pictures that are not.
pub fn among(listed: &[Listed], people: &People) -> (Vec<Pair>, Vec<String>) {
    let known = people.by_name();
    let mut missing: Vec<String> = Vec::new();
    let mut pairs = Vec::new();
    for pair in listed {
        let found = pair.pictures.each_ref().map(|name| known.get(name).copied());
        if let [Some(enrolled), Some(probe)] = found {
            pairs.push(Pair { enrolled, probe, same: pair.same, fold: pair.fold });
        }
        missing
            .extend(pair.pictures.iter().zip(found).filter(|(_, found)| found.is_none()).map(|(name, _)| name.clone()));
    }
    missing.sort();
    missing.dedup();
    (pairs, missing)
}

/// Reads a list that is said to come from `origin`. `folds` cuts a table into so many parts of one length, one after the other.
///
/// # Errors
/// [`Kind::InvalidField`], naming the line.
pub fn read(text: &str, origin: &str, folds: Option<usize>) -> Result<Vec<Listed>> {
    let refuse = |line: usize, what: String| {
        Error::new(Kind::InvalidField, format!("{origin}, line {line}: {what}"))
            .help("a list of pairs is LFW's pairs.txt, or a table: picture, picture, 1 (one person) or 0")
    };
    let lines: Vec<(usize, Vec<&str>)> = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.split(['\t', ',', ' ', '\r']).filter(|word| !word.is_empty()).collect()))
        .filter(|(_, words): &(usize, Vec<&str>)| !words.is_empty())
        .collect();
    let Some(((_, first), rest)) = lines.split_first() else { return Err(refuse(1, "there is no pair".into())) };
    let numbers: Option<Vec<usize>> = first.iter().map(|word| word.parse().ok()).collect();
    let mut pairs = match numbers.as_deref() {
        Some([each]) => lfw(rest, *each),
        Some([_, each]) => lfw(rest, *each),
        _ => table(&lines),
    }
    .map_err(|(line, what)| refuse(line, what))?;
    if let Some(folds) = folds {
        if folds == 0 || !pairs.len().is_multiple_of(folds) {
            let what = format!("{} pairs cannot be cut into {folds} folds of one length", pairs.len());
            return Err(Error::new(Kind::InvalidField, format!("{origin}: {what}")));
        }
        let each = pairs.len() / folds;
        pairs.iter_mut().enumerate().for_each(|(at, pair)| pair.fold = at / each);
    }
    Ok(pairs)
}

type Lines<'a> = [(usize, Vec<&'a str>)];

/// LFW's form: `each` pairs of one person, as many of two, and so on for every fold.
fn lfw(lines: &Lines<'_>, each: usize) -> Result<Vec<Listed>, (usize, String)> {
    let picture = |line: usize, name: &str, number: &str| match number.parse::<u32>() {
        Ok(number) => Ok(format!("{name}_{number:04}")),
        Err(_) => Err((line, format!("'{}' is no number of a picture", number.escape_debug()))),
    };
    let read = |(at, (line, words)): (usize, &(usize, Vec<&str>))| {
        let (pictures, same) = match words[..] {
            [name, a, b] => ([picture(*line, name, a)?, picture(*line, name, b)?], true),
            [name, a, other, b] => ([picture(*line, name, a)?, picture(*line, other, b)?], false),
            _ => return Err((*line, "takes 'name n m' or 'name n name m'".to_owned())),
        };
        Ok(Listed { pictures, same, fold: at / (2 * each).max(1) })
    };
    lines.iter().enumerate().map(read).collect()
}

/// A table of two pictures, whether they are of one person, and perhaps the fold.
fn table(lines: &Lines<'_>) -> Result<Vec<Listed>, (usize, String)> {
    let mut folds: HashMap<&str, usize> = HashMap::new();
    let mut pairs = Vec::new();
    for (at, (line, words)) in lines.iter().enumerate() {
        let same = match words.get(2).copied() {
            Some("1") => true,
            Some("0") => false,
            // A line of headings, and no other.
            _ if at == 0 && words.len() > 2 => continue,
            _ => return Err((*line, "takes two pictures and 1 or 0".to_owned())),
        };
        let count = folds.len();
        let fold = *folds.entry(words.get(3).copied().unwrap_or_default()).or_insert(count);
        pairs.push(Listed { pictures: [words[0].to_owned(), words[1].to_owned()], same, fold });
    }
    if pairs.is_empty() {
        return Err((1, "there is no pair".into()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(a: &str, b: &str, same: bool, fold: usize) -> Listed {
        Listed { pictures: [a.into(), b.into()], same, fold }
    }

    #[test]
    fn lfws_own_form_is_read_fold_by_fold() {
        let text = "2\t1\nAda\t1\t4\nAda\t1\tBo_B\t12\nCy\t2\t3\nCy\t1\tAda\t1\n";
        let pairs = read(text, "pairs.txt", None).unwrap();
        let expected = [
            listed("Ada_0001", "Ada_0004", true, 0),
            listed("Ada_0001", "Bo_B_0012", false, 0),
            listed("Cy_0002", "Cy_0003", true, 1),
            listed("Cy_0001", "Ada_0001", false, 1),
        ];
        assert_eq!(pairs, expected);
        // The development lists have one fold, and one number in their first line.
        assert!(
            read("2\nAda 1 4\nBo 1 2\nAda 1 Bo 2\nBo 1 Cy 1\n", "dev", None).unwrap().iter().all(|pair| pair.fold == 0)
        );
    }

    #[test]
    fn a_table_is_read_with_headings_and_folds_or_without() {
        let text = "image_a\timage_b\tsame\nA_0001.jpg\tA_0002.jpg\t1\nA_0001.jpg\tB/x.png\t0\n";
        let expected = [listed("A_0001.jpg", "A_0002.jpg", true, 0), listed("A_0001.jpg", "B/x.png", false, 0)];
        assert_eq!(read(text, "pairs.tsv", None).unwrap(), expected);
        assert_eq!(read(text, "pairs.tsv", Some(2)).unwrap()[1].fold, 1);
        assert_eq!(
            read("a,b,1,x\nc,d,0,y\ne,f,0,x", "l", None).unwrap().iter().map(|p| p.fold).collect::<Vec<_>>(),
            [0, 1, 0]
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        for (text, said) in [
            ("", "no pair"),
            ("a b same\n", "no pair"),
            ("a b 1\nc d maybe\n", "line 2"),
            ("1 1\nAda 1 x\n", "line 2: 'x'"),
            ("1 1\nAda 1 2 3 4\n", "line 2: takes"),
        ] {
            let error = read(text, "l", None).unwrap_err();
            assert!(error.to_string().contains(said) && error.kind() == Kind::InvalidField, "{text}: {error}");
        }
        assert!(read("a b 1\nc d 0\ne f 0", "l", Some(2)).unwrap_err().to_string().contains("2 folds"));
        assert!(read("a b 1", "l", Some(0)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-c \t,\n\r]{0,80}", folds in prop::option::of(0usize..4)) {
            let _ = read(&text, "l", folds);
        }
    }
}
