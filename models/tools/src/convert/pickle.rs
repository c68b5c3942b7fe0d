//! Reading pickles without running anything.
//!
//! A pickle is a program for a stack machine. Here are the instructions that torch's state dicts need, and nothing else: no
//! imports, no calls but the three below, which only describe. Values live in a list and point to each other by number, so
//! that no nesting, however deep or circular, can exhaust the stack; each instruction makes one value at most, so a file of
//! n bytes makes at most n.
//!
//! Instructions and their codes: CPython's `Lib/pickletools.py`.

use crate::error::{Error, Result};

/// The number of a value.
pub type Id = usize;

/// A value of a pickle.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    None,
    Bool,
    Int(i128),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// What a persistent id names.
    Persistent(Id),
    /// A tensor, as the arguments of `_rebuild_tensor_v2`.
    Tensor(Vec<Id>),
}

/// The only names that may be imported; none of them is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    OrderedDict,
    RebuildTensor,
    FloatStorage,
    LongStorage,
}

/// A pickle that was read: its values, and which one is the result.
#[derive(Debug)]
pub struct Pickle<'a> {
    values: Vec<Value<'a>>,
    result: Id,
}

impl<'a> Pickle<'a> {
    /// The value with that number, which this pickle gave.
    pub fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id]
    }

    /// What the pickle describes.
    pub fn result(&self) -> &Value<'a> {
        self.get(self.result)
    }
}

/// Reads one pickle from the front of `bytes`, and moves them past it.
///
/// # Errors
/// Where it is cut short, broken, or would do anything but describe a state dict.
pub fn read<'a>(bytes: &mut &'a [u8]) -> Result<Pickle<'a>> {
    let mut machine = Machine { bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
    let result = machine.run()?;
    *bytes = machine.bytes;
    Ok(Pickle { values: machine.values, result })
}

struct Machine<'a> {
    bytes: &'a [u8],
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: Vec<Id>,
}

fn broken() -> Error {
    Error::new("the pickle is broken")
}

impl<'a> Machine<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or_else(|| Error::new("the pickle is cut short"))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A little-endian number without a sign.
    fn number(&mut self, len: usize) -> Result<u32> {
        Ok(self.take(len)?.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    fn line(&mut self) -> Result<&'a [u8]> {
        let len = self.bytes.iter().position(|&byte| byte == b'\n').ok_or_else(broken)?;
        Ok(self.take(len + 1)?.strip_suffix(b"\n").expect("it ends where the line does"))
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id> {
        // What lies under a mark belongs to what is outside of it.
        let floor = self.marks.last().copied().unwrap_or_default();
        if self.stack.len() > floor { self.stack.pop().ok_or_else(broken) } else { Err(broken()) }
    }

    /// Everything above the last mark, which goes.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(broken)?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_tuple(&mut self, len: usize) -> Result<()> {
        let mut items = (0..len).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        items.reverse();
        self.push(Value::Tuple(items));
        Ok(())
    }

    /// The value on top of the stack, which stays.
    fn top(&mut self) -> Result<&mut Value<'a>> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(&mut self.values[id])
    }

    fn store(&mut self, at: u32) -> Result<()> {
        // Picklers count up from 0, so anything else is not of their making and could ask for any amount of memory.
        let id = self.pop()?;
        self.stack.push(id);
        match (at as usize).cmp(&self.memo.len()) {
            std::cmp::Ordering::Less => self.memo[at as usize] = id,
            std::cmp::Ordering::Equal => self.memo.push(id),
            std::cmp::Ordering::Greater => return Err(broken()),
        }
        Ok(())
    }

    fn recall(&mut self, at: u32) -> Result<()> {
        let id = self.memo.get(at as usize).copied().ok_or_else(broken)?;
        self.stack.push(id);
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        let Value::Dict(dict) = self.top()? else { return Err(broken()) };
        dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
        if rest.is_empty() { Ok(()) } else { Err(broken()) }
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let Value::List(list) = self.top()? else { return Err(broken()) };
        list.extend_from_slice(items);
        Ok(())
    }

    fn import(&mut self) -> Result<()> {
        let (module, name) = (self.line()?, self.line()?);
        let global = match (module, name) {
            (b"collections", b"OrderedDict") => Global::OrderedDict,
            (b"torch._utils", b"_rebuild_tensor_v2") => Global::RebuildTensor,
            (b"torch", b"FloatStorage") => Global::FloatStorage,
            (b"torch", b"LongStorage") => Global::LongStorage,
            _ => {
                let text =
                    |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).escape_debug().to_string();
                return Err(Error::new(format!("the pickle asks for '{}.{}': refused", text(module), text(name)))
                    .help("only torch's state dicts are read, and nothing in them is run"));
            }
        };
        self.push(Value::Global(global));
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Value::Tuple(arguments) = &self.values[arguments] else { return Err(broken()) };
        let made = match &self.values[callee] {
            Value::Global(Global::OrderedDict) if arguments.is_empty() => Value::Dict(Vec::new()),
            Value::Global(Global::RebuildTensor) if arguments.len() == 6 => Value::Tensor(arguments.clone()),
            _ => return Err(Error::new("the pickle calls something that no state dict needs: refused")),
        };
        self.push(made);
        Ok(())
    }

    fn run(&mut self) -> Result<Id> {
        loop {
            match self.take(1)?[0] {
                // PROTO
                0x80 => {
                    let version = self.number(1)?;
                    if version > 2 {
                        return Err(Error::new(format!("pickles of version {version} are not understood")));
                    }
                }
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'c' => self.import()?,
                b'R' => self.call()?,
                // BUILD: what it would add to a state dict is about versions of modules.
                b'b' => {
                    self.pop()?;
                    if !matches!(self.top()?, Value::Dict(_)) {
                        return Err(broken());
                    }
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Value::Persistent(id));
                }
                // BINPUT, LONG_BINPUT; BINGET, LONG_BINGET
                b'q' => self.number(1).and_then(|at| self.store(at))?,
                b'r' => self.number(4).and_then(|at| self.store(at))?,
                b'h' => self.number(1).and_then(|at| self.recall(at))?,
                b'j' => self.number(4).and_then(|at| self.recall(at))?,
                b'N' => self.push(Value::None),
                0x88 | 0x89 => self.push(Value::Bool),
                // BININT1, BININT2, BININT, LONG1
                b'K' => self.number(1).map(|number| self.push(Value::Int(number.into())))?,
                b'M' => self.number(2).map(|number| self.push(Value::Int(number.into())))?,
                b'J' => self.number(4).map(|number| self.push(Value::Int(number.cast_signed().into())))?,
                0x8a => {
                    let len = self.number(1)? as usize;
                    let bytes = self.take(len)?;
                    let mut wide = [if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 }; 16];
                    wide.get_mut(..len).ok_or_else(broken)?.copy_from_slice(bytes);
                    self.push(Value::Int(i128::from_le_bytes(wide)));
                }
                b'X' => {
                    let len = self.number(4)? as usize;
                    let text = std::str::from_utf8(self.take(len)?).map_err(|_| broken())?;
                    self.push(Value::Text(text));
                }
                b')' => self.push(Value::Tuple(Vec::new())),
                0x85 => self.pop_tuple(1)?,
                0x86 => self.pop_tuple(2)?,
                0x87 => self.pop_tuple(3)?,
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Value::Tuple(items));
                }
                b']' => self.push(Value::List(Vec::new())),
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.append(&items)?;
                }
                b'}' => self.push(Value::Dict(Vec::new())),
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set_items(&items)?;
                }
                other => return Err(Error::new(format!("the pickle has the instruction {other:#04x}: refused"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a program of bytes.
    fn run(mut bytes: &[u8]) -> Result<String> {
        let pickle = read(&mut bytes)?;
        Ok(format!("{:?}", pickle.result()))
    }

    #[test]
    fn values_are_read() {
        for (program, value) in [
            (&b"\x80\x02N."[..], "None"),
            (b"\x88.", "Bool"),
            (b"K\xff.", "Int(255)"),
            (b"M\xff\xff.", "Int(65535)"),
            (b"J\xff\xff\xff\xff.", "Int(-1)"),
            (b"\x8a\x02\x00\x80.", "Int(-32768)"),
            (b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "Int(119547037146038801333356)"),
            (b"X\x02\x00\x00\x00hi.", "Text(\"hi\")"),
            (b"(K\x01K\x02t.", "Tuple([0, 1])"),
            (b"ccollections\nOrderedDict\n)R.", "Dict([])"),
            (b"}q\x00(K\x01K\x02uh\x00.", "Dict([(1, 2)])"),
            (b"](NNe.", "List([1, 2])"),
        ] {
            assert_eq!(run(program).unwrap(), value, "{program:?}");
        }
    }

    #[test]
    fn what_would_run_something_is_refused() {
        for (program, said) in [
            (&b"cos\nsystem\n(X\x02\x00\x00\x00ls\x85R."[..], "asks for 'os.system'"),
            (b"c__builtin__\neval\n.", "asks for '__builtin__.eval'"),
            (b"ccollections\nOrderedDict\n(Nt.", ""),
            (b"ccollections\nOrderedDict\nN\x85R.", "calls something"),
            (b"ctorch\nFloatStorage\n)R.", "calls something"),
            (b"(S'x'\nios\nsystem\n.", "instruction"),
            (b"\x80\x04N.", "version 4"),
            (b"N\x93.", "instruction"),
            (b"K\x01}b.", "broken"),
            (b"N(.", "broken"),
            (b"Nr\xff\xff\xff\xff.", "broken"),
            (b"X\xff\xff\xff\xffx.", "cut short"),
            (b"\x8a\x11", "cut short"),
            (b"\x8a\x11aaaaaaaaaaaaaaaaa.", "broken"),
            (b"h\x07.", "broken"),
            (b"N", "cut short"),
            (b"", "cut short"),
        ] {
            match run(program) {
                Err(error) => assert!(error.to_string().contains(said), "{program:?}: {error}"),
                Ok(value) => assert!(said.is_empty(), "{program:?} gave {value}"),
            }
        }
    }

    #[test]
    fn deep_and_circular_nesting_is_harmless() {
        let mut deep = vec![b')'];
        deep.extend([0x85; 1 << 20]);
        deep.push(b'.');
        assert!(run(&deep).is_ok());
        // A list within itself.
        assert_eq!(run(b"]q\x00h\x00a.").unwrap(), "List([0])");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = run(&bytes);
        }

        #[test]
        fn programs_of_known_instructions_never_panic(
            at in proptest::collection::vec(proptest::sample::select(&b"().cRbQqrhjN\x88KMJX\x85\x86\x87t]ae}su\x00\x01\n"[..]), 0..60)
        ) {
            let _ = run(&at);
        }
    }
}
