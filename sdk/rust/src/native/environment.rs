//! Implements the environment role of the C contract for any [`Environment`].
use std::ffi::{CString, c_void};
use std::slice::{from_raw_parts, from_raw_parts_mut};

use potstill_plugin_api::abi::{
    EnvironmentFunctions, Grows, RawFrame, RawSpec, RawTransition, RenderKind, RoleKind, Setting, SpaceData,
    array, c_text,
};
use potstill_plugin_api::{Frame, Space};

use super::entry::{Described, destroy, guarded, hand_out, handle, options};
use crate::vectorised::Vectorised;
use crate::{Actions, Environment, RenderMode, Transition, Variant};

/// N copies behind one handle, with the data that the results point to.
struct Copies<E: Environment> {
    copies: Vectorised<E>,
    observation: SpaceData,
    action: SpaceData,
    out: Transition<Vec<E::Scalar>>,
    frame: Option<Frame>,
    text: CString,
    snapshot: Vec<u8>,
}

impl<E: Environment> Copies<E> {
    fn new(copies: Vectorised<E>) -> Self {
        Copies {
            observation: SpaceData::new(&copies.spec().observation),
            action: SpaceData::new(&copies.spec().action),
            copies,
            out: Transition::default(),
            frame: None,
            text: CString::default(),
            snapshot: vec![],
        }
    }
}

/// The description of the plugin that provides `V`. Nothing but `make` is compiled for each variant.
#[doc(hidden)]
pub fn environment<V: Variant>() -> Described {
    let functions: &'static EnvironmentFunctions = const {
        &EnvironmentFunctions {
            struct_size: EnvironmentFunctions::SIZE,
            reserved: 0,
            make: Some(make::<V>),
            destroy: Some(destroy::<Copies<V::Environment>>),
            spec: Some(spec::<V::Environment>),
            reset: Some(reset::<V::Environment>),
            step: Some(step::<V::Environment>),
            render: Some(render::<V::Environment>),
            snapshot: Some(snapshot::<V::Environment>),
            restore: Some(restore::<V::Environment>),
        }
    };
    let [id, summary] = V::names();
    Described::new(
        RoleKind::Environment,
        [id, V::Environment::VERSION, summary],
        &V::schemas(),
        (functions as *const EnvironmentFunctions).cast(),
    )
}

unsafe extern "C" fn make<V: Variant>(
    num_envs: u32,
    settings: *const Setting,
    count: u32,
    place: *mut *mut c_void,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees `count` valid settings.
        let options = unsafe { options(settings, count)? };
        let copies = Copies::new(Vectorised::of::<V>(num_envs as usize, &options)?);
        // SAFETY: the contract guarantees that the handle can be written to `place`.
        unsafe { hand_out(copies, place) };
        Ok(())
    })
}

unsafe extern "C" fn spec<E: Environment>(copies: *mut c_void, out: *mut RawSpec) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle from `make` that no other call uses.
        let copies = unsafe { handle::<Copies<E>>(copies) };
        let spec = copies.copies.spec();
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

unsafe extern "C" fn reset<E: Environment>(
    copies: *mut c_void,
    seeds: *const u64,
    observations: *mut c_void,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle that no other call uses, and one seed per copy.
        let (copies, seeds) = unsafe {
            let copies = handle::<Copies<E>>(copies);
            let seeds = from_raw_parts(seeds, copies.copies.len());
            (copies, seeds)
        };
        copies.copies.reset(seeds, &mut copies.out.observations)?;
        // SAFETY: the contract guarantees room for the observations of all copies.
        unsafe { write(&copies.out.observations, observations.cast()) };
        Ok(())
    })
}

/// Copies `values` to `place`.
///
/// # Safety
/// `place` must have room for all `values`.
unsafe fn write<T: Copy>(values: &[T], place: *mut T) {
    if !values.is_empty() {
        // SAFETY: the caller guarantees room for all values.
        unsafe { from_raw_parts_mut(place, values.len()) }.copy_from_slice(values);
    }
}

unsafe extern "C" fn step<E: Environment>(
    copies: *mut c_void,
    actions: *const c_void,
    out: *mut RawTransition,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle from `make` that no other call uses.
        let copies = unsafe { handle::<Copies<E>>(copies) };
        let count = copies.copies.len() * copies.copies.components();
        let actions = match &copies.copies.spec().action {
            Space::Box { .. } | Space::Image { .. } => {
                // SAFETY: the contract guarantees `count` 32-bit floats for a `Box` of actions.
                Actions::Continuous(unsafe { from_raw_parts(actions.cast(), count) })
            }
            // SAFETY: the contract guarantees `count` 32-bit unsigned integers for discrete actions.
            _ => Actions::Discrete(unsafe { from_raw_parts(actions.cast(), count) }),
        };
        copies.copies.step(actions, &mut copies.out)?;
        let own = &copies.out;
        // SAFETY: the contract guarantees as many bytes as `struct_size` says.
        let out = unsafe { RawTransition::read(out) };
        let out =
            out.map_err(|size| format!("the host's transition has only {size} bytes: upgrade Potstill"))?;
        // SAFETY: the contract guarantees arrays with room for the rows of N copies.
        unsafe {
            write(&own.observations, out.observations.cast());
            write(&own.rewards, out.rewards);
            write(&own.terminated, out.terminated);
            write(&own.truncated, out.truncated);
            write(&own.final_observations, out.final_observations.cast());
            if !out.faults.is_null() {
                write(&own.faults, out.faults);
            }
            if !out.lives_lost.is_null() {
                write(&own.lives_lost, out.lives_lost);
            }
        }
        Ok(())
    })
}

unsafe extern "C" fn render<E: Environment>(
    copies: *mut c_void,
    index: u32,
    mode: u32,
    out: *mut RawFrame,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle from `make` that no other call uses.
        let copies = unsafe { handle::<Copies<E>>(copies) };
        let mode = match RenderKind::from_number(mode) {
            Some(RenderKind::Rgb) => RenderMode::Rgb,
            Some(RenderKind::Lines) => RenderMode::Text,
            None => return Err(format!("there is no render mode {mode}")),
        };
        let frame = copies.copies.render(index as usize, mode)?;
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

unsafe extern "C" fn snapshot<E: Environment>(
    copies: *mut c_void,
    bytes: *mut *const u8,
    length: *mut usize,
) -> i32 {
    guarded(|| {
        // SAFETY: the contract guarantees a live handle that no other call uses, and two pointers that can be written.
        unsafe {
            let copies = handle::<Copies<E>>(copies);
            let state = copies.copies.snapshot();
            let none = state.is_none();
            copies.snapshot = state.unwrap_or_default();
            *bytes = if none { std::ptr::null() } else { copies.snapshot.as_ptr() };
            *length = copies.snapshot.len();
        }
        Ok(())
    })
}

unsafe extern "C" fn restore<E: Environment>(copies: *mut c_void, bytes: *const u8, length: usize) -> i32 {
    guarded(|| {
        let length = u32::try_from(length).map_err(|_| "the snapshot is larger than 4 GiB")?;
        // SAFETY: the contract guarantees a live handle that no other call uses, and `length` bytes.
        unsafe { handle::<Copies<E>>(copies).copies.restore(array(bytes, length)?) }
    })
}
