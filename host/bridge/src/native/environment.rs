//! Environments of native plugins.
use std::ffi::c_void;
use std::ptr;

use potstill_plugin_api::abi::{
    EnvironmentFunctions, NO_LIVES, RawFrame, RawSpec, RawTransition, RenderKind, SettingsData, text,
};
use potstill_plugin_api::{Autoreset, EnvironmentSpec, Frame, OptionValue, Space};

use super::plugin::{Handle, NativePlugin, absent};
use crate::check::{FailedCall, Failure, RawEnvironments, UncheckedTransition};
use potstill_engine::environment::{Actions, Observations, RenderMode};

fn functions(plugin: &NativePlugin) -> Option<EnvironmentFunctions> {
    plugin.functions()
}

/// The error for an incomplete table of functions, or `None`.
pub(super) fn missing(plugin: &NativePlugin) -> Option<String> {
    let Some(f) = functions(plugin) else { return Some("its table of functions is too short".into()) };
    let slots = [
        ("make", f.make.is_none()),
        ("destroy", f.destroy.is_none()),
        ("spec", f.spec.is_none()),
        ("reset", f.reset.is_none()),
        ("step", f.step.is_none()),
    ];
    if f.snapshot.is_some() != f.restore.is_some() {
        return Some("it has one of `snapshot` and `restore`, expected both or neither".into());
    }
    slots.iter().find(|(_, missing)| *missing).map(|(name, _)| format!("it has no function `{name}`"))
}

/// N environments of a native plugin.
pub struct NativeEnvironments {
    plugin: NativePlugin,
    functions: EnvironmentFunctions,
    handle: Handle,
    len: usize,
    /// The number of scalars in an observation, and whether they are bytes.
    size: usize,
    bytes: bool,
}

impl NativeEnvironments {
    /// Makes `len` environments.
    ///
    /// # Errors
    /// The plugin refused or failed, or its specification cannot be read.
    pub fn make(
        plugin: NativePlugin,
        len: usize,
        settings: &[(String, OptionValue)],
    ) -> Result<(Self, EnvironmentSpec), FailedCall> {
        let Some(
            functions @ EnvironmentFunctions {
                make: Some(make),
                destroy: Some(destroy),
                spec: Some(spec),
                ..
            },
        ) = functions(&plugin)
        else {
            return Err(absent().at("make"));
        };
        let given = SettingsData::new(settings.iter().map(|(n, v)| (&**n, v)));
        let (mut pointer, raw) = (ptr::null_mut(), given.raw());
        // SAFETY: the settings live through the call; `pointer` is valid for the handle.
        let code = unsafe { make(len as u32, raw.as_ptr(), raw.len() as u32, &mut pointer) };
        let made = plugin.checked(code).and_then(|()| Handle::new(pointer, destroy));
        let handle = made.map_err(|failure| failure.at("make"))?;
        let mut raw = RawSpec { struct_size: RawSpec::SIZE, ..RawSpec::zeroed() };
        (raw.reward_threshold, raw.max_return) = (f32::NAN, f32::NAN);
        // SAFETY: the handle is this plugin's; `raw` is valid for writes.
        let code = unsafe { spec(handle.pointer, &mut raw) };
        plugin.checked(code).map_err(|failure| failure.at("spec"))?;
        // SAFETY: by the contract, the pointers live as long as the handle. Their contents are copied here.
        let spaces = unsafe { raw.observation.read().and_then(|o| Ok((o, raw.action.read()?))) };
        let (observation, action) = spaces.map_err(|cause| Failure::Broken(cause).at("spec"))?;
        let spec = EnvironmentSpec {
            id: plugin.id.clone(),
            summary: plugin.summary.clone(),
            max_episode_steps: (raw.max_episode_steps > 0).then_some(raw.max_episode_steps),
            reward_threshold: Some(raw.reward_threshold).filter(|v| !v.is_nan()),
            max_return: Some(raw.max_return).filter(|v| !v.is_nan()),
            autoreset: Autoreset::SameStep,
            observation,
            action,
        };
        // The size of an invalid space could overflow. `check` refuses such a space next.
        let size = spec.observation.validate().map_or(0, |()| spec.observation.size());
        let bytes = matches!(spec.observation, Space::Image { .. });
        Ok((NativeEnvironments { plugin, functions, handle, len, size, bytes }, spec))
    }

    /// Starts an episode in every copy.
    ///
    /// # Safety
    /// `seeds` has one seed for each copy; `observations` has space for an observation of each.
    pub unsafe fn reset_into(&mut self, seeds: *const u64, observations: *mut c_void) -> Result<(), Failure> {
        let reset = self.functions.reset.ok_or_else(absent)?;
        // SAFETY: the handle is this plugin's; the caller promises the rest.
        self.plugin.checked(unsafe { reset(self.handle.pointer, seeds, observations) })
    }

    /// Takes one step in every copy.
    ///
    /// # Safety
    /// `actions` has the actions of all copies, of the right kind; the arrays of `out` have space for every copy.
    pub unsafe fn step_into(
        &mut self,
        actions: *const c_void,
        out: &mut RawTransition,
    ) -> Result<(), Failure> {
        let step = self.functions.step.ok_or_else(absent)?;
        // SAFETY: the handle is this plugin's; the caller promises the rest.
        self.plugin.checked(unsafe { step(self.handle.pointer, actions, out) })
    }

    /// Resizes `observations` to `rows` observations and returns the buffer. Observations of the wrong kind are
    /// replaced.
    fn room(&self, observations: &mut Observations, rows: usize) -> *mut c_void {
        match observations {
            Observations::Float(values) if !self.bytes => {
                values.resize(rows * self.size, 0.0);
                values.as_mut_ptr().cast()
            }
            Observations::Byte(values) if self.bytes => {
                values.resize(rows * self.size, 0);
                values.as_mut_ptr().cast()
            }
            other => {
                *other = if self.bytes { Observations::Byte(vec![]) } else { Observations::Float(vec![]) };
                self.room(other, rows)
            }
        }
    }
}

impl RawEnvironments for NativeEnvironments {
    fn reset(&mut self, seeds: &[u64]) -> Result<Observations, Failure> {
        let mut observations = Observations::Float(vec![]);
        let place = self.room(&mut observations, self.len);
        // SAFETY: `check` has counted the seeds; there is space for all observations.
        unsafe { self.reset_into(seeds.as_ptr(), place)? };
        Ok(observations)
    }

    fn step(&mut self, actions: &Actions, out: &mut UncheckedTransition) -> Result<(), Failure> {
        let actions = match actions {
            Actions::Discrete(values) => values.as_ptr().cast(),
            Actions::Continuous(values) => values.as_ptr().cast(),
        };
        out.rewards.resize(self.len, 0.0);
        out.terminated.resize(self.len, 0);
        out.truncated.resize(self.len, 0);
        // Plugins older than these fields leave them unchanged.
        out.faults.clear();
        out.faults.resize(self.len, 0);
        out.lives_lost.clear();
        out.lives_lost.resize(self.len, NO_LIVES);
        let mut raw = RawTransition {
            struct_size: RawTransition::SIZE,
            reserved: 0,
            observations: self.room(&mut out.observations, self.len),
            rewards: out.rewards.as_mut_ptr(),
            terminated: out.terminated.as_mut_ptr(),
            truncated: out.truncated.as_mut_ptr(),
            final_observations: self.room(&mut out.final_observations, self.len),
            faults: out.faults.as_mut_ptr(),
            lives_lost: out.lives_lost.as_mut_ptr(),
        };
        // SAFETY: `check` has counted the actions; the arrays have space for every copy.
        unsafe { self.step_into(actions, &mut raw)? };
        let ended = out.terminated.iter().zip(&out.truncated).filter(|&(&a, &b)| a != 0 || b != 0).count();
        self.room(&mut out.final_observations, ended);
        Ok(())
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame, Failure> {
        let Some(render) = self.functions.render else {
            return Err(Failure::Refused("this environment does not draw".into()));
        };
        let kind = match mode {
            RenderMode::Rgb => RenderKind::Rgb,
            RenderMode::Text => RenderKind::Lines,
        };
        let mut raw = RawFrame { struct_size: RawFrame::SIZE, ..RawFrame::zeroed() };
        // SAFETY: the handle is this plugin's, the index was checked, and `raw` is valid for writes.
        self.plugin.checked(unsafe { render(self.handle.pointer, index as u32, kind as u32, &mut raw) })?;
        match mode {
            RenderMode::Text => {
                // SAFETY: by the contract it is a string. It is copied at once.
                let text = unsafe { text(raw.text) }.map_err(Failure::Broken)?;
                Ok(Frame::Text(text.ok_or(Failure::Broken("it drew no text".into()))?.to_owned()))
            }
            RenderMode::Rgb => {
                let bytes = u64::from(raw.width) * u64::from(raw.height) * 3;
                if raw.pixels.is_null() || bytes > 1 << 30 {
                    return Err(Failure::Broken(format!("it drew {} × {} pixels", raw.width, raw.height)));
                }
                // SAFETY: by the contract there are as many bytes as the sizes say. They are copied at once.
                let pixels = unsafe { std::slice::from_raw_parts(raw.pixels, bytes as usize) }.to_vec();
                Ok(Frame::Rgb { width: raw.width, height: raw.height, pixels })
            }
        }
    }

    fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(snapshot) = self.functions.snapshot else { return Ok(None) };
        let (mut bytes, mut length) = (ptr::null(), 0);
        // SAFETY: the handle is this plugin's; `bytes` and `length` are valid for writes.
        self.plugin.checked(unsafe { snapshot(self.handle.pointer, &mut bytes, &mut length) })?;
        // SAFETY: by the contract there are `length` bytes. They are copied at once.
        Ok((!bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts(bytes, length) }.to_vec()))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        let Some(restore) = self.functions.restore else {
            return Err(Failure::Refused("this environment has no snapshots".into()));
        };
        // SAFETY: the handle is this plugin's; `state` has as many bytes as its length says.
        self.plugin.checked(unsafe { restore(self.handle.pointer, state.as_ptr(), state.len()) })
    }
}
