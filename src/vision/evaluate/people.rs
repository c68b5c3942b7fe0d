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
    /// The people's names, by their numbers.
    pub names: Vec<String>,
    /// Pictures whose names say nobody's name, and folders that cannot be read.
    pub unlabelled: Vec<String>,
    pub closed: Vec<String>,
}

/// A picture of somebody.
#[derive(Debug)]
pub struct Picture {
    pub path: PathBuf,
    /// Its name below the folder: `Name/file.jpg` or `Name_0001.jpg`.
    pub name: String,
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
        let name = name_of(&path);
        if !path.is_dir() {
            let person = Path::new(&name).file_stem().and_then(|stem| before_the_number(stem.to_str()?));
            people.take(path, name, person, among, &mut subjects);
            continue;
        }
        match entries(&path) {
            Ok(entries) => entries.into_iter().for_each(|path| {
                let below = format!("{name}/{}", name_of(&path));
                people.take(path, below, Some(name.clone()), among, &mut subjects);
            }),
            Err(_) => people.closed.push(name),
        }
    }
    Ok(people)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).context(Kind::NotFound, || format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn before_the_number(stem: &str) -> Option<String> {
    let (name, number) = stem.rsplit_once('_')?;
    number.parse::<u32>().is_ok().then(|| name.to_owned())
}

impl People {
    fn take(
        &mut self,
        path: PathBuf,
        name: String,
        person: Option<String>,
        among: Option<&HashSet<String>>,
        subjects: &mut HashMap<String, usize>,
    ) {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        if !matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png")) {
            return;
        }
        if among.is_some_and(|among| !among.contains(&name) && !among.contains(&name_of(&path))) {
            return;
        }
        let Some(person) = person else {
            self.unlabelled.push(name);
            return;
        };
        let count = subjects.len();
        let subject = *subjects.entry(person.clone()).or_insert(count);
        if subject == count {
            self.names.push(person);
        }
        self.pictures.push(Picture { path, name, subject });
    }

    /// The pictures by what a list may call them: the name below the folder, the file's name, and either without its ending.
    /// What several pictures are called names none of them.
    pub fn by_name(&self) -> HashMap<String, usize> {
        let mut known: HashMap<String, Option<usize>> = HashMap::new();
        for (number, picture) in self.pictures.iter().enumerate() {
            let file = name_of(&picture.path);
            let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
            let names = HashSet::from([stem(&picture.name), stem(&file), picture.name.clone(), file]);
            for name in names {
                known.entry(name).and_modify(|of| *of = None).or_insert(Some(number));
            }
        }
        known.into_iter().filter_map(|(name, of)| Some((name, of?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_are_read_and_what_names_nobody_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("Carol")).unwrap();
        for name in ["Alice_0001.jpg", "Alice_0002.JPEG", "Bob_B_0001.png", "notes.txt", "stray.jpg", "Carol/any.jpg"] {
            std::fs::write(at(name), b"").unwrap();
        }
        let people = list(folder.path(), None).unwrap();
        assert_eq!(people.pictures.iter().map(|picture| picture.subject).collect::<Vec<_>>(), [0, 0, 1, 2]);
        assert_eq!(
            (people.names, people.unlabelled),
            (vec!["Alice".into(), "Bob_B".into(), "Carol".into()], vec!["stray.jpg".into()])
        );
        let among = HashSet::from(["Alice_0002.JPEG".to_owned(), "any.jpg".to_owned()]);
        let people = list(folder.path(), Some(&among)).unwrap();
        assert_eq!((people.pictures.len(), people.names.len(), people.unlabelled.len()), (2, 2, 0));
        assert_eq!(list(&at("nowhere"), None).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn a_name_that_several_pictures_have_is_none_of_theirs() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["Alice/1.jpg", "Bob/1.jpg", "Bob/2.png"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let known = list(folder.path(), None).unwrap().by_name();
        let of = |name: &str| known.get(name).copied();
        assert_eq!(
            [of("1.jpg"), of("1"), of("Alice/1.jpg"), of("Bob/1"), of("2")],
            [None, None, Some(0), Some(1), Some(2)]
        );
    }
}
