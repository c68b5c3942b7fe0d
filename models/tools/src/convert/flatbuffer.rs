//! Reading FlatBuffers without a schema compiler: every offset and length is checked against the bytes before it is used.
//!
//! Layout: <https://flatbuffers.dev/internals>. A table begins with the distance back to its vtable; the vtable holds its
//! own size, the table's size and, for each field, where in the table the field stands (0: absent). Strings, vectors and
//! tables inside a table are distances forward from where they stand.

use crate::error::{Error, Result};

/// The bytes of a FlatBuffer.
#[derive(Clone, Copy, Debug)]
pub struct Buffer<'a>(&'a [u8]);

/// One table of it.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    buffer: Buffer<'a>,
    at: usize,
    vtable: usize,
    vtable_len: usize,
}

fn broken() -> Error {
    Error::new("the FlatBuffer is broken: an offset points outside of the file")
}

impl<'a> Buffer<'a> {
    /// The root table of the buffer.
    ///
    /// # Errors
    /// Where it lies outside, as for everything here.
    pub fn root(bytes: &'a [u8]) -> Result<Table<'a>> {
        let buffer = Self(bytes);
        buffer.table(buffer.follow(0)?)
    }

    fn array<const N: usize>(self, at: usize) -> Result<[u8; N]> {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or_else(broken)
    }

    fn u32(self, at: usize) -> Result<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// Where the distance that stands at `at` leads.
    fn follow(self, at: usize) -> Result<usize> {
        at.checked_add(self.u32(at)? as usize).filter(|&to| to < self.0.len()).ok_or_else(broken)
    }

    fn table(self, at: usize) -> Result<Table<'a>> {
        let back = i64::from(i32::from_le_bytes(self.array(at)?));
        let vtable = usize::try_from(at as i64 - back).map_err(|_| broken())?;
        let vtable_len = usize::from(u16::from_le_bytes(self.array(vtable)?));
        Ok(Table { buffer: self, at, vtable, vtable_len })
    }

    /// The elements of a vector, each of `size` bytes.
    fn vector(self, at: usize, size: usize) -> Result<&'a [u8]> {
        let len = (self.u32(at)? as usize).checked_mul(size).ok_or_else(broken)?;
        self.0.get(at + 4..).and_then(|rest| rest.get(..len)).ok_or_else(broken)
    }

    fn string(self, at: usize) -> Result<&'a str> {
        std::str::from_utf8(self.vector(at, 1)?).map_err(|_| Error::new("the FlatBuffer is broken: a name is no UTF-8"))
    }

    /// Where each element of a vector of offsets leads. At most `limit`, since many may lead to one place and so cost far
    /// more than the file's size.
    fn targets(self, at: usize, limit: usize) -> Result<Vec<usize>> {
        let offsets = self.vector(at, 4)?.len() / 4;
        if offsets > limit {
            return Err(Error::new(format!(
                "the FlatBuffer lists {offsets} things where at most {limit} are plausible"
            )));
        }
        (0..offsets).map(|index| self.follow(at + 4 + index * 4)).collect()
    }
}

impl<'a> Table<'a> {
    /// Where the field with that number (counted from 0, in the order of the schema) stands, if it is there.
    fn field(&self, number: usize) -> Result<Option<usize>> {
        let slot = 4 + 2 * number;
        if slot + 2 > self.vtable_len {
            return Ok(None);
        }
        let offset = u16::from_le_bytes(self.buffer.array(self.vtable + slot)?);
        Ok((offset != 0).then(|| self.at + usize::from(offset)))
    }

    fn target(&self, number: usize) -> Result<Option<usize>> {
        self.field(number)?.map(|at| self.buffer.follow(at)).transpose()
    }

    /// A 32-bit integer; 0 where it is absent.
    pub fn i32(&self, number: usize) -> Result<i32> {
        self.field(number)?.map_or(Ok(0), |at| self.buffer.array(at).map(i32::from_le_bytes))
    }

    /// A 64-bit integer; 0 where it is absent.
    pub fn i64(&self, number: usize) -> Result<i64> {
        self.field(number)?.map_or(Ok(0), |at| self.buffer.array(at).map(i64::from_le_bytes))
    }

    /// Text; empty where it is absent.
    pub fn string(&self, number: usize) -> Result<&'a str> {
        self.target(number)?.map_or(Ok(""), |at| self.buffer.string(at))
    }

    /// A table inside this one.
    pub fn table(&self, number: usize) -> Result<Option<Table<'a>>> {
        self.target(number)?.map(|at| self.buffer.table(at)).transpose()
    }

    /// The elements of a vector, each of `size` bytes; empty where it is absent.
    pub fn vector(&self, number: usize, size: usize) -> Result<&'a [u8]> {
        self.target(number)?.map_or(Ok(&[]), |at| self.buffer.vector(at, size))
    }

    /// A vector of 64-bit integers, at most 16.
    pub fn i64s(&self, number: usize) -> Result<Vec<i64>> {
        let (values, _) = self.vector(number, 8)?.as_chunks::<8>();
        if values.len() > 16 {
            return Err(Error::new(format!(
                "the FlatBuffer lists {} numbers where at most 16 are plausible",
                values.len()
            )));
        }
        Ok(values.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect())
    }

    /// A vector of tables, at most `limit`.
    pub fn tables(&self, number: usize, limit: usize) -> Result<Vec<Table<'a>>> {
        let Some(at) = self.target(number)? else { return Ok(Vec::new()) };
        self.buffer.targets(at, limit)?.into_iter().map(|at| self.buffer.table(at)).collect()
    }

    /// A vector of texts, at most `limit`.
    pub fn strings(&self, number: usize, limit: usize) -> Result<Vec<&'a str>> {
        let Some(at) = self.target(number)? else { return Ok(Vec::new()) };
        self.buffer.targets(at, limit)?.into_iter().map(|at| self.buffer.string(at)).collect()
    }
}
