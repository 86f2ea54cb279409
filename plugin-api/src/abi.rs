//! The Rust mirror of `include/potstill.h`, the C contract of native plugins. The header is the reference: it documents
//! every field and function. `tests/abi.rs` checks that the two agree.
use std::ffi::{CStr, CString, c_char, c_void};

use crate::{OptionKind, OptionSchema, OptionValue, Space};

/// The number that begins a host's and a plugin's structure, `POTSTILL_MAGIC`.
pub const MAGIC: u32 = 0x4C4C_4954;
/// The major version of the contract, `POTSTILL_ABI_MAJOR`.
pub const ABI_MAJOR: u16 = 0;
/// The minor version of the contract, `POTSTILL_ABI_MINOR`.
pub const ABI_MINOR: u16 = 1;
/// The name of the entry point that a library exports, with its NUL.
pub const ENTRY: &[u8] = b"potstill_plugin\0";
/// The type of the entry point [`ENTRY`].
pub type Entry = unsafe extern "C" fn(*const Host) -> *const Plugin;

/// The result code of a call that succeeded.
pub const OK: i32 = 0;
/// The result code of a call that failed for a reason the user can fix. The handle stays usable.
pub const REFUSED: i32 = 1;
/// The result code of a call that failed for good. The handle may only be destroyed.
pub const FAILED: i32 = 2;

/// What the host writes to every element of `lives_lost` before a step, and what stays there if the plugin does not report
/// lives, `POTSTILL_NO_LIVES`.
pub const NO_LIVES: u8 = 2;

/// A withdrawn number of [`DataKind`], which meant rollouts with the advantage estimates of one paper's code. It is never
/// reused.
pub const DATA_WITHDRAWN: u32 = 1;

/// Declares a C structure with the same fields as in the header.
macro_rules! structure {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs)]
        pub struct $name { $(pub $field: $type),* }

        impl $name {
            /// Size in bytes, as `struct_size` in the header counts it.
            pub const SIZE: u32 = std::mem::size_of::<$name>() as u32;
            /// Names and offsets of the fields, which a test compares with the header.
            pub const LAYOUT: &[(&str, usize)] = &[$((stringify!($field), std::mem::offset_of!($name, $field))),*];
            /// The structure with all fields zero, which means that they are unused.
            pub fn zeroed() -> Self {
                // SAFETY: all fields are numbers, raw pointers or optional functions, for which zero is a valid value.
                unsafe { std::mem::zeroed() }
            }
        }
    };
}

/// A function in a table, or `None` if the other side does not provide it.
pub type Function<F> = Option<F>;

structure! {
    /// `potstill_space`.
    RawSpace { kind: u32, n: u32, rank: u32, bounds: u32, shape: *const u32, low: *const f32, high: *const f32 }
}
structure! {
    /// `potstill_value`.
    RawValue { kind: u32, reserved: u32, integer: i64, number: f64, text: *const c_char }
}
structure! {
    /// `potstill_option`.
    RawOption {
        name: *const c_char, help: *const c_char, default_value: RawValue, integer_min: i64, integer_max: i64,
        number_min: f64, number_max: f64, choices: *const *const c_char, choice_count: u32, reserved: u32,
    }
}
structure! {
    /// `potstill_setting`.
    Setting { name: *const c_char, value: RawValue }
}
structure! {
    /// `potstill_spec`.
    RawSpec {
        struct_size: u32, max_episode_steps: u32, observation: RawSpace, action: RawSpace, reward_threshold: f32,
        max_return: f32,
    }
}
structure! {
    /// `potstill_transition`.
    RawTransition {
        struct_size: u32, reserved: u32, observations: *mut c_void, rewards: *mut f32, terminated: *mut u8,
        truncated: *mut u8, final_observations: *mut c_void, faults: *mut u8, lives_lost: *mut u8,
    }
}
structure! {
    /// `potstill_frame`.
    RawFrame {
        struct_size: u32, width: u32, height: u32, reserved: u32, pixels: *const u8, text: *const c_char,
    }
}
structure! {
    /// `potstill_environment`. Its functions take the handle that `make` returned.
    EnvironmentFunctions {
        struct_size: u32,
        reserved: u32,
        make: Function<unsafe extern "C" fn(u32, *const Setting, u32, *mut *mut c_void) -> i32>,
        destroy: Function<unsafe extern "C" fn(*mut c_void)>,
        spec: Function<unsafe extern "C" fn(*mut c_void, *mut RawSpec) -> i32>,
        reset: Function<unsafe extern "C" fn(*mut c_void, *const u64, *mut c_void) -> i32>,
        step: Function<unsafe extern "C" fn(*mut c_void, *const c_void, *mut RawTransition) -> i32>,
        render: Function<unsafe extern "C" fn(*mut c_void, u32, u32, *mut RawFrame) -> i32>,
        snapshot: Function<unsafe extern "C" fn(*mut c_void, *mut *const u8, *mut usize) -> i32>,
        restore: Function<unsafe extern "C" fn(*mut c_void, *const u8, usize) -> i32>,
    }
}
structure! {
    /// `potstill_operation`.
    Operation {
        struct_size: u32, op: u32, inputs: *const u32, integers: *const i64, numbers: *const f64, input_count: u32,
        integer_count: u32, number_count: u32, line: u32, file: *const c_char,
    }
}
structure! {
    /// `potstill_graph`.
    RawGraph {
        struct_size: u32,
        reserved: u32,
        context: *mut c_void,
        operation: Function<unsafe extern "C" fn(*mut c_void, *const Operation) -> u32>,
        shape: Function<unsafe extern "C" fn(*mut c_void, u32, *mut u32, u32) -> u32>,
        gradients: Function<unsafe extern "C" fn(*mut c_void, u32, *const u32, u32, *mut u32)>,
    }
}
structure! {
    /// `potstill_parameter`.
    RawParameter {
        name: *const c_char, shape: *const u32, rank: u32, init: u32, value: f64, layer: u32, reserved: u32,
    }
}
structure! {
    /// `potstill_learner`.
    LearnerFunctions {
        struct_size: u32,
        reserved: u32,
        make: Function<
            unsafe extern "C" fn(*const RawSpace, u32, *const Setting, u32, u64, *mut *mut c_void) -> i32
        >,
        destroy: Function<unsafe extern "C" fn(*mut c_void)>,
        name: Function<unsafe extern "C" fn(*mut c_void) -> *const c_char>,
        parameters: Function<
            unsafe extern "C" fn(*mut c_void, *const RawGraph, *mut *const RawParameter, *mut u32) -> i32
        >,
        forward: Function<
            unsafe extern "C" fn(*mut c_void, *const RawGraph, *const u32, u32, u32, *mut u32) -> i32
        >,
    }
}
structure! {
    /// `potstill_task`.
    RawTask {
        struct_size: u32, instances: u32, outputs: u32, reserved: u32, observation: RawSpace, action: RawSpace,
    }
}
structure! {
    /// `potstill_meta_parameter`.
    RawMetaParameter {
        name: *const c_char, shape: *const u32, rank: u32, init: u32, value: f64, learned: u32, positive: u32,
    }
}
structure! {
    /// `potstill_network`.
    RawNetwork {
        struct_size: u32,
        reserved: u32,
        graph: *const RawGraph,
        context: *mut c_void,
        apply: Function<unsafe extern "C" fn(*mut c_void, *const u32, u32, u32) -> u32>,
        log_probability: Function<unsafe extern "C" fn(*mut c_void, u32, u32) -> u32>,
        entropy: Function<unsafe extern "C" fn(*mut c_void, u32) -> u32>,
        divergence: Function<unsafe extern "C" fn(*mut c_void, u32, u32) -> u32>,
    }
}
structure! {
    /// `potstill_metric`.
    RawMetric { name: *const c_char, value: u32, reserved: u32 }
}
structure! {
    /// `potstill_outer`.
    RawOuter {
        struct_size: u32, theta_count: u32, parameter_count: u32, column_count: u32, theta: *const u32,
        fresh: *const u32, taught: *const u32, columns: *const u32, loss: u32, metric_count: u32,
        metrics: *const RawMetric,
    }
}
structure! {
    /// `potstill_objective`.
    ObjectiveFunctions {
        struct_size: u32,
        reserved: u32,
        make: Function<unsafe extern "C" fn(*const RawTask, *const Setting, u32, *mut *mut c_void) -> i32>,
        destroy: Function<unsafe extern "C" fn(*mut c_void)>,
        data: Function<unsafe extern "C" fn(*mut c_void) -> u32>,
        meta_parameters: Function<
            unsafe extern "C" fn(*mut c_void, *mut *const RawMetaParameter, *mut u32) -> i32
        >,
        columns: Function<unsafe extern "C" fn(*mut c_void, *mut *const *const c_char, *mut u32) -> i32>,
        inner: Function<
            unsafe extern "C" fn(*mut c_void, *const RawNetwork, *const u32, u32, *const u32, u32, *mut u32) -> i32
        >,
        outer: Function<unsafe extern "C" fn(*mut c_void, *const RawNetwork, *mut RawOuter) -> i32>,
    }
}
structure! {
    /// `potstill_host`.
    Host {
        magic: u32, abi_major: u16, abi_minor: u16, struct_size: u32, reserved: u32, version: *const c_char,
        log: Function<unsafe extern "C" fn(u32, *const c_char)>, setup: *const c_char,
    }
}
structure! {
    /// `potstill_plugin_description`.
    Plugin {
        magic: u32, abi_major: u16, abi_minor: u16, struct_size: u32, role: u32, id: *const c_char,
        version: *const c_char, summary: *const c_char, options: *const RawOption, option_count: u32, reserved: u32,
        functions: *const c_void, last_error: Function<unsafe extern "C" fn() -> *const c_char>,
        next: *const Plugin,
    }
}

/// A structure that begins with its own size, so that later versions of the contract can append fields.
pub trait Grows: Copy {
    /// The size in version 0.1, which is the smallest valid size.
    const FIRST: u32;

    /// Reads the structure at `from`. Fields beyond its `struct_size` are zero.
    ///
    /// # Safety
    /// `from` must point to as many readable bytes as its `struct_size` says, and at least to that field itself.
    ///
    /// # Errors
    /// Returns the structure's size if it is less than [`Grows::FIRST`].
    unsafe fn read(from: *const Self) -> Result<Self, u32>;
}

/// Implements [`Grows`] for structures, given the last field of each in version 0.1, which must be of pointer size.
macro_rules! grows {
    ($($name:ident up to $last:ident),* $(,)?) => {$(
        impl Grows for $name {
            const FIRST: u32 = (std::mem::offset_of!($name, $last) + size_of::<usize>()) as u32;

            unsafe fn read(from: *const Self) -> Result<Self, u32> {
                // SAFETY: the caller guarantees that `struct_size` can be read.
                let size = unsafe { (&raw const (*from).struct_size).read() };
                if size < Self::FIRST {
                    return Err(size);
                }
                let mut whole = $name::zeroed();
                let length = size.min($name::SIZE) as usize;
                // SAFETY: `length` is at most the size of either structure. The remaining bytes stay zero.
                unsafe {
                    std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut whole).cast::<u8>(), length);
                }
                Ok(whole)
            }
        }
    )*};
}

grows! {
    EnvironmentFunctions up to restore,
    LearnerFunctions up to forward,
    ObjectiveFunctions up to outer,
    Plugin up to last_error,
    Host up to log,
    RawTransition up to final_observations,
}

/// Declares an enumeration with the numbers of the header, and a table that a test compares with the header.
macro_rules! numbers {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $value:literal $c:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        #[allow(missing_docs)]
        pub enum $name { $($variant = $value),* }

        impl $name {
            /// The names in the header, with their numbers.
            pub const NUMBERS: &[(&str, u32)] = &[$(($c, $value)),*];
            /// Returns the variant with this number, if there is one.
            pub fn from_number(number: u32) -> Option<Self> {
                match number { $($value => Some($name::$variant),)* _ => None }
            }
        }
    };
}

numbers! {
    /// The kind of a [`RawSpace`].
    SpaceKind {
        Box = 0 "POTSTILL_BOX", Discrete = 1 "POTSTILL_DISCRETE", MultiDiscrete = 2 "POTSTILL_MULTI_DISCRETE",
        Image = 3 "POTSTILL_IMAGE",
    }
}
numbers! {
    /// The type of a [`RawValue`].
    ValueKind {
        Integer = 0 "POTSTILL_INTEGER", Number = 1 "POTSTILL_NUMBER", Boolean = 2 "POTSTILL_BOOLEAN",
        Text = 3 "POTSTILL_TEXT",
    }
}
numbers! {
    /// The operations of the graph.
    GraphOp {
        Constant = 0 "POTSTILL_OP_CONSTANT", Values = 1 "POTSTILL_OP_VALUES", Indices = 2 "POTSTILL_OP_INDICES",
        Negate = 10 "POTSTILL_OP_NEGATE", Absolute = 11 "POTSTILL_OP_ABSOLUTE", Square = 12 "POTSTILL_OP_SQUARE",
        SquareRoot = 13 "POTSTILL_OP_SQUARE_ROOT", Reciprocal = 14 "POTSTILL_OP_RECIPROCAL",
        Exponential = 15 "POTSTILL_OP_EXPONENTIAL", Logarithm = 16 "POTSTILL_OP_LOGARITHM",
        Tanh = 17 "POTSTILL_OP_TANH", Sigmoid = 18 "POTSTILL_OP_SIGMOID", Relu = 19 "POTSTILL_OP_RELU",
        Gelu = 20 "POTSTILL_OP_GELU", ErrorFunction = 21 "POTSTILL_OP_ERROR_FUNCTION", Sign = 22 "POTSTILL_OP_SIGN",
        Power = 23 "POTSTILL_OP_POWER",
        Add = 40 "POTSTILL_OP_ADD", Sub = 41 "POTSTILL_OP_SUBTRACT", Mul = 42 "POTSTILL_OP_MULTIPLY",
        Div = 43 "POTSTILL_OP_DIVIDE", Minimum = 44 "POTSTILL_OP_MINIMUM", Maximum = 45 "POTSTILL_OP_MAXIMUM",
        Less = 46 "POTSTILL_OP_LESS", LessEqual = 47 "POTSTILL_OP_LESS_EQUAL", Equal = 48 "POTSTILL_OP_EQUAL",
        Select = 49 "POTSTILL_OP_SELECT",
        Sum = 60 "POTSTILL_OP_SUM", Mean = 61 "POTSTILL_OP_MEAN", MaximumOver = 62 "POTSTILL_OP_MAXIMUM_OVER",
        LogSoftmax = 63 "POTSTILL_OP_LOG_SOFTMAX", Softmax = 64 "POTSTILL_OP_SOFTMAX",
        LayerNorm = 65 "POTSTILL_OP_LAYER_NORM",
        Matmul = 80 "POTSTILL_OP_MATMUL", Conv2d = 81 "POTSTILL_OP_CONV2D",
        AveragePool = 82 "POTSTILL_OP_AVERAGE_POOL", MaximumPool = 83 "POTSTILL_OP_MAXIMUM_POOL",
        Gather = 100 "POTSTILL_OP_GATHER", ScatterAdd = 101 "POTSTILL_OP_SCATTER_ADD",
        OneHot = 102 "POTSTILL_OP_ONE_HOT",
        Reshape = 120 "POTSTILL_OP_RESHAPE", Permute = 121 "POTSTILL_OP_PERMUTE",
        Broadcast = 122 "POTSTILL_OP_BROADCAST", Slice = 123 "POTSTILL_OP_SLICE", Pad = 124 "POTSTILL_OP_PAD",
        Concat = 125 "POTSTILL_OP_CONCAT", StopGradient = 126 "POTSTILL_OP_STOP_GRADIENT",
        Variable = 127 "POTSTILL_OP_VARIABLE",
    }
}
numbers! {
    /// How a learner's parameter is initialized.
    InitKind {
        Constant = 0 "POTSTILL_INIT_CONSTANT", Uniform = 1 "POTSTILL_INIT_UNIFORM", Normal = 2 "POTSTILL_INIT_NORMAL",
        Orthogonal = 3 "POTSTILL_INIT_ORTHOGONAL",
    }
}
numbers! {
    /// How a part of θ is initialized.
    MetaInitKind {
        Constant = 0 "POTSTILL_META_CONSTANT", Normal = 1 "POTSTILL_META_NORMAL", Labels = 2 "POTSTILL_META_LABELS",
    }
}
numbers! {
    /// Where an objective's transitions come from. The number 1 is reserved, see [`DATA_WITHDRAWN`].
    DataKind { Rollouts = 0 "POTSTILL_ROLLOUTS", Offline = 2 "POTSTILL_OFFLINE" }
}
numbers! {
    /// The role of a plugin.
    RoleKind {
        Environment = 0 "POTSTILL_ENVIRONMENT", Learner = 1 "POTSTILL_LEARNER", Objective = 2 "POTSTILL_OBJECTIVE",
    }
}
numbers! {
    /// The form in which `render` draws.
    RenderKind { Rgb = 0 "POTSTILL_RGB", Lines = 1 "POTSTILL_LINES" }
}

/// Reads a C string from the other side. A null pointer gives `None`.
///
/// # Safety
/// `text` must be null or point to a NUL-terminated string that is valid for `'a`.
///
/// # Errors
/// Fails if the string is not UTF-8.
pub unsafe fn text<'a>(text: *const c_char) -> Result<Option<&'a str>, String> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller guarantees a NUL-terminated string.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes.to_str().map(Some).map_err(|e| format!("a text is not UTF-8 ({e})"))
}

/// Borrows an array from the other side. If `count` is 0, the pointer is not read.
///
/// # Safety
/// `pointer` must point to `count` elements that are valid for `'a`, unless it is null or `count` is 0.
///
/// # Errors
/// Fails if `pointer` is null although `count` is not 0.
pub unsafe fn array<'a, T>(pointer: *const T, count: u32) -> Result<&'a [T], String> {
    match (count, pointer.is_null()) {
        (0, _) => Ok(&[]),
        (_, true) => Err(format!("an array of {count} elements is NULL")),
        // SAFETY: the pointer is not null, so the caller guarantees `count` valid elements.
        _ => Ok(unsafe { std::slice::from_raw_parts(pointer, count as usize) }),
    }
}

/// Makes a C string for the other side. It ends at the first zero byte of `text`.
pub fn c_text(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// A [`Space`] in C form, which owns its arrays.
#[derive(Debug)]
pub struct SpaceData {
    raw: RawSpace,
    _shape: Vec<u32>,
    _bounds: [Vec<f32>; 2],
}

// SAFETY: the pointers in `raw` point into the vectors of the same value, which never change.
unsafe impl Send for SpaceData {}
// SAFETY: as for `Send`: the data is only read.
unsafe impl Sync for SpaceData {}

impl SpaceData {
    /// Converts `space` to C form.
    pub fn new(space: &Space) -> Self {
        let (kind, n, bounds) = match space {
            Space::Box { low, high, .. } => {
                // The C structure has a single length for both bounds.
                let length = low.len().max(high.len());
                let fill = |bound: &[f32]| (0..length).map(|i| bound[i % bound.len()]).collect::<Vec<f32>>();
                (SpaceKind::Box, 0, [fill(low), fill(high)])
            }
            Space::Discrete { n } => (SpaceKind::Discrete, *n as u32, [vec![], vec![]]),
            Space::MultiDiscrete { .. } => (SpaceKind::MultiDiscrete, 0, [vec![], vec![]]),
            Space::Image { .. } => (SpaceKind::Image, 0, [vec![], vec![]]),
        };
        let dimensions = match space {
            Space::MultiDiscrete { nvec } => nvec.clone(),
            other => other.shape(),
        };
        let shape: Vec<u32> = dimensions.iter().map(|&d| d as u32).collect();
        let raw = RawSpace {
            kind: kind as u32,
            n,
            rank: shape.len() as u32,
            bounds: bounds[0].len() as u32,
            shape: shape.as_ptr(),
            low: bounds[0].as_ptr(),
            high: bounds[1].as_ptr(),
        };
        SpaceData { raw, _shape: shape, _bounds: bounds }
    }

    /// Returns the C structure, whose pointers are valid as long as `self`.
    pub fn raw(&self) -> RawSpace {
        self.raw
    }
}

impl RawSpace {
    /// Reads the space. The caller must validate it.
    ///
    /// # Safety
    /// Each pointer must be null or point to as many elements as its count says.
    ///
    /// # Errors
    /// Fails if the kind is unknown or an array is null.
    pub unsafe fn read(&self) -> Result<Space, String> {
        let shape = || -> Result<Vec<usize>, String> {
            // SAFETY: the caller guarantees that `shape` is null or has `rank` elements.
            Ok(unsafe { array(self.shape, self.rank) }?.iter().map(|&d| d as usize).collect())
        };
        // SAFETY: the caller guarantees that each bound is null or has `bounds` elements.
        let bound = |of: *const f32| unsafe { array(of, self.bounds) }.map(<[f32]>::to_vec);
        match SpaceKind::from_number(self.kind) {
            Some(SpaceKind::Box) => {
                Ok(Space::Box { shape: shape()?, low: bound(self.low)?, high: bound(self.high)? })
            }
            Some(SpaceKind::Discrete) => Ok(Space::Discrete { n: self.n as usize }),
            Some(SpaceKind::MultiDiscrete) => Ok(Space::MultiDiscrete { nvec: shape()? }),
            Some(SpaceKind::Image) => Ok(Space::Image { shape: shape()? }),
            None => Err(format!("a space has the unknown kind {}", self.kind)),
        }
    }
}

impl RawValue {
    fn new(value: &OptionValue, text: *const c_char) -> Self {
        let mut raw = RawValue::zeroed();
        match value {
            OptionValue::Integer(n) => (raw.kind, raw.integer) = (ValueKind::Integer as u32, *n),
            OptionValue::Number(n) => (raw.kind, raw.number) = (ValueKind::Number as u32, *n),
            OptionValue::Boolean(b) => (raw.kind, raw.integer) = (ValueKind::Boolean as u32, i64::from(*b)),
            OptionValue::Text(_) => (raw.kind, raw.text) = (ValueKind::Text as u32, text),
        }
        raw
    }

    /// Reads the value.
    ///
    /// # Safety
    /// If the value is a text, its pointer must be null or point to a NUL-terminated string.
    ///
    /// # Errors
    /// Fails if the kind is unknown, or if a text is null or not UTF-8.
    pub unsafe fn read(&self) -> Result<OptionValue, String> {
        Ok(match ValueKind::from_number(self.kind) {
            Some(ValueKind::Integer) => OptionValue::Integer(self.integer),
            Some(ValueKind::Number) => OptionValue::Number(self.number),
            Some(ValueKind::Boolean) => OptionValue::Boolean(self.integer != 0),
            Some(ValueKind::Text) => {
                // SAFETY: the caller guarantees that the text is null or NUL-terminated.
                let text = unsafe { text(self.text) }?.ok_or("the text of a value is NULL")?;
                OptionValue::Text(text.to_owned())
            }
            None => return Err(format!("a value has the unknown kind {}", self.kind)),
        })
    }
}

/// Settings in C form, which own their strings.
#[derive(Debug)]
pub struct SettingsData {
    raw: Vec<Setting>,
    _texts: Vec<CString>,
}

impl SettingsData {
    /// Converts `settings` to C form.
    pub fn new<'a>(settings: impl IntoIterator<Item = (&'a str, &'a OptionValue)>) -> Self {
        let (mut raw, mut texts) = (vec![], vec![]);
        for (name, value) in settings {
            let name = c_text(name);
            let text =
                c_text(&if let OptionValue::Text(text) = value { text.clone() } else { String::new() });
            // A `CString` is on the heap, so these pointers stay valid when it is moved.
            raw.push(Setting { name: name.as_ptr(), value: RawValue::new(value, text.as_ptr()) });
            texts.extend([name, text]);
        }
        SettingsData { raw, _texts: texts }
    }

    /// Returns the C array, whose pointers are valid as long as `self`.
    pub fn raw(&self) -> &[Setting] {
        &self.raw
    }
}

impl Setting {
    /// Reads the name and the value.
    ///
    /// # Safety
    /// Each text must be null or NUL-terminated.
    ///
    /// # Errors
    /// Fails if there is no name, or if [`RawValue::read`] does.
    pub unsafe fn read(&self) -> Result<(String, OptionValue), String> {
        // SAFETY: the caller guarantees that the texts are null or NUL-terminated.
        unsafe {
            let name = text(self.name)?.ok_or("a setting has no name")?;
            Ok((name.to_owned(), self.value.read()?))
        }
    }
}

/// Options in C form, which own their strings and arrays.
#[derive(Debug)]
pub struct OptionsData {
    raw: Vec<RawOption>,
    _texts: Vec<CString>,
    _choices: Vec<Vec<*const c_char>>,
}

// SAFETY: the pointers in `raw` point into the other fields of the same value, which never change.
unsafe impl Send for OptionsData {}
// SAFETY: as for `Send`: the data is only read.
unsafe impl Sync for OptionsData {}

impl OptionsData {
    /// Converts `options` to C form.
    pub fn new(options: &[OptionSchema]) -> Self {
        let mut data = OptionsData { raw: vec![], _texts: vec![], _choices: vec![] };
        for option in options {
            let mut keep = |text: &str| {
                data._texts.push(c_text(text));
                data._texts.last().map_or(std::ptr::null(), |text| text.as_ptr())
            };
            let mut raw = RawOption::zeroed();
            (raw.name, raw.help) = (keep(&option.name), keep(&option.help));
            let default =
                if let OptionValue::Text(text) = &option.default { keep(text) } else { std::ptr::null() };
            raw.default_value = RawValue::new(&option.default, default);
            match &option.kind {
                OptionKind::Integer { min, max } => {
                    raw.default_value.kind = ValueKind::Integer as u32;
                    (raw.integer_min, raw.integer_max) = (*min, *max);
                }
                OptionKind::Number { min, max } => {
                    if let OptionValue::Integer(n) = option.default {
                        raw.default_value.number = n as f64;
                    }
                    raw.default_value.kind = ValueKind::Number as u32;
                    (raw.number_min, raw.number_max) = (*min, *max);
                }
                OptionKind::Boolean => {}
                OptionKind::Text { choices } => {
                    let choices: Vec<*const c_char> = choices.iter().map(|choice| keep(choice)).collect();
                    (raw.choices, raw.choice_count) = (choices.as_ptr(), choices.len() as u32);
                    data._choices.push(choices);
                }
            }
            data.raw.push(raw);
        }
        data
    }

    /// Returns the C array, whose pointers are valid as long as `self`.
    pub fn raw(&self) -> &[RawOption] {
        &self.raw
    }
}

impl RawOption {
    /// Reads the option. The caller must check its name, its limits and its default.
    ///
    /// # Safety
    /// Each text must be null or NUL-terminated, and `choices` must be null or have `choice_count` elements.
    ///
    /// # Errors
    /// Fails if the name, the array of choices, one of them or a text default is null, if a text is not UTF-8, or if the
    /// kind is unknown.
    pub unsafe fn read(&self) -> Result<OptionSchema, String> {
        // SAFETY: the caller guarantees the texts and the array of choices.
        unsafe {
            let name = text(self.name)?.ok_or("an option has no name")?.to_owned();
            let choices = array(self.choices, self.choice_count)?;
            let choice = |&choice: &*const c_char| Ok(text(choice)?.ok_or("a choice is NULL")?.to_owned());
            let kind = match ValueKind::from_number(self.default_value.kind) {
                Some(ValueKind::Integer) => {
                    OptionKind::Integer { min: self.integer_min, max: self.integer_max }
                }
                Some(ValueKind::Number) => OptionKind::Number { min: self.number_min, max: self.number_max },
                Some(ValueKind::Boolean) => OptionKind::Boolean,
                Some(ValueKind::Text) => {
                    OptionKind::Text { choices: choices.iter().map(choice).collect::<Result<_, String>>()? }
                }
                None => {
                    return Err(format!("option `{name}` has the unknown kind {}", self.default_value.kind));
                }
            };
            let help = text(self.help)?.unwrap_or_default().to_owned();
            Ok(OptionSchema { name, help, kind, default: self.default_value.read()? })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_survive_a_round_trip() {
        for space in [
            Space::Box { shape: vec![2, 2], low: vec![-1.0], high: vec![1.0, 2.0, 3.0, f32::INFINITY] },
            Space::Box { shape: vec![], low: vec![f32::NEG_INFINITY], high: vec![0.0] },
            Space::Discrete { n: 7 },
            Space::MultiDiscrete { nvec: vec![2, 3] },
            Space::Image { shape: vec![4, 84, 84] },
        ] {
            let data = SpaceData::new(&space);
            // SAFETY: `data` owns the arrays and is alive.
            let back = unsafe { data.raw().read() }.unwrap();
            // A single bound for all elements means the same as one bound for each.
            let size = space.size().max(1);
            let bounds = |s: &Space| match s {
                Space::Box { low, high, .. } => {
                    (0..size).map(|i| (low[i % low.len()], high[i % high.len()])).collect()
                }
                _ => vec![],
            };
            assert_eq!((back.shape(), bounds(&back)), (space.shape(), bounds(&space)));
        }
        let raw = RawSpace { kind: 9, ..RawSpace::zeroed() };
        // SAFETY: all pointers are null.
        assert!(unsafe { raw.read() }.unwrap_err().contains("kind 9"));
        let raw = RawSpace { rank: 2, ..RawSpace::zeroed() };
        // SAFETY: null pointers are allowed.
        assert!(unsafe { raw.read() }.unwrap_err().contains("NULL"));
    }

    /// A table as a later version of the contract could have it.
    #[allow(unreachable_pub, dead_code, reason = "the macro makes more than the test needs")]
    mod later {
        use super::super::{Function, Grows};

        structure! {
            /// A table with two fields that version 0.1 did not have.
            Later { struct_size: u32, reserved: u32, destroy: Function<fn()>, later: Function<fn()>, number: u64 }
        }
        grows! { Later up to destroy }
    }

    #[test]
    fn fields_that_a_structure_lacks_are_read_as_zero() {
        use later::Later;
        let whole = Later {
            struct_size: Later::SIZE,
            reserved: 0,
            destroy: Some(|| {}),
            later: Some(|| {}),
            number: 5,
        };
        for (size, later, number) in [(16, false, 0), (24, true, 0), (32, true, 5), (4000, true, 5)] {
            // The buffer is exactly as long as `struct_size` says, up to the 32 bytes that are known.
            let mut bytes = vec![0u64; size.min(32) / 8];
            let whole = Later { struct_size: size as u32, ..whole };
            // SAFETY: `whole` has 32 bytes, and the slice has at most 4 words.
            let words = unsafe { std::slice::from_raw_parts((&raw const whole).cast::<u64>(), bytes.len()) };
            bytes.copy_from_slice(words);
            // SAFETY: the buffer holds `struct_size` bytes, up to the 32 that `read` accesses.
            let read = unsafe { Later::read(bytes.as_ptr().cast()) }.unwrap();
            assert!(read.destroy.is_some());
            assert_eq!((read.later.is_some(), read.number), (later, number), "{size}");
        }
        // SAFETY: the size is too small, so `read` accesses nothing else.
        assert_eq!(unsafe { Later::read([8u64].as_ptr().cast()) }.err(), Some(8));
    }

    #[test]
    fn options_and_settings_survive_a_round_trip() {
        let option = |name: &str, kind, default| OptionSchema {
            name: name.into(),
            help: format!("The {name}."),
            kind,
            default,
        };
        let choices = vec!["tanh".to_owned(), "relu".to_owned()];
        let options = [
            option("n", OptionKind::Integer { min: 1, max: 9 }, 2i64.into()),
            option("gain", OptionKind::Number { min: 0.0, max: 9.5 }, 2.5.into()),
            option("fast", OptionKind::Boolean, true.into()),
            option("activation", OptionKind::Text { choices }, "tanh".into()),
            option("width", OptionKind::Text { choices: vec![] }, "64".into()),
        ];
        let data = OptionsData::new(&options);
        // SAFETY: `data` owns the strings and is alive.
        let back: Vec<_> = data.raw().iter().map(|raw| unsafe { raw.read() }.unwrap()).collect();
        assert_eq!(back, options);
        let settings = SettingsData::new(options.iter().map(|o| (o.name.as_str(), &o.default)));
        for (raw, option) in settings.raw().iter().zip(&options) {
            // SAFETY: `settings` owns the strings and is alive.
            assert_eq!(unsafe { raw.read() }.unwrap(), (option.name.clone(), option.default.clone()));
        }
    }
}
