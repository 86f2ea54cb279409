//! Safe types for a model and its simulations.
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};
use std::slice::{from_raw_parts, from_raw_parts_mut};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::library::{Library, Raw, guarded};
use crate::renderer::Renderer;

/// A compiled model. Stepping only reads it, so all copies share one.
pub struct Model {
    pub(crate) library: &'static Library,
    pub(crate) raw: Raw,
    /// The lengths of `qpos`, `qvel` and `ctrl`, and the numbers of bodies, shapes and sites.
    pub(crate) nq: usize,
    pub(crate) nv: usize,
    pub(crate) nu: usize,
    pub(crate) nbody: usize,
    pub(crate) ngeom: usize,
    nsite: usize,
    /// The model's renderer, while any simulation uses it.
    pub(crate) renderer: Mutex<Weak<Renderer>>,
}

// SAFETY: nothing writes to a model after it is loaded.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// Loads the model in the file `path`, which is read once while any simulation uses it.
    ///
    /// # Errors
    /// MuJoCo cannot read it. The message names the file and the reason.
    pub(crate) fn load(library: &'static Library, path: &Path) -> Result<Arc<Model>, String> {
        type Loaded = HashMap<(usize, PathBuf), Weak<Model>>;
        static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        let key = (std::ptr::from_ref(library).addr(), path.to_owned());
        if let Some(model) = loaded.get(&key).and_then(Weak::upgrade) {
            return Ok(model);
        }
        let model = Arc::new(Model::read(library, path)?);
        loaded.insert(key, Arc::downgrade(&model));
        Ok(model)
    }

    fn read(library: &'static Library, path: &Path) -> Result<Model, String> {
        let refuse = |why: &str| format!("MuJoCo cannot read the model {}: {why}", path.display());
        let file = path.to_str().and_then(|path| CString::new(path).ok());
        let file = file.ok_or_else(|| refuse("its path is not UTF-8"))?;
        let mut message = [0 as c_char; 1024];
        // SAFETY: a string, and a buffer with its length.
        let raw = guarded(|| unsafe {
            (library.load_xml)(
                file.as_ptr(),
                std::ptr::null_mut(),
                message.as_mut_ptr(),
                message.len() as i32,
            )
        })
        .map_err(|error| refuse(&error))?;
        if raw.is_null() {
            // SAFETY: the library terminates its message with a zero.
            let message = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy();
            let message: Vec<&str> = message.split_whitespace().collect();
            return Err(refuse(&message.join(" ")));
        }
        let layout = &library.layout.model;
        // SAFETY: the offsets are this version's; the machine is little-endian or the counts have four bytes.
        let count = |offset: usize| unsafe {
            match layout.size_of_counts {
                8 => *raw.byte_add(offset).cast::<i64>() as usize,
                _ => *raw.byte_add(offset).cast::<i32>() as usize,
            }
        };
        Ok(Model {
            library,
            raw,
            nq: count(layout.nq),
            nv: count(layout.nv),
            nu: count(layout.nu),
            nbody: count(layout.nbody),
            ngeom: count(layout.ngeom),
            nsite: count(layout.nsite),
            renderer: Mutex::new(Weak::new()),
        })
    }

    /// The result of `mj_version`.
    pub(crate) fn version(&self) -> i32 {
        self.library.layout.version
    }

    /// The duration of one of MuJoCo's steps, in seconds.
    pub(crate) fn timestep(&self) -> f64 {
        // SAFETY: the offset is this version's.
        unsafe { *self.raw.byte_add(self.library.layout.model.timestep).cast::<f64>() }
    }

    /// The model's extent as MuJoCo computes it, in meters.
    pub(crate) fn extent(&self) -> f64 {
        // SAFETY: as above.
        unsafe { *self.raw.byte_add(self.library.layout.model.extent).cast::<f64>() }
    }

    /// The lower and upper bound of each control.
    pub(crate) fn control_range(&self) -> &[[f64; 2]] {
        self.array(self.library.layout.model.actuator_ctrlrange, self.nu)
    }

    /// The mass of each body, in kg.
    pub(crate) fn body_mass(&self) -> &[f64] {
        self.array(self.library.layout.model.body_mass, self.nbody)
    }

    /// The index of a body.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn body(&self, name: &CStr) -> Result<usize, String> {
        self.named(1, "body", name)
    }

    /// The index of a camera.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn camera(&self, name: &CStr) -> Result<usize, String> {
        self.named(7, "camera", name)
    }

    /// The index of an object of a `kind` in `mjtObj`.
    fn named(&self, kind: i32, what: &str, name: &CStr) -> Result<usize, String> {
        // SAFETY: a model and a string.
        let id = guarded(|| unsafe { (self.library.name_to_id)(self.raw, kind, name.as_ptr()) })?;
        usize::try_from(id).map_err(|_| format!("the model has no {what} `{}`", name.to_string_lossy()))
    }

    /// Checks that the model has a site.
    ///
    /// # Errors
    /// It has none, so it is not the model that the environment needs.
    pub(crate) fn needs_a_site(&self) -> Result<(), String> {
        (self.nsite > 0).then_some(()).ok_or_else(|| "the model has no site".into())
    }

    /// `length` elements behind the pointer at `offset`.
    fn array<T>(&self, offset: usize, length: usize) -> &[T] {
        // SAFETY: the layout is this version's, and so is the length of the array.
        unsafe { from_raw_parts(*self.raw.byte_add(offset).cast::<*const T>(), length) }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: no simulation uses it any more.
        let _ = guarded(|| unsafe { (self.library.delete_model)(self.raw) });
    }
}

/// A geometric shape of a body, in world coordinates.
pub(crate) struct Shape {
    /// The kind of shape, an `mjtGeom`.
    pub(crate) kind: i32,
    /// The size in meters; its meaning depends on the kind.
    pub(crate) size: [f64; 3],
    pub(crate) rgba: [f32; 4],
    pub(crate) position: [f64; 3],
    /// The rotation matrix, `[3, 3]`, with the axes in its columns.
    pub(crate) axes: [f64; 9],
}

/// One simulation of a model.
pub struct Simulation {
    pub(crate) model: Arc<Model>,
    data: Raw,
}

// SAFETY: `mjData` does not belong to a thread.
unsafe impl Send for Simulation {}
// SAFETY: methods that take `&self` only read.
unsafe impl Sync for Simulation {}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: [$element:ty; $length:expr];)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(&self) -> &[$element] {
            let length: fn(&Model) -> usize = $length;
            self.array(self.model.library.layout.data.$name, length(&self.model))
        }
    )*};
}

impl Simulation {
    /// Makes a simulation in the model's initial state.
    ///
    /// # Errors
    /// MuJoCo's, or there is no memory.
    pub(crate) fn new(model: Arc<Model>) -> Result<Self, String> {
        let data = make_data(&model)?;
        Ok(Simulation { model, data })
    }

    fields! {
        /// Positions of the joints.
        qpos: [f64; |model| model.nq];
        /// Velocities of the joints.
        qvel: [f64; |model| model.nv];
        ctrl: [f64; |model| model.nu];
        /// Positions of the bodies' frames, at the last substep like everything derived from `qpos`.
        xpos: [[f64; 3]; |model| model.nbody];
        /// Positions of the bodies' centers of mass.
        xipos: [[f64; 3]; |model| model.nbody];
        site_xpos: [[f64; 3]; |model| model.nsite];
        cinert: [[f64; 10]; |model| model.nbody];
        cvel: [[f64; 6]; |model| model.nbody];
        qfrc_actuator: [f64; |model| model.nv];
        qfrc_constraint: [f64; |model| model.nv];
        /// Forces on the bodies from contacts.
        cfrc_ext: [[f64; 6]; |model| model.nbody];
    }

    /// The shapes of all bodies.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = Shape> {
        let (model, count) = (&self.model, self.model.ngeom);
        let (of_model, of_data) = (&model.library.layout.model, &model.library.layout.data);
        let kinds: &[i32] = model.array(of_model.geom_type, count);
        let sizes: &[[f64; 3]] = model.array(of_model.geom_size, count);
        let colors: &[[f32; 4]] = model.array(of_model.geom_rgba, count);
        let positions: &[[f64; 3]] = self.array(of_data.geom_xpos, count);
        let axes: &[[f64; 9]] = self.array(of_data.geom_xmat, count);
        (0..count).map(|i| Shape {
            kind: kinds[i],
            size: sizes[i],
            rgba: colors[i],
            position: positions[i],
            axes: axes[i],
        })
    }

    /// Resets to the model's initial state, with positions and velocities changed by `noise`, and recomputes everything
    /// derived from them.
    ///
    /// # Errors
    /// MuJoCo's.
    pub(crate) fn reset(&mut self, noise: impl FnOnce(&mut [f64], &mut [f64])) -> Result<(), String> {
        let (library, model) = (self.model.library, self.model.raw);
        // SAFETY: the data is the model's.
        self.attempt(|data| unsafe { (library.reset_data)(model, data) })?;
        let layout = &library.layout.data;
        // SAFETY: the layout is this version's; the two arrays are distinct, and nothing else refers to them.
        let (qpos, qvel) = unsafe {
            let array =
                |offset, length| from_raw_parts_mut(*self.data.byte_add(offset).cast::<*mut f64>(), length);
            (array(layout.qpos, self.model.nq), array(layout.qvel, self.model.nv))
        };
        noise(qpos, qvel);
        // SAFETY: the data is the model's.
        self.attempt(|data| unsafe { (library.forward)(model, data) })
    }

    /// Applies `action` for `frames` steps of MuJoCo.
    ///
    /// # Errors
    /// The simulation became unstable, or MuJoCo raised an error. The episode cannot continue; [`Simulation::reset`] is
    /// possible.
    pub(crate) fn step(&mut self, action: &[f32], frames: usize) -> Result<(), String> {
        let (library, model) = (self.model.library, self.model.raw);
        let layout = &library.layout.data;
        if action.len() != self.model.nu || !action.iter().all(|a| a.is_finite()) {
            return Err(format!("the action is not {} finite numbers", self.model.nu));
        }
        self.attempt(|data| {
            // SAFETY: the layout is this version's, and so is the length of the array; the data is the model's.
            unsafe {
                let ctrl = *data.byte_add(layout.ctrl).cast::<*mut f64>();
                for (i, value) in action.iter().enumerate() {
                    *ctrl.add(i) = f64::from(*value);
                }
                for _ in 0..frames {
                    (library.step)(model, data);
                }
                // Forces on bodies are computed on request only, unless the model has a force sensor.
                (library.rne_post_constraint)(model, data);
            }
        })?;
        const BAD: [&str; 4] = ["position", "velocity", "acceleration", "control"];
        // MuJoCo has already reset itself to the model's initial state, but it counts such resets.
        // SAFETY: the offsets are this version's.
        let counts = layout.bad.map(|offset| unsafe { *self.data.byte_add(offset).cast::<i32>() });
        match counts.iter().position(|count| *count != 0) {
            None => Ok(()),
            Some(what) => Err(format!("the simulation became unstable (a NaN or huge {})", BAD[what])),
        }
    }

    /// Calls MuJoCo. After one of its errors the data is made anew.
    pub(crate) fn attempt(&mut self, call: impl FnOnce(Raw)) -> Result<(), String> {
        guarded(|| call(self.data)).map_err(|error| {
            // The new data is made before the old is deleted, so that `self` always has data, even if there is no memory.
            if let Ok(data) = make_data(&self.model) {
                let broken = std::mem::replace(&mut self.data, data);
                // SAFETY: nothing refers to it any more.
                let _ = guarded(|| unsafe { (self.model.library.delete_data)(broken) });
            }
            format!("MuJoCo raised an error: {error}")
        })
    }

    /// Copies the current state of `other`, a simulation of the same model, with everything derived from it.
    ///
    /// # Errors
    /// MuJoCo's.
    pub(crate) fn copy(&mut self, other: &Simulation) -> Result<(), String> {
        assert!(Arc::ptr_eq(&self.model, &other.model), "simulations of two models");
        let (library, model) = (self.model.library, self.model.raw);
        // SAFETY: both data are the model's; the other one is only read.
        self.attempt(|data| unsafe {
            (library.copy_data)(data, model, other.data);
        })
    }

    /// The state from which [`Simulation::restore`] continues.
    pub(crate) fn state(&self) -> Result<Vec<f64>, String> {
        let library = self.model.library;
        // SAFETY: the data is the model's, and there is space for as many numbers as the library says.
        guarded(|| unsafe {
            let size = (library.state_size)(self.model.raw, library.layout.state);
            let mut state = vec![0.0; usize::try_from(size).unwrap_or(0)];
            (library.get_state)(self.model.raw, self.data, state.as_mut_ptr(), library.layout.state);
            state
        })
    }

    /// Restores a [`Simulation::state`], with everything derived from it.
    ///
    /// # Errors
    /// Its length is not that of this model's state; MuJoCo's errors.
    pub(crate) fn restore(&mut self, state: &[f64]) -> Result<(), String> {
        let (library, model) = (self.model.library, self.model.raw);
        // SAFETY: the model is valid.
        let size = guarded(|| unsafe { (library.state_size)(model, library.layout.state) })?;
        if usize::try_from(size) != Ok(state.len()) {
            return Err(format!("the snapshot has {} numbers, expected {size} for this model", state.len()));
        }
        self.attempt(|data| {
            // SAFETY: the data is the model's, and there are as many numbers as the library reads.
            unsafe {
                (library.reset_data)(model, data);
                (library.set_state)(model, data, state.as_ptr(), library.layout.state);
                (library.forward)(model, data);
                // Set again, because `forward` may change the solver's warm start.
                (library.set_state)(model, data, state.as_ptr(), library.layout.state);
            }
        })
    }

    fn array<T>(&self, offset: usize, length: usize) -> &[T] {
        // SAFETY: the layout is this version's, and so is the length of the array.
        unsafe { from_raw_parts(*self.data.byte_add(offset).cast::<*const T>(), length) }
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // SAFETY: nothing else refers to it.
        let _ = guarded(|| unsafe { (self.model.library.delete_data)(self.data) });
    }
}

fn make_data(model: &Model) -> Result<Raw, String> {
    // SAFETY: the model is valid.
    let data = guarded(|| unsafe { (model.library.make_data)(model.raw) })
        .map_err(|error| format!("MuJoCo cannot start a simulation: {error}"))?;
    if data.is_null() { Err("MuJoCo cannot start a simulation: there is no memory".into()) } else { Ok(data) }
}
