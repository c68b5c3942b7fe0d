//! Small files of the kinds that are read, for tests that must run without the published ones.

/// A field's value, for [`flatbuffer`].
pub enum Field {
    I32(i32),
    I64(i64),
    /// Text, or a vector of elements: how many, and their bytes. Texts end with a zero that does not count.
    Vector(usize, Vec<u8>),
    Table(Fields),
    Tables(Vec<Fields>),
    Texts(Vec<&'static str>),
}

/// A table: the numbers and values of its fields.
pub type Fields = Vec<(usize, Field)>;

/// Text.
pub fn text(text: &str) -> Field {
    Field::Vector(text.len(), text.bytes().chain([0]).collect())
}

/// A vector of 64-bit integers.
pub fn ints(values: &[i64]) -> Field {
    Field::Vector(values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// Writes a FlatBuffer.
pub fn flatbuffer(root: &Fields) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    let at = table(&mut bytes, root);
    point(&mut bytes, 0, at);
    bytes
}

/// Lets the offset at `from` lead to `to`.
fn point(bytes: &mut [u8], from: usize, to: usize) {
    bytes[from..from + 4].copy_from_slice(&((to - from) as u32).to_le_bytes());
}

fn table(bytes: &mut Vec<u8>, fields: &Fields) -> usize {
    let slots = fields.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
    let vtable = bytes.len();
    bytes.resize(vtable + 4 + 2 * slots, 0);
    let at = bytes.len();
    bytes.extend(((at - vtable) as i32).to_le_bytes());
    let mut later = Vec::new();
    for (number, field) in fields {
        let offset = (bytes.len() - at) as u16;
        bytes[vtable + 4 + 2 * number..][..2].copy_from_slice(&offset.to_le_bytes());
        match field {
            Field::I32(value) => bytes.extend(value.to_le_bytes()),
            Field::I64(value) => bytes.extend(value.to_le_bytes()),
            other => {
                later.push((bytes.len(), other));
                bytes.extend([0; 4]);
            }
        }
    }
    let len = ((4 + 2 * slots) as u16).to_le_bytes();
    bytes[vtable..][..2].copy_from_slice(&len);
    for (from, field) in later {
        let to = match field {
            Field::Table(fields) => table(bytes, fields),
            Field::Vector(len, data) => vector(bytes, *len, data),
            Field::Tables(tables) => {
                let to = vector(bytes, tables.len(), &vec![0; 4 * tables.len()]);
                for (at, fields) in tables.iter().enumerate() {
                    let target = table(bytes, fields);
                    point(bytes, to + 4 + 4 * at, target);
                }
                to
            }
            Field::Texts(texts) => {
                let to = vector(bytes, texts.len(), &vec![0; 4 * texts.len()]);
                for (at, text) in texts.iter().enumerate() {
                    let target = vector(bytes, text.len(), &[text.as_bytes(), &[0]].concat());
                    point(bytes, to + 4 + 4 * at, target);
                }
                to
            }
            Field::I32(_) | Field::I64(_) => unreachable!("numbers stand in the table itself"),
        };
        point(bytes, from, to);
    }
    at
}

fn vector(bytes: &mut Vec<u8>, len: usize, data: &[u8]) -> usize {
    let at = bytes.len();
    bytes.extend((len as u32).to_le_bytes());
    bytes.extend(data);
    at
}

/// Writes a state dict as torch did before 1.6: names, shapes and values.
pub fn state_dict(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    let put = |bytes: &mut Vec<u8>, text: &str| {
        bytes.push(b'X');
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    let int = |bytes: &mut Vec<u8>, value: usize| {
        bytes.push(b'J');
        bytes.extend((value as i32).to_le_bytes());
    };
    bytes.extend(b"\x80\x02ccollections\nOrderedDict\n)R(");
    for (name, dims, values) in tensors {
        put(&mut bytes, name);
        bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        put(&mut bytes, "storage");
        bytes.extend(b"ctorch\nFloatStorage\n");
        put(&mut bytes, &format!("of {name}"));
        put(&mut bytes, "cpu");
        int(&mut bytes, values.len());
        bytes.extend(b"NtQK\x00(");
        dims.iter().for_each(|&len| int(&mut bytes, len));
        bytes.extend(b"t(");
        (0..dims.len()).for_each(|at| int(&mut bytes, dims[at + 1..].iter().product()));
        bytes.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
    }
    bytes.extend(b"u.\x80\x02](");
    tensors.iter().for_each(|(name, _, _)| put(&mut bytes, &format!("of {name}")));
    bytes.extend(b"e.");
    for (_, _, values) in tensors {
        bytes.extend((values.len() as i64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes
}
