//! Reading state dicts as `torch.save` wrote them before torch 1.6: five pickles (a magic number, a version, facts about
//! the machine, the state dict, the names of its storages), then each storage: its length and its values.

use std::collections::HashMap;

use super::pickle::{self, Global, Id, Pickle, Value};
use crate::error::{Error, Result};

/// Named tensors of floats; others in the file are left out.
#[derive(Debug)]
pub struct StateDict<'a>(HashMap<&'a str, Tensor<'a>>);

#[derive(Debug)]
struct Tensor<'a> {
    dims: Vec<usize>,
    /// Little-endian 32-bit floats.
    values: &'a [[u8; 4]],
}

/// Where a tensor's values are.
struct View<'a> {
    storage: &'a str,
    offset: usize,
    dims: Vec<usize>,
}

/// What the first pickle holds (torch/serialization.py: `MAGIC_NUMBER`).
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

fn refuse(what: impl Into<String>) -> Error {
    Error::new(format!("the state dict {}", what.into()))
}

/// Reads a file.
///
/// # Errors
/// Where it is none, is broken, or holds anything that a state dict does not need.
pub fn read(bytes: &[u8]) -> Result<StateDict<'_>> {
    if bytes.starts_with(b"PK") {
        return Err(Error::new("this is a zip file as torch 1.6 and later write; only the older format is understood")
            .help("save it with torch.save(…, _use_new_zipfile_serialization=False)"));
    }
    let mut rest = bytes;
    if !matches!(pickle::read(&mut rest)?.result(), Value::Int(MAGIC)) {
        return Err(Error::new("this is no file of torch's: its magic number is missing"));
    }
    if !matches!(pickle::read(&mut rest)?.result(), Value::Int(1001)) {
        return Err(refuse("is of another version than 1001"));
    }
    // The machine's facts: torch itself reads them and goes on; values are little-endian wherever torch runs.
    pickle::read(&mut rest)?;
    let state = pickle::read(&mut rest)?;
    let order = pickle::read(&mut rest)?;

    let (views, storages) = views(&state)?;
    let Value::List(keys) = order.result() else { return Err(refuse("does not list its storages")) };
    let mut values = HashMap::new();
    for &key in keys {
        let Value::Text(key) = *order.get(key) else { return Err(refuse("does not name its storages")) };
        let &(kind, len) = storages.get(key).ok_or_else(|| refuse("lists a storage that nothing uses"))?;
        let (stored, after) = rest.split_first_chunk::<8>().ok_or_else(|| refuse("is cut short"))?;
        if i64::from_le_bytes(*stored) != len as i64 {
            return Err(refuse("contradicts itself about a storage's length"));
        }
        let width = if kind == Global::FloatStorage { 4 } else { 8 };
        let size = len.checked_mul(width).ok_or_else(|| refuse("is cut short"))?;
        let (data, after) = after.split_at_checked(size).ok_or_else(|| refuse("is cut short"))?;
        rest = after;
        if kind == Global::FloatStorage {
            values.insert(key, data.as_chunks::<4>().0);
        }
    }
    let mut tensors = HashMap::new();
    for (name, view) in views {
        let Some(storage) = values.get(view.storage) else { continue };
        let len = view.dims.iter().try_fold(1usize, |product, &len| product.checked_mul(len));
        let end = len.and_then(|len| view.offset.checked_add(len));
        let slice = end.and_then(|end| storage.get(view.offset..end));
        let slice = slice.ok_or_else(|| refuse(format!("has less than the whole of '{name}'")))?;
        tensors.insert(name, Tensor { dims: view.dims, values: slice });
    }
    Ok(StateDict(tensors))
}

type Storages<'a> = HashMap<&'a str, (Global, usize)>;

/// Every tensor of a state dict, and the kind and length of every storage that they name.
fn views<'a>(pickle: &Pickle<'a>) -> Result<(Vec<(&'a str, View<'a>)>, Storages<'a>)> {
    let Value::Dict(entries) = pickle.result() else { return Err(refuse("is no dict")) };
    let (mut views, mut storages) = (Vec::new(), HashMap::new());
    for &(name, tensor) in entries {
        let (Value::Text(name), Value::Tensor(arguments)) = (pickle.get(name), pickle.get(tensor)) else {
            return Err(refuse("holds something that is no named tensor"));
        };
        let (view, kind, len) =
            view(pickle, arguments).ok_or_else(|| refuse(format!("describes '{name}' in a way not understood")))?;
        if storages.insert(view.storage, (kind, len)).is_some_and(|before| before != (kind, len)) {
            return Err(refuse("contradicts itself about a storage"));
        }
        views.push((*name, view));
    }
    Ok((views, storages))
}

/// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)`, where the storage is
/// `('storage', type, key, location, length, None)`.
fn view<'a>(pickle: &Pickle<'a>, arguments: &[Id]) -> Option<(View<'a>, Global, usize)> {
    let &[storage, offset, size, stride, _, _] = arguments else { return None };
    let int = |id: Id| match pickle.get(id) {
        Value::Int(int) => usize::try_from(*int).ok(),
        _ => None,
    };
    let ints = |id: Id| match pickle.get(id) {
        Value::Tuple(items) if items.len() <= 8 => items.iter().map(|&item| int(item)).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let Value::Persistent(named) = pickle.get(storage) else { return None };
    let Value::Tuple(named) = pickle.get(*named) else { return None };
    let &[tag, kind, key, _, len, whole] = named.as_slice() else { return None };
    let (Value::Text("storage"), Value::None) = (pickle.get(tag), pickle.get(whole)) else { return None };
    let (&Value::Global(kind @ (Global::FloatStorage | Global::LongStorage)), &Value::Text(storage)) =
        (pickle.get(kind), pickle.get(key))
    else {
        return None;
    };
    let (dims, stride) = (ints(size)?, ints(stride)?);
    // Only values that lie in order, the last index running fastest.
    let mut step = 1usize;
    for (&len, &stride) in dims.iter().zip(&stride).rev() {
        if stride != step && len != 1 {
            return None;
        }
        step = step.checked_mul(len)?;
    }
    (dims.len() == stride.len()).then_some(())?;
    Some((View { storage, offset: int(offset)?, dims }, kind, int(len)?))
}

impl StateDict<'_> {
    /// The shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.0.get(name).map(|tensor| tensor.dims.as_slice())
    }

    /// The values of a tensor of that name and shape, the last index running fastest.
    ///
    /// # Errors
    /// Where there is none, it has another shape, or one of its values is no number.
    pub fn floats(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.0.get(name).ok_or_else(|| refuse(format!("has no tensor '{name}'")))?;
        if tensor.dims != dims {
            return Err(refuse(format!("has '{name}' of shape {:?}; {dims:?} was expected", tensor.dims)));
        }
        let values = tensor.values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect::<Vec<_>>();
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(refuse(format!("has something in '{name}' that is no number"))),
        }
    }
}
