//! Implements the environment role of the C contract for any [`Batch`], and so for the copies of any [`Environment`].
use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::slice::{from_raw_parts, from_raw_parts_mut};

use potstill_plugin_api::abi::{
    EnvironmentFunctions, Grows, RawFrame, RawSpec, RawTransition, RenderKind, RoleKind, Setting, SpaceData,
    array, c_text,
};
use potstill_plugin_api::{Frame, OptionSchema, Space};

use super::entry::{Described, destroy, guarded, hand_out, handle, options};
use crate::environment::Scalar;
use crate::vectorised::Vectorised;
use crate::{
    Actions, Batch, BatchVariant, Environment, Options, Outcomes, RenderMode, Rows, Spec, Transition, Variant,
};

/// N copies behind one handle, with the data that the results point to.
struct Copies<B> {
    batch: B,
    len: usize,
    spec: Spec,
    observation: SpaceData,
    action: SpaceData,
    frame: Option<Frame>,
    text: CString,
    snapshot: Vec<u8>,
}

impl<B: Batch> Copies<B> {
    fn new(batch: B, len: usize) -> Result<Self, String> {
        let spec = batch.spec();
        for space in [&spec.observation, &spec.action] {
            space.validate().map_err(|e| e.to_string())?;
        }
        Ok(Copies {
            batch,
            len,
            observation: SpaceData::new(&spec.observation),
            action: SpaceData::new(&spec.action),
            spec,
            frame: None,
            text: CString::default(),
            snapshot: vec![],
        })
    }

    /// The host's array of N observations.
    ///
    /// # Safety
    /// `place` has room for N observations, which nobody else uses.
    unsafe fn rows<'a>(&self, place: *mut c_void) -> Rows<'a> {
        let count = self.len * self.spec.observation.size();
        // SAFETY: the caller guarantees the room; the type follows from the space.
        unsafe {
            match self.spec.observation {
                Space::Image { .. } => Rows::Byte(from_raw_parts_mut(place.cast(), count)),
                _ => Rows::Float(from_raw_parts_mut(place.cast(), count)),
            }
        }
    }
}

/// The copies that the SDK makes of one [`Environment`], with the buffers that they fill.
pub(crate) struct Each<E: Environment> {
    copies: Vectorised<E>,
    out: Transition<Vec<E::Scalar>>,
}

/// A [`Variant`] of an environment, of which the SDK makes the copies.
struct Multiplied<V>(PhantomData<V>);

impl<V: Variant> BatchVariant for Multiplied<V> {
    type Batch = Each<V::Environment>;
    const VERSION: &'static str = V::Environment::VERSION;

    fn names() -> [&'static str; 2] {
        V::names()
    }

    fn schemas() -> Vec<OptionSchema> {
        V::schemas()
    }

    fn make(num_envs: usize, options: &Options) -> Result<Self::Batch, String> {
        Ok(Each { copies: Vectorised::of::<V>(num_envs, options)?, out: Transition::default() })
    }
}

impl<E: Environment> Batch for Each<E> {
    fn spec(&self) -> Spec {
        let spec = self.copies.spec();
        Spec {
            observation: spec.observation.clone(),
            action: spec.action.clone(),
            max_episode_steps: spec.max_episode_steps,
            reward_threshold: spec.reward_threshold,
            max_return: spec.max_return,
        }
    }

    fn reset(&mut self, seeds: &[u64], observations: Rows<'_>) -> Result<(), String> {
        self.copies.reset(seeds, &mut self.out.observations)?;
        copy(&self.out.observations, observations)
    }

    fn step(&mut self, actions: Actions<'_>, out: Outcomes<'_>) -> Result<(), String> {
        self.copies.step(actions, &mut self.out)?;
        let own = &self.out;
        copy(&own.observations, out.observations)?;
        copy(&own.final_observations, out.final_observations)?;
        out.rewards.copy_from_slice(&own.rewards);
        out.terminated.copy_from_slice(&own.terminated);
        out.truncated.copy_from_slice(&own.truncated);
        if let Some(faults) = out.faults {
            faults.copy_from_slice(&own.faults);
        }
        if let Some(lives_lost) = out.lives_lost {
            lives_lost.copy_from_slice(&own.lives_lost);
        }
        Ok(())
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame, String> {
        self.copies.render(index, mode)
    }

    fn snapshot(&mut self) -> Option<Vec<u8>> {
        self.copies.snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.copies.restore(state)
    }
}

/// Copies `values` to the first of `rows`.
fn copy<S: Scalar>(values: &[S], rows: Rows<'_>) -> Result<(), String> {
    let rows = S::room(rows).ok_or("the observation space is of another type than the observations")?;
    rows[..values.len()].copy_from_slice(values);
    Ok(())
}

/// The description of the plugin that provides `V`. Nothing but `make` is compiled for each variant.
#[doc(hidden)]
pub fn environment<V: Variant>() -> Described {
    batch::<Multiplied<V>>()
}

/// The description of the plugin that provides `V`. Nothing but `make` is compiled for each variant.
#[doc(hidden)]
pub fn batch<V: BatchVariant>() -> Described {
    let functions: &'static EnvironmentFunctions = const {
        &EnvironmentFunctions {
            struct_size: EnvironmentFunctions::SIZE,
            reserved: 0,
            make: Some(make::<V>),
            destroy: Some(destroy::<Copies<V::Batch>>),
            spec: Some(spec::<V::Batch>),
            reset: Some(reset::<V::Batch>),
            step: Some(step::<V::Batch>),
            render: Some(render::<V::Batch>),
            snapshot: Some(snapshot::<V::Batch>),
            restore: Some(restore::<V::Batch>),
        }
    };
    let [id, summary] = V::names();
    Described::new(
        RoleKind::Environment,
        [id, V::VERSION, summary],
        &V::schemas(),
        (functions as *const EnvironmentFunctions).cast(),
    )
}

unsafe extern "C" fn make<V: BatchVariant>(
    num_envs: u32,
    settings: *const Setting,
    count: u32,
    place: *mut *mut c_void,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees `count` valid settings.
        let options = unsafe { options(settings, count)? };
        if num_envs == 0 {
            return Err("at least one environment is needed".into());
        }
        let copies = Copies::new(V::make(num_envs as usize, &options)?, num_envs as usize)?;
        // SAFETY: the contract guarantees that the handle can be written to `place`.
        unsafe { hand_out(copies, place) };
        Ok(())
    })
}

unsafe extern "C" fn spec<B: Batch>(copies: *mut c_void, out: *mut RawSpec) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle from `make` that no other call uses.
        let copies = unsafe { handle::<Copies<B>>(copies) };
        let spec = &copies.spec;
        let raw = RawSpec {
            struct_size: RawSpec::SIZE,
            max_episode_steps: spec.max_episode_steps.unwrap_or(0),
            observation: copies.observation.raw(),
            action: copies.action.raw(),
            reward_threshold: spec.reward_threshold.unwrap_or(f32::NAN),
            max_return: spec.max_return.unwrap_or(f32::NAN),
        };
        // SAFETY: the contract guarantees that the result can be written to `out`.
        unsafe { *out = raw };
        Ok(())
    })
}

unsafe extern "C" fn reset<B: Batch>(
    copies: *mut c_void,
    seeds: *const u64,
    observations: *mut c_void,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle that no other call uses, one seed per copy, and room for the
        // observations of all copies.
        let (copies, seeds, observations) = unsafe {
            let copies = handle::<Copies<B>>(copies);
            let seeds = from_raw_parts(seeds, copies.len);
            let observations = copies.rows(observations);
            (copies, seeds, observations)
        };
        copies.batch.reset(seeds, observations)
    })
}

unsafe extern "C" fn step<B: Batch>(
    copies: *mut c_void,
    actions: *const c_void,
    out: *mut RawTransition,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle from `make` that no other call uses.
        let copies = unsafe { handle::<Copies<B>>(copies) };
        let len = copies.len;
        let count = len * copies.spec.action.size();
        let actions = match &copies.spec.action {
            Space::Box { .. } | Space::Image { .. } => {
                // SAFETY: the contract guarantees `count` 32-bit floats for a `Box` of actions.
                Actions::Continuous(unsafe { from_raw_parts(actions.cast(), count) })
            }
            // SAFETY: the contract guarantees `count` 32-bit unsigned integers for discrete actions.
            _ => Actions::Discrete(unsafe { from_raw_parts(actions.cast(), count) }),
        };
        // SAFETY: the contract guarantees as many bytes as `struct_size` says.
        let out = unsafe { RawTransition::read(out) };
        let out =
            out.map_err(|size| format!("the host's transition has only {size} bytes: upgrade Potstill"))?;
        // SAFETY: the contract guarantees arrays with room for the rows of N copies, or NULL for the last two.
        let out = unsafe {
            let optional = |of: *mut u8| (!of.is_null()).then(|| from_raw_parts_mut(of, len));
            Outcomes {
                observations: copies.rows(out.observations),
                rewards: from_raw_parts_mut(out.rewards, len),
                terminated: from_raw_parts_mut(out.terminated, len),
                truncated: from_raw_parts_mut(out.truncated, len),
                final_observations: copies.rows(out.final_observations),
                faults: optional(out.faults),
                lives_lost: optional(out.lives_lost),
            }
        };
        copies.batch.step(actions, out)
    })
}

unsafe extern "C" fn render<B: Batch>(copies: *mut c_void, index: u32, mode: u32, out: *mut RawFrame) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle from `make` that no other call uses.
        let copies = unsafe { handle::<Copies<B>>(copies) };
        let mode = match RenderKind::from_number(mode) {
            Some(RenderKind::Rgb) => RenderMode::Rgb,
            Some(RenderKind::Lines) => RenderMode::Text,
            None => return Err(format!("there is no render mode {mode}")),
        };
        if index as usize >= copies.len {
            return Err(format!("there is no environment {index}"));
        }
        let frame = copies.batch.render(index as usize, mode)?;
        let mut raw = RawFrame { struct_size: RawFrame::SIZE, ..RawFrame::zeroed() };
        match copies.frame.insert(frame) {
            Frame::Rgb { width, height, pixels } => {
                (raw.width, raw.height, raw.pixels) = (*width, *height, pixels.as_ptr());
            }
            Frame::Text(text) => {
                copies.text = c_text(text);
                raw.text = copies.text.as_ptr();
            }
        }
        // SAFETY: the contract guarantees that the result can be written to `out`.
        unsafe { *out = raw };
        Ok(())
    })
}

unsafe extern "C" fn snapshot<B: Batch>(
    copies: *mut c_void,
    bytes: *mut *const u8,
    length: *mut usize,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle that no other call uses, and two pointers that can be written.
        unsafe {
            let copies = handle::<Copies<B>>(copies);
            let state = copies.batch.snapshot();
            let none = state.is_none();
            copies.snapshot = state.unwrap_or_default();
            *bytes = if none { std::ptr::null() } else { copies.snapshot.as_ptr() };
            *length = copies.snapshot.len();
        }
        Ok(())
    })
}

unsafe extern "C" fn restore<B: Batch>(copies: *mut c_void, bytes: *const u8, length: usize) -> i32 {
    guarded(|| {
        let length = u32::try_from(length).map_err(|_| "the snapshot is larger than 4 GiB")?;
        // SAFETY: the contract guarantees a live handle that no other call uses, and `length` bytes.
        unsafe { handle::<Copies<B>>(copies).batch.restore(array(bytes, length)?) }
    })
}
