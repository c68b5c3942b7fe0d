//! Whose picture is which: a folder of known people.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use crate::error::{Context, Kind, Result};

/// Pictures of known people.
#[derive(Debug, Default)]
pub struct People {
    pub pictures: Vec<Picture>,
    /// How many people there are.
    pub subjects: usize,
    /// Pictures whose names say nobody's name.
    pub unlabelled: usize,
}

/// A picture of somebody.
#[derive(Debug)]
pub struct Picture {
    pub path: PathBuf,
    /// Numbered from 0.
    pub subject: usize,
}

/// The JPEG and PNG files of a folder. One in a folder of its own below it is of the person that this folder is named after;
/// one beside those is called `Name_0001.jpg`, as LFW has it: what stands before the last `_` and number is the person. With
/// `among`, only files of those names.
///
/// # Errors
/// [`Kind::NotFound`] where the folder cannot be read.
pub fn list(folder: &Path, among: Option<&HashSet<String>>) -> Result<People> {
    let mut people = People::default();
    let mut subjects = HashMap::new();
    for path in entries(folder)? {
        if path.is_dir() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            for path in entries(&path)? {
                people.take(path, Some(name.clone()), among, &mut subjects);
            }
        } else {
            let name = path.file_stem().and_then(|stem| before_the_number(stem.to_str()?));
            people.take(path, name, among, &mut subjects);
        }
    }
    people.subjects = subjects.len();
    Ok(people)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).context(Kind::NotFound, || format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn before_the_number(stem: &str) -> Option<String> {
    let (name, number) = stem.rsplit_once('_')?;
    number.parse::<u32>().is_ok().then(|| name.to_owned())
}

impl People {
    fn take(
        &mut self,
        path: PathBuf,
        name: Option<String>,
        among: Option<&HashSet<String>>,
        subjects: &mut HashMap<String, usize>,
    ) {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        if !matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png")) {
            return;
        }
        let file = path.file_name().map(|file| file.to_string_lossy());
        if among.is_some_and(|among| file.is_none_or(|file| !among.contains(&*file))) {
            return;
        }
        let Some(name) = name else {
            self.unlabelled += 1;
            return;
        };
        let count = subjects.len();
        let subject = *subjects.entry(name).or_insert(count);
        self.pictures.push(Picture { path, subject });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_are_read_and_what_names_nobody_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("Carol")).unwrap();
        for name in ["Alice_0001.jpg", "Alice_0002.JPEG", "Bob_B_0001.png", "notes.txt", "stray.jpg", "Carol/any.jpg"] {
            std::fs::write(at(name), b"").unwrap();
        }
        let people = list(folder.path(), None).unwrap();
        assert_eq!((people.pictures.len(), people.subjects, people.unlabelled), (4, 3, 1));
        assert_eq!(people.pictures.iter().map(|picture| picture.subject).collect::<Vec<_>>(), [0, 0, 1, 2]);
        let among = HashSet::from(["Alice_0002.JPEG".to_owned(), "any.jpg".to_owned()]);
        let people = list(folder.path(), Some(&among)).unwrap();
        assert_eq!((people.pictures.len(), people.subjects, people.unlabelled), (2, 2, 0));
        assert_eq!(list(&at("nowhere"), None).unwrap_err().kind(), Kind::NotFound);
    }
}
