//! Reads tensors from files written by `torch.save`, without running their code.
//!
//! Both formats are read: the ZIP archive of PyTorch 1.6 and later, and the stream of pickles before it. A pickle is a
//! program. Only the operations that state dictionaries use are followed (dictionaries, lists, `OrderedDict`, tensors and
//! parameters); an object of any other class is opaque and never used. Strides, offsets and storage sizes are checked, so
//! that a file that was cut short is an error and never read as zeros. (The reader of `burn-store` takes every tensor to
//! be contiguous and reads missing data as zeros.)
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use half::f16;
use zip::result::ZipError;

use super::tensor::{MAX_FILE, NamedTensor};
use crate::error::{Error, Result};
use crate::files;

/// The most elements of a tensor: with a stride of 0 a file of a hundred bytes could ask for any number.
const MAX_ELEMENTS: usize = 1 << 26;
/// The deepest dictionary within dictionaries that is searched for tensors: a dictionary may contain itself.
const MAX_DEPTH: usize = 3;
/// The most dictionary entries that are looked at.
const MAX_ENTRIES: usize = 100_000;
/// The most entries of a tensor's own metadata that are looked at. PyTorch has two: `neg` and `conj`.
const MAX_FLAGS: usize = 16;
/// The most dimensions of a tensor.
const MAX_RANK: usize = 16;
/// The most bytes of a key or a class name. Names are copied, and a pickle can refer to one text a million times.
const MAX_NAME: usize = 256;
/// The most bytes of a pickle. The pickle of a large state dictionary has a few hundred thousand.
const MAX_PICKLE: u64 = 1 << 26;
/// The most operations of a pickle, each of which may make an object of a hundred bytes. A state dictionary needs some
/// twenty for a tensor.
const MAX_OPERATIONS: usize = 1 << 20;
/// The most bytes of a storage in an archive, where they may be compressed.
const MAX_STORAGE: u64 = 1 << 29;
/// The most entries of an archive. There is one for each storage.
const MAX_ARCHIVE_ENTRIES: usize = 1 << 16;

/// The tensors of a PyTorch file, named by the path of their keys joined with `.`.
#[derive(Debug)]
pub(super) struct PytorchFile {
    path: PathBuf,
    storages: Storages,
    tensors: BTreeMap<String, TensorView>,
    /// Python's numbers in place of tensors.
    numbers: BTreeMap<String, f64>,
}

#[derive(Clone, Debug)]
struct TensorView {
    storage: String,
    element: Element,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// Whether the values are those of the storage with the opposite sign, as in the imaginary part of a conjugate.
    negated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Element {
    F32,
    F64,
    F16,
    BF16,
    /// Any other type, by its size in bytes; 0 if that is unknown.
    Other(usize),
}

impl Element {
    fn of(class: &str) -> Self {
        match class {
            "FloatStorage" => Element::F32,
            "DoubleStorage" => Element::F64,
            "LongStorage" | "ComplexFloatStorage" => Element::Other(8),
            "IntStorage" => Element::Other(4),
            "HalfStorage" => Element::F16,
            "BFloat16Storage" => Element::BF16,
            "ShortStorage" => Element::Other(2),
            "ByteStorage" | "CharStorage" | "BoolStorage" => Element::Other(1),
            "ComplexDoubleStorage" => Element::Other(16),
            _ => Element::Other(0),
        }
    }

    fn size(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F64 => 8,
            Element::F16 | Element::BF16 => 2,
            Element::Other(size) => size,
        }
    }
}

#[derive(Debug)]
enum Storages {
    /// Entries of the archive, whose names start with this prefix.
    Zip { archive: RefCell<Archive>, prefix: String },
    /// The bytes of each storage, by its key.
    Legacy(HashMap<String, Vec<u8>>),
}

impl PytorchFile {
    /// Reads the names and shapes of the tensors, but not their values.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it was not written by `torch.save`, is damaged, or
    /// holds something other than a dictionary.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let wrong = |what: String| Error::file(path, what);
        let bytes = files::read_or_pipe(path, MAX_FILE)?;
        let (pickle, storages) = match &bytes[..] {
            [b'P', b'K', 3, 4, ..] => read_archive(bytes).map_err(wrong)?,
            [0x80, ..] => read_legacy(&mut &bytes[..], bytes.len() as u64).map_err(wrong)?,
            _ => return Err(wrong("not a file of PyTorch's `torch.save`".into())),
        };
        let mut found = PytorchFile {
            path: path.to_owned(),
            storages,
            tensors: BTreeMap::new(),
            numbers: BTreeMap::new(),
        };
        match pickle.objects.get(pickle.root) {
            Some(Object::Dictionary(_)) => {
                pickle.collect(pickle.root, "", 0, &mut { MAX_ENTRIES }, &mut found)
            }
            Some(Object::Tensor(_)) => {
                return Err(wrong("holds one tensor; expected a state dictionary".into()));
            }
            _ => {
                return Err(wrong(
                    "holds no dictionary, but perhaps a whole model: save its `state_dict()` instead".into(),
                ));
            }
        }
        Ok(found)
    }

    /// The names of the tensors in alphabetical order, e.g. `distiller.x`.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor `name`, or a number in its place.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name) || self.numbers.contains_key(name)
    }

    /// The tensor `name` as `f32` in row-major order, whatever its strides; `None` when there is none. A number is a
    /// scalar.
    ///
    /// # Errors
    /// [`Error::File`] when its values are no floating-point numbers, or when some are missing from the file.
    pub(super) fn tensor(&self, name: &str) -> Result<Option<NamedTensor>> {
        let number = || self.numbers.get(name).map(|number| NamedTensor::scalar(name, *number as f32));
        let Some(view) = self.tensors.get(name) else { return Ok(number()) };
        let wrong = |what: String| Error::file(&self.path, format!("tensor `{name}`: {what}"));
        let data = match &self.storages {
            Storages::Zip { archive, prefix } => {
                let entry = format!("{prefix}data/{}", view.storage);
                view.values(&read_entry(&mut archive.borrow_mut(), &entry, MAX_STORAGE).map_err(wrong)?)
            }
            Storages::Legacy(storages) => match storages.get(&view.storage) {
                Some(storage) => view.values(storage),
                None => Err("its values are missing from the file".into()),
            },
        };
        Ok(Some(NamedTensor { name: name.to_owned(), shape: view.shape.clone(), data: data.map_err(wrong)? }))
    }
}

impl TensorView {
    fn values(&self, storage: &[u8]) -> Result<Vec<f32>, String> {
        if let Element::Other(_) = self.element {
            return Err("expected floating-point values (float32, float64, float16 or bfloat16)".into());
        }
        let count = self.shape.iter().try_fold(1, |product: usize, d| product.checked_mul(*d));
        let count = count.filter(|count| *count <= MAX_ELEMENTS);
        let count = count.ok_or_else(|| format!("shape {:?} is too large", self.shape))?;
        if count == 0 {
            return Ok(vec![]);
        }
        let size = self.element.size();
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (d, stride)| last.checked_add((d - 1).checked_mul(*stride)?));
        if last.is_none_or(|last| last >= storage.len() / size) {
            return Err(format!("shape {:?} goes beyond its {} stored bytes", self.shape, storage.len()));
        }
        let sign = if self.negated { -1.0 } else { 1.0 };
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let at =
                self.offset + index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum::<usize>();
            let bytes = &storage[at * size..(at + 1) * size];
            let value = match (self.element, bytes) {
                (Element::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
                (Element::F64, &[a, b, c, d, e, f, g, h]) => {
                    f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32
                }
                (Element::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
                // The upper half of a float32.
                (Element::BF16, &[a, b]) => f32::from_le_bytes([0, 0, a, b]),
                _ => f32::NAN,
            };
            values.push(sign * value);
            for (i, d) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < *d {
                    break;
                }
                *i = 0;
            }
        }
        Ok(values)
    }
}

type Archive = zip::ZipArchive<Cursor<Vec<u8>>>;

/// Reads the format of `torch.save` since 1.6: a ZIP archive with the pickle of the object, and an entry for each storage.
fn read_archive(bytes: Vec<u8>) -> Result<(Pickle, Storages), String> {
    // An entry of the directory takes a few bytes in the file and ten times as many in memory.
    let entries = bytes.windows(4).filter(|window| window == b"PK\x01\x02").count();
    if entries > MAX_ARCHIVE_ENTRIES {
        return Err(format!("the archive has {entries} entries; at most {MAX_ARCHIVE_ENTRIES} are read"));
    }
    let mut archive = Archive::new(Cursor::new(bytes))
        .map_err(|e| format!("a damaged or cut short file of `torch.save` ({e})"))?;
    let name = archive.file_names().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
    let name = name.map(str::to_owned).ok_or("a ZIP archive, but not of `torch.save`: it has no data.pkl")?;
    let prefix = name.trim_end_matches("data.pkl").to_owned();
    let order = format!("{prefix}byteorder");
    if archive.index_for_name(&order).is_some() && read_entry(&mut archive, &order, 16)?.starts_with(b"big") {
        return Err("saved on a big-endian machine, which is not supported".into());
    }
    let pickle = read_entry(&mut archive, &name, MAX_PICKLE)?;
    Ok((Pickle::read(&mut &pickle[..])?, Storages::Zip { archive: archive.into(), prefix }))
}

/// Reads an entry of at most `limit` bytes, and verifies the archive's checksum.
fn read_entry(archive: &mut Archive, name: &str, limit: u64) -> Result<Vec<u8>, String> {
    let damaged =
        |e: &dyn std::fmt::Display| format!("entry `{name}` cannot be read ({e}); the file is damaged");
    let entry = archive.by_name(name).map_err(|e| match e {
        ZipError::CompressionMethodNotSupported(method) => {
            let method = match method {
                9 => "Deflate64",
                12 => "bzip2",
                14 => "LZMA",
                93 => "Zstandard",
                _ => "another method",
            };
            format!(
                "entry `{name}` is compressed with {method}, which is not read: load the file with `torch.load` and save \
                 it with `torch.save`, which does not compress"
            )
        }
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => {
            format!("entry `{name}` is encrypted; save the file without a password")
        }
        e => damaged(&e),
    })?;
    let mut bytes = vec![];
    let read = entry.take(limit + 1).read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
    match read as u64 <= limit {
        true => Ok(bytes),
        false => Err(format!("entry `{name}` is longer than {limit} bytes, the most that is read")),
    }
}

/// Reads the format of `torch.save` before 1.6: pickles of a magic number, a version, the system, the object and the keys
/// of the storages; then each storage, which begins with its number of elements (i64).
fn read_legacy(file: &mut impl Read, length: u64) -> Result<(Pickle, Storages), String> {
    const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    let magic = Pickle::read(file)?;
    if !matches!(magic.objects.get(magic.root), Some(Object::LongInteger(bytes)) if bytes == MAGIC) {
        return Err("a pickle, but not of PyTorch's `torch.save`".into());
    }
    let _version = Pickle::read(file)?;
    let system = Pickle::read(file)?;
    if let Some(Object::Dictionary(items)) = system.objects.get(system.root)
        && let Some((_, value)) = items.iter().find(|(key, _)| system.text(*key) == Some("little_endian"))
        && matches!(system.objects.get(*value), Some(Object::Boolean(false)))
    {
        return Err("saved on a big-endian machine, which is not supported".into());
    }
    let pickle = Pickle::read(file)?;
    let keys = Pickle::read(file)?;
    let Some(Object::Sequence(ids)) = keys.objects.get(keys.root) else {
        return Err("the list of storages is missing; the file is damaged".into());
    };
    let mut storages = HashMap::new();
    for key in ids.iter().filter_map(|id| keys.text(*id)) {
        let element = pickle.elements.get(key).copied().unwrap_or(Element::Other(0));
        let mut count = [0; 8];
        let cut_short = |e| format!("the values of storage {key} are missing ({e}): the file is cut short");
        file.read_exact(&mut count).map_err(cut_short)?;
        let bytes =
            u64::from_le_bytes(count).checked_mul(element.size() as u64).filter(|bytes| *bytes <= length);
        let Some(bytes) = bytes.filter(|bytes| *bytes > 0 || count == [0; 8]) else {
            return Err(format!("storage {key} has a size that cannot be; the file is damaged"));
        };
        let mut storage = vec![];
        let read = file.by_ref().take(bytes).read_to_end(&mut storage).map_err(cut_short)?;
        if (read as u64) < bytes {
            return Err(format!("storage {key} has {read} of {bytes} bytes: the file is cut short"));
        }
        storages.insert(key.to_owned(), storage);
    }
    Ok((pickle, Storages::Legacy(storages)))
}

/// The index of an object. Pickles share objects and change them later, so no object holds another by value.
type Id = usize;

#[derive(Clone, Debug)]
enum Object {
    Mark,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// An integer of more than 64 bits, little-endian.
    LongInteger(Vec<u8>),
    Text(String),
    /// A list or a tuple.
    Sequence(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    Class(String),
    Storage {
        key: String,
        element: Element,
    },
    Tensor(TensorView),
    /// A value that is never used.
    Opaque,
}

/// The objects of a pickle that was read to its end.
struct Pickle {
    objects: Vec<Object>,
    root: Id,
    /// The element type of each storage that the pickle mentions.
    elements: HashMap<String, Element>,
}

impl Pickle {
    fn text(&self, id: Id) -> Option<&str> {
        text(&self.objects, id)
    }

    /// Adds the tensors in dictionary `id`, and in dictionaries within it, to `file`. Looks at `left` entries at most.
    fn collect(&self, id: Id, prefix: &str, depth: usize, left: &mut usize, file: &mut PytorchFile) {
        let Some(Object::Dictionary(items)) = self.objects.get(id) else { return };
        for (key, value) in items {
            if *left == 0 {
                return;
            }
            *left -= 1;
            let Some(key) = self.text(*key).filter(|key| key.len() <= MAX_NAME) else { continue };
            match &self.objects[*value] {
                Object::Tensor(view) => drop(file.tensors.insert(format!("{prefix}{key}"), view.clone())),
                Object::Float(number) => drop(file.numbers.insert(format!("{prefix}{key}"), *number)),
                Object::Integer(number) => {
                    file.numbers.insert(format!("{prefix}{key}"), *number as f64);
                }
                Object::Dictionary(_) if depth < MAX_DEPTH => {
                    self.collect(*value, &format!("{prefix}{key}."), depth + 1, left, file);
                }
                _ => {}
            }
        }
    }

    /// Reads one pickle, up to its `STOP`.
    fn read(input: &mut impl Read) -> Result<Self, String> {
        let mut machine = Machine::default();
        let mut input = Input { inner: input, left: MAX_PICKLE };
        for _ in 0..MAX_OPERATIONS {
            let operation = input.byte()?;
            if operation == b'.' {
                let root = machine.pop()?;
                return Ok(Pickle { objects: machine.objects, root, elements: machine.elements });
            }
            machine.step(operation, &mut input)?;
        }
        Err(format!("its pickle has more than {MAX_OPERATIONS} operations: it is no state dictionary"))
    }
}

fn text(objects: &[Object], id: Id) -> Option<&str> {
    match objects.get(id) {
        Some(Object::Text(text)) => Some(text),
        _ => None,
    }
}

/// The bytes of a pickle, with a limit.
struct Input<'a, R> {
    inner: &'a mut R,
    left: u64,
}

impl<R: Read> Input<'_, R> {
    fn take(&mut self, count: u64) -> Result<Vec<u8>, String> {
        if count > self.left {
            return Err("the pickle is too long, or damaged".into());
        }
        self.left -= count;
        let mut bytes = vec![];
        let read = self.inner.by_ref().take(count).read_to_end(&mut bytes);
        match read.map_err(|e| format!("the pickle cannot be read ({e})"))? as u64 == count {
            true => Ok(bytes),
            false => Err("the pickle ends early: the file is cut short".into()),
        }
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned little-endian number of `size` ≤ 8 bytes.
    fn number(&mut self, size: u64) -> Result<u64, String> {
        Ok(self.take(size)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = vec![];
        loop {
            match self.byte()? {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                byte => line.push(byte),
            }
        }
    }
}

#[derive(Default)]
struct Machine {
    objects: Vec<Object>,
    stack: Vec<Id>,
    memo: HashMap<u64, Id>,
    elements: HashMap<String, Element>,
}

impl Machine {
    fn push(&mut self, object: Object) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "the pickle is damaged: its stack is empty".into())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "the pickle is damaged: its stack is empty".into())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.stack.iter().rposition(|id| matches!(self.objects[*id], Object::Mark));
        let mark = mark.ok_or("the pickle is damaged: a mark is missing")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn pop_sequence(&mut self, count: usize) -> Result<(), String> {
        let start =
            self.stack.len().checked_sub(count).ok_or("the pickle is damaged: its stack is too short")?;
        let items = self.stack.split_off(start);
        self.push(Object::Sequence(items));
        Ok(())
    }

    fn text(&mut self, bytes: Vec<u8>) {
        self.push(Object::Text(String::from_utf8_lossy(&bytes).into_owned()));
    }

    /// Adds items, or key-value pairs, to the object at the top of the stack, as `SETITEMS` and `APPENDS` do.
    fn extend(&mut self, items: &[Id], pairs: bool) -> Result<(), String> {
        let target = self.top()?;
        match &mut self.objects[target] {
            Object::Dictionary(entries) if pairs => {
                let (items, _) = items.as_chunks::<2>();
                entries.extend(items.iter().map(|[key, value]| (*key, *value)));
            }
            Object::Sequence(entries) if !pairs => entries.extend(items),
            _ => {}
        }
        Ok(())
    }

    fn step(&mut self, operation: u8, input: &mut Input<impl Read>) -> Result<(), String> {
        match operation {
            0x80 => drop(input.byte()?),       // PROTO
            0x95 => drop(input.number(8)?),    // FRAME
            b'(' => self.push(Object::Mark),   // MARK
            b'0' => drop(self.pop()?),         // POP
            b'1' => drop(self.pop_to_mark()?), // POP_MARK
            b'2' => {
                let id = self.top()?; // DUP
                self.stack.push(id);
            }
            b'N' | b')' | b']' | b'}' | 0x8f | 0x88 | 0x89 => self.push(match operation {
                b')' | b']' => Object::Sequence(vec![]), // EMPTY_TUPLE, EMPTY_LIST
                b'}' => Object::Dictionary(vec![]),      // EMPTY_DICT
                0x88 => Object::Boolean(true),           // NEWTRUE
                0x89 => Object::Boolean(false),          // NEWFALSE
                _ => Object::Opaque,                     // NONE, EMPTY_SET
            }),
            b'K' => {
                let number = input.number(1)?; // BININT1
                self.push(Object::Integer(number as i64));
            }
            b'M' => {
                let number = input.number(2)?; // BININT2
                self.push(Object::Integer(number as i64));
            }
            b'J' => {
                let number = input.number(4)?; // BININT
                self.push(Object::Integer(i64::from(number as u32 as i32)));
            }
            0x8a | 0x8b => {
                let size = input.number(if operation == 0x8a { 1 } else { 4 })?; // LONG1, LONG4
                let bytes = input.take(size)?;
                self.push(long(bytes));
            }
            b'G' => {
                let bits = input.number(8)?.swap_bytes(); // BINFLOAT, which is big-endian
                self.push(Object::Float(f64::from_bits(bits)));
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' => {
                // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, BINSTRING, SHORT_BINSTRING
                let size = input.number(match operation {
                    0x8c | b'U' => 1,
                    0x8d => 8,
                    _ => 4,
                })?;
                let bytes = input.take(size)?;
                self.text(bytes);
            }
            b'B' | b'C' | 0x8e | 0x96 => {
                // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
                let size = input.number(match operation {
                    b'C' => 1,
                    b'B' => 4,
                    _ => 8,
                })?;
                input.take(size)?;
                self.push(Object::Opaque);
            }
            b't' | b'l' | 0x91 => {
                let items = self.pop_to_mark()?; // TUPLE, LIST, FROZENSET
                self.push(Object::Sequence(items));
            }
            0x85..=0x87 => self.pop_sequence(usize::from(operation - 0x84))?, // TUPLE1, TUPLE2, TUPLE3
            b'd' => {
                let items = self.pop_to_mark()?; // DICT
                self.push(Object::Dictionary(vec![]));
                self.extend(&items, true)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?); // SETITEM
                self.extend(&[key, value], true)?;
            }
            b'a' => {
                let item = self.pop()?; // APPEND
                self.extend(&[item], false)?;
            }
            b'u' | b'e' | 0x90 => {
                let items = self.pop_to_mark()?; // SETITEMS, APPENDS, ADDITEMS
                self.extend(&items, operation == b'u')?;
            }
            b'q' | b'r' | 0x94 => {
                let slot = match operation {
                    b'q' => input.number(1)?,    // BINPUT
                    b'r' => input.number(4)?,    // LONG_BINPUT
                    _ => self.memo.len() as u64, // MEMOIZE
                };
                let id = self.top()?;
                self.memo.insert(slot, id);
            }
            b'h' | b'j' => {
                let slot = input.number(if operation == b'h' { 1 } else { 4 })?; // BINGET, LONG_BINGET
                let id =
                    self.memo.get(&slot).ok_or("the pickle is damaged: it recalls what it never stored")?;
                self.stack.push(*id);
            }
            b'c' => {
                let (module, name) = (input.line()?, input.line()?); // GLOBAL
                self.push(Object::Class(format!("{module}.{name}")));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?); // STACK_GLOBAL
                let part = |id| text(&self.objects, id).filter(|t| t.len() <= MAX_NAME).unwrap_or_default();
                let class = format!("{}.{}", part(module), part(name));
                self.push(Object::Class(class));
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?); // REDUCE, NEWOBJ
                let object = self.call(callable, arguments)?;
                self.push(object);
            }
            0x92 => {
                self.pop()?; // NEWOBJ_EX: keyword arguments, arguments, class
                self.pop()?;
                self.pop()?;
                self.push(Object::Opaque);
            }
            // BUILD sets attributes, such as a state dictionary's `_metadata`: the object stays what it is.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let id = self.pop()?; // BINPERSID
                let object = self.storage(id)?;
                self.push(object);
            }
            other => {
                return Err(format!(
                    "the pickle uses operation 0x{other:02x}, which no state dictionary needs"
                ));
            }
        }
        Ok(())
    }

    fn sequence(&self, id: Id) -> Option<&[Id]> {
        match &self.objects[id] {
            Object::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The storage that the tuple `("storage", class, key, location, elements, …)` describes.
    fn storage(&mut self, id: Id) -> Result<Object, String> {
        let damaged = "the pickle is damaged: a storage is not described as PyTorch does";
        let [kind, class, key, ..] = *self.sequence(id).ok_or(damaged)? else { return Err(damaged.into()) };
        let (Some("storage"), Object::Class(class), Some(key)) =
            (text(&self.objects, kind), &self.objects[class], text(&self.objects, key))
        else {
            return Err(damaged.into());
        };
        let element = Element::of(class.rsplit('.').next().unwrap_or_default());
        if key.len() > MAX_NAME {
            return Err(damaged.into());
        }
        let key = key.to_owned();
        self.elements.insert(key.clone(), element);
        Ok(Object::Storage { key, element })
    }

    /// The value of `callable(*arguments)` for the few callables that are known; opaque for others.
    fn call(&self, callable: Id, arguments: Id) -> Result<Object, String> {
        let Object::Class(class) = &self.objects[callable] else { return Ok(Object::Opaque) };
        let arguments = self.sequence(arguments).unwrap_or_default();
        match (&class[..], arguments) {
            ("collections.OrderedDict" | "collections.defaultdict" | "builtins.dict", _) => {
                Ok(Object::Dictionary(vec![]))
            }
            ("torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor", arguments) => {
                self.tensor(arguments).map(Object::Tensor)
            }
            (
                "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state",
                [data, ..],
            ) => match &self.objects[*data] {
                Object::Tensor(view) => Ok(Object::Tensor(view.clone())),
                _ => Ok(Object::Opaque),
            },
            // A tensor with attributes: (function, type, the function's arguments, state).
            ("torch._tensor._rebuild_from_type_v2", [function, _, arguments, ..]) => {
                match (&self.objects[*function], self.sequence(*arguments)) {
                    (Object::Class(class), Some(arguments)) if class == "torch._utils._rebuild_tensor_v2" => {
                        self.tensor(arguments).map(Object::Tensor)
                    }
                    _ => Ok(Object::Opaque),
                }
            }
            _ => Ok(Object::Opaque),
        }
    }

    /// The tensor that the arguments `(storage, offset, shape, strides, requires_grad, hooks, metadata)` describe, the
    /// last of which may be absent.
    fn tensor(&self, arguments: &[Id]) -> Result<TensorView, String> {
        let damaged = "the pickle is damaged: a tensor is not described as PyTorch does";
        let [storage, offset, shape, strides, ..] = *arguments else { return Err(damaged.into()) };
        let number = |id: Id| match self.objects[id] {
            Object::Integer(number) => usize::try_from(number).ok(),
            _ => None,
        };
        let numbers = |id| {
            let items = self.sequence(id).filter(|items| items.len() <= MAX_RANK)?;
            items.iter().map(|id| number(*id)).collect::<Option<Vec<_>>>()
        };
        let (Object::Storage { key, element }, Some(offset), Some(shape), Some(strides)) =
            (&self.objects[storage], number(offset), numbers(shape), numbers(strides))
        else {
            return Err(damaged.into());
        };
        if shape.len() != strides.len() {
            return Err(damaged.into());
        }
        let negated = arguments.get(6).is_some_and(|metadata| self.flag(*metadata, "neg"));
        Ok(TensorView { storage: key.clone(), element: *element, offset, shape, strides, negated })
    }

    /// Whether dictionary `id` says that `key` is true.
    fn flag(&self, id: Id, key: &str) -> bool {
        let Object::Dictionary(items) = &self.objects[id] else { return false };
        // A pickle may name a long dictionary for each of its tensors.
        let items = &items[..items.len().min(MAX_FLAGS)];
        let value = items.iter().rev().find(|(name, _)| text(&self.objects, *name) == Some(key));
        value.is_some_and(|(_, value)| matches!(self.objects[*value], Object::Boolean(true)))
    }
}

/// Reads a signed little-endian integer of any length.
fn long(bytes: Vec<u8>) -> Object {
    if bytes.len() > 8 {
        return Object::LongInteger(bytes);
    }
    let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [sign; 8];
    wide[..bytes.len()].copy_from_slice(&bytes);
    Object::Integer(i64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
    }

    #[test]
    fn views_are_read_by_their_strides() {
        for name in ["views.pt", "views-legacy.pt"] {
            let file = PytorchFile::open(&fixture(name)).unwrap();
            let names: Vec<_> = file.names().collect();
            assert_eq!(
                names,
                ["double", "expanded", "integers", "nested.parameter", "sliced", "transposed"],
                "{name}"
            );
            let get = |key| {
                let tensor = file.tensor(key).unwrap().unwrap();
                (tensor.shape, tensor.data)
            };
            assert_eq!(get("transposed"), (vec![3, 2], vec![0., 3., 1., 4., 2., 5.]), "{name}");
            assert_eq!(get("sliced"), (vec![2, 2], vec![1., 2., 4., 5.]));
            assert_eq!(get("expanded"), (vec![2, 2], vec![7., 7., 7., 7.]));
            assert_eq!(get("double"), (vec![], vec![0.5]));
            assert_eq!(get("nested.parameter"), (vec![2], vec![-1., 1.]));
            assert!(
                file.tensor("integers")
                    .unwrap_err()
                    .to_string()
                    .contains("`integers`: expected floating-point")
            );
            assert!(file.tensor("other").unwrap().is_none());
        }
    }

    /// The bytes of an archive with `pickle`, and one storage.
    fn archive(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
        use std::io::Write;
        use zip::CompressionMethod::Stored;
        let mut writer = zip::ZipWriter::new(Cursor::new(vec![]));
        let options = zip::write::SimpleFileOptions::default().compression_method(Stored);
        for (name, content) in [("a/data.pkl", pickle), ("a/data/0", storage)] {
            writer.start_file(name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn opened(bytes: &[u8]) -> Result<PytorchFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pt");
        std::fs::write(&path, bytes).unwrap();
        PytorchFile::open(&path)
    }

    /// A dictionary with the tensor `h`, two elements of a storage of class `class`.
    fn pickle_of(class: &str) -> Vec<u8> {
        let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
        let storage = [text("storage"), format!("ctorch\n{class}\n").into(), text("0"), text("cpu")].concat();
        let view = b"K\x02tQK\x00K\x02\x85K\x01\x85\x89}tRs.";
        let rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n((";
        [b"\x80\x02}", &text("h")[..], rebuild, &storage, view].concat()
    }

    #[test]
    fn half_precision_is_widened() {
        // 1.5 and -2^-24, the least negative half; 1.5 and -2^-126.
        for (class, bytes, expected) in [
            ("HalfStorage", [0x00, 0x3e, 0x01, 0x80], [1.5, -(2f32.powi(-24))]),
            ("BFloat16Storage", [0xc0, 0x3f, 0x80, 0x80], [1.5, -(2f32.powi(-126))]),
        ] {
            let file = opened(&archive(&pickle_of(class), &bytes)).unwrap();
            assert_eq!(file.tensor("h").unwrap().unwrap().data, expected, "{class}");
        }
        let file = opened(&archive(&pickle_of("ShortStorage"), &[0; 4])).unwrap();
        assert!(file.tensor("h").unwrap_err().to_string().contains("bfloat16"));
    }

    #[test]
    fn few_bytes_do_not_become_many_objects() {
        for operation in [&b")"[..], b"}", b"(", b"K\x01", b"X\x01\0\0\0a", b"N2", b"N\x94"] {
            let pickle = [b"\x80\x02", &operation.repeat(MAX_OPERATIONS)[..], b"."].concat();
            let error = opened(&archive(&pickle, b"")).unwrap_err().to_string();
            assert!(error.contains("more than 1048576 operations"), "{error}");
        }
        let directory = [b"PK\x03\x04", &b"PK\x01\x02".repeat(MAX_ARCHIVE_ENTRIES + 1)[..]].concat();
        let error = opened(&directory).unwrap_err().to_string();
        assert!(error.contains("the archive has 65537 entries"), "{error}");
    }

    #[test]
    fn says_what_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pt");
        for (bytes, expected) in [
            (&b""[..], "not a file of PyTorch"),
            (b"x, y", "not a file of PyTorch"),
            (b"\x80\x02}q\x00.", "not of PyTorch's `torch.save`"),
            (b"\x80\x02}q\x00", "cut short"),
            (b"PK\x03\x04", "damaged or cut short"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = PytorchFile::open(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = PytorchFile::open(&fixture("whole-model.pt")).unwrap_err().to_string();
        assert!(error.contains("state_dict"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn damage_never_panics(legacy: bool, cut: bool, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            let mut bytes = std::fs::read(fixture(if legacy { "views-legacy.pt" } else { "views.pt" })).unwrap();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                match cut && bytes.len() > 1 {
                    true => bytes.truncate(at.max(1)),
                    false => bytes[at] = value,
                }
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file.pt");
            std::fs::write(&path, bytes).unwrap();
            if let Ok(file) = PytorchFile::open(&path) {
                for name in file.names() {
                    let _ = file.tensor(name);
                }
            }
        }

        #[test]
        fn no_pickle_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Pickle::read(&mut &bytes[..]);
        }
    }
}
