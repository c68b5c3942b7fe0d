//! Reading `.espdl` files: networks quantised for Espressif's chips.
//!
//! The file is `EDL2`, a word that is 0 where nothing is encrypted, the length of what follows, a word of padding, then a
//! FlatBuffer of the schema `esp-dl/fbs_loader/espdl.fbs` of espressif/esp-dl. Values are integers times a power of two.

use std::collections::HashMap;

use super::flatbuffer::{Buffer, Table};
use crate::error::{Error, Result};

/// What a network may have of nodes or constants; several times the largest published.
const MOST: usize = 10_000;

/// A network: nodes in the order of computation.
#[derive(Debug)]
pub struct Network<'a> {
    pub nodes: Vec<Node<'a>>,
    pub constants: HashMap<&'a str, Constant<'a>>,
    pub input: Value<'a>,
    pub output: &'a str,
}

/// One operator applied.
#[derive(Debug)]
pub struct Node<'a> {
    pub op: &'a str,
    pub inputs: Vec<&'a str>,
    pub output: &'a str,
    attributes: HashMap<&'a str, Attribute<'a>>,
}

#[derive(Debug)]
enum Attribute<'a> {
    Int(i64),
    Ints(Vec<i64>),
    Text(&'a [u8]),
    Other,
}

/// A named value and its shape: batch, height, width, channels, as the chips have it.
#[derive(Debug)]
pub struct Value<'a> {
    pub name: &'a str,
    pub dims: Vec<i64>,
}

/// Integers that stand for `integer · 2^exponent`.
#[derive(Debug)]
pub struct Constant<'a> {
    pub name: &'a str,
    pub dims: Vec<usize>,
    kind: i32,
    data: &'a [u8],
    pub exponent: i32,
    /// How the values lie; a convolution's weights are `N16HWC16`, others `UNK`.
    pub layout: &'a str,
}

/// `TensorDataType` of the schema.
const INT8: i32 = 3;
const INT32: i32 = 6;

/// Reads a file.
///
/// # Errors
/// Where it is not of that kind, encrypted, cut short, or points outside of itself.
pub fn read(bytes: &[u8]) -> Result<Network<'_>> {
    let Some((header, body)) = bytes.split_first_chunk::<16>() else {
        return Err(Error::new("this is no .espdl file: it is too short"));
    };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if &header[..4] != b"EDL2" {
        return Err(Error::new("this is no .espdl file: it does not begin with EDL2"));
    }
    if word(4) != 0 {
        return Err(Error::new("this .espdl file is encrypted"));
    }
    let body = body.get(..word(8) as usize).ok_or_else(|| Error::new("this .espdl file is cut short"))?;
    let graph = Buffer::root(body)?.table(7)?.ok_or_else(|| Error::new("this .espdl file has no graph"))?;
    let nodes = graph.tables(0, MOST)?.iter().map(read_node).collect::<Result<_>>()?;
    let constants = graph.tables(2, MOST)?.iter().map(read_constant).collect::<Result<Vec<_>>>()?;
    let (inputs, outputs) = (graph.tables(4, 16)?, graph.tables(5, 16)?);
    let ([input], [output]) = (inputs.as_slice(), outputs.as_slice()) else {
        return Err(Error::new("only networks with one input and one output are understood"));
    };
    Ok(Network {
        nodes,
        constants: constants.into_iter().map(|constant| (constant.name, constant)).collect(),
        input: read_value(input)?,
        output: output.string(0)?,
    })
}

fn read_node<'a>(table: &Table<'a>) -> Result<Node<'a>> {
    let outputs = table.strings(1, 16)?;
    let &[output] = outputs.as_slice() else {
        return Err(Error::new("only nodes with one output are understood"));
    };
    let mut attributes = HashMap::new();
    for attribute in table.tables(5, 64)? {
        // AttributeType: 2 INT, 3 STRING, 7 INTS. The integer stands in the table itself.
        let value = match attribute.i32(3)? {
            2 => Attribute::Int(attribute.i64(5)?),
            3 => Attribute::Text(attribute.vector(6, 1)?),
            7 => Attribute::Ints(attribute.i64s(11)?),
            _ => Attribute::Other,
        };
        attributes.insert(attribute.string(0)?, value);
    }
    Ok(Node { op: table.string(3)?, inputs: table.strings(0, 16)?, output, attributes })
}

fn read_constant<'a>(table: &Table<'a>) -> Result<Constant<'a>> {
    let name = table.string(6)?;
    let refuse = |what: &str| Error::new(format!("constant '{name}' {what}"));
    let kind = table.i32(1)?;
    let width = match kind {
        INT8 => 1,
        INT32 => 4,
        _ => return Err(refuse("holds neither 8-bit nor 32-bit integers")),
    };
    let dims = table.i64s(0)?.into_iter().map(|len| usize::try_from(len).map_err(|_| refuse("has a negative length")));
    let dims = dims.collect::<Result<Vec<_>>>()?;
    let size = dims.iter().try_fold(width, |product: usize, &len| product.checked_mul(len));
    // In blocks of 16 bytes, the last one padded.
    let data = table.vector(8, 16)?;
    let data = size.and_then(|size| data.get(..size)).ok_or_else(|| refuse("holds fewer values than its shape has"))?;
    let &[exponent] = table.i64s(13)?.as_slice() else {
        return Err(refuse("has not one exponent; only one scale for all values is understood"));
    };
    let exponent = i32::try_from(exponent).ok().filter(|exponent| (-60..=60).contains(exponent));
    let exponent = exponent.ok_or_else(|| refuse("has an implausible exponent"))?;
    let layout = table.string(7)?.strip_prefix("layout ==> ").unwrap_or_default();
    Ok(Constant { name, dims, kind, data, exponent, layout })
}

fn read_value<'a>(table: &Table<'a>) -> Result<Value<'a>> {
    let name = table.string(0)?;
    let missing = || Error::new(format!("value '{name}' has no fixed shape"));
    // TypeInfo: 0 which kind of type, 1 the type; of a tensor 1 its shape; of that 0 the lengths, each a value of kind 1.
    let shape = table.table(1)?.map(|info| info.table(1)).transpose()?.flatten();
    let shape = shape.map(|tensor| tensor.table(1)).transpose()?.flatten().ok_or_else(missing)?;
    let dims =
        shape.tables(0, 16)?.iter().map(|len| len.table(0)?.ok_or_else(missing)?.i64(1)).collect::<Result<_>>()?;
    Ok(Value { name, dims })
}

impl Node<'_> {
    /// An attribute that is one integer.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attributes.get(name) {
            Some(&Attribute::Int(value)) => Some(value),
            _ => None,
        }
    }

    /// An attribute that is a list of integers.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name) {
            Some(Attribute::Ints(values)) => Some(values),
            _ => None,
        }
    }

    /// An attribute that is a word.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name) {
            Some(Attribute::Text(bytes)) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

impl Constant<'_> {
    /// What an integer of 1 stands for.
    pub fn scale(&self) -> f32 {
        2f32.powi(self.exponent)
    }

    /// Its values, where they are 8-bit integers.
    pub fn bytes(&self) -> Option<Vec<i8>> {
        (self.kind == INT8).then(|| self.data.iter().map(|byte| byte.cast_signed()).collect())
    }

    /// What its values stand for.
    pub fn floats(&self) -> Vec<f32> {
        let (wide, _) = self.data.as_chunks::<4>();
        let scale = f64::from(self.scale());
        // In double precision: a 32-bit integer times a power of two is exact there, so it is rounded once.
        match self.kind {
            INT8 => self.data.iter().map(|byte| (f64::from(byte.cast_signed()) * scale) as f32).collect(),
            _ => wide.iter().map(|&bytes| (f64::from(i32::from_le_bytes(bytes)) * scale) as f32).collect(),
        }
    }
}
