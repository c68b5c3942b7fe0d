//! Files that are already on this machine: any file of the right size and SHA-256 counts, whatever its name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::identity::Identity;

/// More files than this are not looked at: a folder of networks was meant, not a whole disk.
const MOST_FILES: usize = 100_000;

/// The files under some folders, by size.
#[derive(Debug, Default)]
pub struct Local(HashMap<u64, Vec<PathBuf>>);

impl Local {
    /// Lists the files under these folders. What cannot be listed is left out, with a word to `say`.
    pub fn list(folders: &[PathBuf], say: &dyn Fn(&str)) -> Self {
        let mut local = Self::default();
        let mut left = MOST_FILES;
        let mut open = folders.iter().rev().map(|folder| (folder.clone(), 0)).collect::<Vec<_>>();
        while let Some((folder, depth)) = open.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries.flatten(),
                Err(error) => {
                    say(&format!("cannot look into {}: {error}", folder.display()));
                    continue;
                }
            };
            for entry in entries {
                if left == 0 {
                    say(&format!("more than {MOST_FILES} files under {}: the rest is left out", folder.display()));
                    return local;
                }
                left -= 1;
                // Links to files are followed, links to folders are not: they may lead in circles.
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && depth < 16 => open.push((entry.path(), depth + 1)),
                    Ok(kind) if !kind.is_dir() => local.add(entry.path()),
                    _ => {}
                }
            }
        }
        local
    }

    fn add(&mut self, path: PathBuf) {
        if let Ok(metadata) = std::fs::metadata(&path)
            && metadata.is_file()
        {
            self.0.entry(metadata.len()).or_default().push(path);
        }
    }

    /// The contents and place of a file that is the one meant.
    pub fn find(&self, identity: &Identity) -> Option<(Vec<u8>, &Path)> {
        for path in self.0.get(&identity.bytes).into_iter().flatten() {
            // One that cannot be read is as good as absent.
            if let Ok(Some(bytes)) = identity.read(path) {
                return Some((bytes, path));
            }
        }
        None
    }
}
