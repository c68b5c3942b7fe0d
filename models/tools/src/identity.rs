//! What makes a file the one that is meant: its size and its SHA-256.

use std::fmt;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Context, Error, Result};

/// The size and SHA-256 of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    pub bytes: u64,
    pub sha256: Hash,
}

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let mut hash = [0; 32];
        if pairs.len() != hash.len() || !rest.is_empty() {
            return None;
        }
        for (byte, &[high, low]) in hash.iter_mut().zip(pairs) {
            *byte = (digit(high)? << 4 | digit(low)?) as u8;
        }
        Some(Self(hash))
    }

    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash of a file of any size.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of_file(path: &Path) -> Result<Self> {
        let place = || format!("cannot read {}", path.display());
        let mut file = std::fs::File::open(path).context(place)?;
        let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer).context(place)? {
                0 => return Ok(Self(hasher.finalize().into())),
                len => hasher.update(&buffer[..len]),
            }
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, sha256 {}", self.bytes, self.sha256)
    }
}

impl Identity {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: Hash::of(bytes) }
    }

    /// Checks bytes that were said to be this file; `what` names them.
    ///
    /// # Errors
    /// Where they are not.
    pub fn check(&self, bytes: &[u8], what: &str) -> Result<()> {
        let found = Self::of(bytes);
        match found == *self {
            true => Ok(()),
            false => Err(Error::new(format!("{what} is not what it should be: found {found:?}, expected {self:?}"))),
        }
    }

    /// The contents of the file at `path`, if it is this one. A file of another size is not read.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let place = || format!("cannot read {}", path.display());
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.context(place)?,
        };
        let metadata = file.metadata().context(place)?;
        if !metadata.is_file() || metadata.len() != self.bytes {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(self.bytes + 1).read_to_end(&mut bytes).context(place)?;
        Ok((Self::of(&bytes) == *self).then_some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_written_as_they_are_read() {
        // FIPS 180-2, appendix B.1.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::of(b"abc").to_string(), text);
        assert_eq!(Hash::parse(text), Some(Hash::of(b"abc")));
        assert_eq!(Hash::parse(&text.to_uppercase()), Some(Hash::of(b"abc")));
        for bad in ["", &text[1..], &text.replace('b', "g"), &format!("{text}0"), &text.replace("ba", "é")] {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_file_is_taken_only_where_size_and_hash_are_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let identity = Identity::of(b"right");
        assert_eq!(identity.read(&path).unwrap(), None, "not there");
        for (contents, taken) in
            [(&b"right"[..], true), (b"wrong", false), (b"righ", false), (b"right and more", false)]
        {
            std::fs::write(&path, contents).unwrap();
            assert_eq!(identity.read(&path).unwrap().is_some(), taken, "{contents:?}");
            assert_eq!(Hash::of_file(&path).unwrap(), Hash::of(contents));
        }
        assert_eq!(identity.read(folder.path()).unwrap(), None, "a folder");
    }
}
