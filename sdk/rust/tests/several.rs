//! Checks the library that `export_environments!` makes from the side of a host: the current one, and an older one that
//! does not know `next`, `faults` and `setup`.
use std::ffi::{CStr, c_char, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::Mutex;

use potstill_sdk::abi::{EnvironmentFunctions, Grows, Host, NO_LIVES, Plugin, RawTransition};
use potstill_sdk::{Action, Environment, Options, Rng, Space, Spec, Step, export_environments, host};

/// An environment whose simulation fails in its second step if `V` is 2. If it is 1, the second step costs a life.
struct Walk<const V: u32>(u32);

impl<const V: u32> Environment for Walk<V> {
    const ID: &'static str = if V == 1 { "test/walk-v1" } else { "test/walk-v2" };
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Walks.";
    type Scalar = f32;

    fn new(_: &Options) -> Result<Self, String> {
        Ok(Walk(0))
    }

    fn spec(&self) -> Spec {
        Spec {
            observation: Space::unbounded([1]),
            action: Space::Discrete { n: 2 },
            max_episode_steps: Some(3),
            reward_threshold: None,
            max_return: None,
        }
    }

    fn reset(&mut self, _: &mut Rng, observation: &mut [f32]) {
        self.0 = 0;
        observation[0] = 0.0;
    }

    fn step(&mut self, _: Action<'_>, _: &mut Rng, observation: &mut [f32]) -> Step {
        self.0 += 1;
        observation[0] = self.0 as f32;
        Step { reward: 1.0, terminated: false, truncated: V == 2 && self.0 == 2 }
    }

    fn fault(&mut self) -> Option<String> {
        Some("it fell over".into())
    }

    fn life_lost(&mut self) -> Option<bool> {
        (V == 1).then_some(self.0 >= 2)
    }
}

export_environments!(Walk<2>, Walk<1>);

unsafe extern "C" {
    fn potstill_plugin(host: *const Host) -> *const Plugin;
}

static LOG: Mutex<Vec<(u32, String)>> = Mutex::new(vec![]);

unsafe extern "C" fn log(level: u32, text: *const c_char) {
    // SAFETY: the contract guarantees a NUL-terminated text.
    let text = unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned();
    LOG.lock().unwrap().push((level, text));
}

/// Steps two copies four times with `functions` and a transition of `size` bytes. Returns `truncated` and `faults` of
/// each step.
fn flags(functions: &EnvironmentFunctions, size: u32) -> Vec<([u8; 2], [u8; 2])> {
    all_flags(functions, size).into_iter().map(|[truncated, faults, _]| (truncated, faults)).collect()
}

/// As [`flags`], with `lives_lost`.
fn all_flags(functions: &EnvironmentFunctions, size: u32) -> Vec<[[u8; 2]; 3]> {
    let mut copies: *mut c_void = ptr::null_mut();
    let (mut observations, mut finals, mut rewards) = ([0.0f32; 2], [0.0f32; 2], [0.0f32; 2]);
    let (mut terminated, mut truncated, mut faults, mut lives) = ([9u8; 2], [9u8; 2], [9u8; 2], [9u8; 2]);
    // SAFETY: the calls keep the contract: every array has room for two copies, with observations of one number.
    unsafe {
        assert_eq!(functions.make.unwrap()(2, ptr::null(), 0, &mut copies), 0);
        assert_eq!(functions.reset.unwrap()(copies, [1, 2].as_ptr(), observations.as_mut_ptr().cast()), 0);
        let seen = (0..4)
            .map(|_| {
                let mut out = RawTransition {
                    struct_size: size,
                    reserved: 0,
                    observations: observations.as_mut_ptr().cast(),
                    rewards: rewards.as_mut_ptr(),
                    terminated: terminated.as_mut_ptr(),
                    truncated: truncated.as_mut_ptr(),
                    final_observations: finals.as_mut_ptr().cast(),
                    faults: faults.as_mut_ptr(),
                    lives_lost: lives.as_mut_ptr(),
                };
                assert_eq!(functions.step.unwrap()(copies, [0u32, 1].as_ptr().cast(), &mut out), 0);
                [truncated, faults, lives]
            })
            .collect();
        functions.destroy.unwrap()(copies);
        seen
    }
}

#[test]
fn a_host_reads_every_plugin_of_the_library_and_their_faults() {
    assert_eq!(host::setup_folder(), None);
    host::log(host::Level::Warn, "dropped, because there is no host yet");
    let today: &'static Host = Box::leak(Box::new(Host {
        struct_size: Host::SIZE,
        log: Some(log),
        setup: c"/data/setup".as_ptr(),
        ..Host::zeroed()
    }));
    // SAFETY: the host is leaked, and the library's plugins are static.
    let all: Vec<Plugin> = unsafe {
        let first = Plugin::read(potstill_plugin(today)).unwrap();
        let second = Plugin::read(first.next).unwrap();
        assert!(second.next.is_null());
        vec![first, second]
    };
    // SAFETY: the ids and function tables are static data of the library.
    let functions = all.iter().zip([c"test/walk-v2", c"test/walk-v1"]).map(|(plugin, id)| unsafe {
        assert_eq!(CStr::from_ptr(plugin.id), id);
        EnvironmentFunctions::read(plugin.functions.cast()).unwrap()
    });
    let functions: Vec<EnvironmentFunctions> = functions.collect();
    assert_eq!(host::setup_folder(), Some(PathBuf::from("/data/setup")));

    let (none, both) = ([0; 2], [1; 2]);
    let faulty = [(none, none), (both, both), (none, none), (both, both)];
    assert_eq!(flags(&functions[0], RawTransition::SIZE), faulty);
    // The time limit truncates an episode too, but it is not a fault.
    let limited = [(none, none), (none, none), (both, none), (none, none)];
    assert_eq!(flags(&functions[1], RawTransition::SIZE), limited);
    // The step that ends an episode costs no life, and who has none says so.
    let lives = |functions| -> Vec<[u8; 2]> {
        all_flags(functions, RawTransition::SIZE).into_iter().map(|[_, _, lives]| lives).collect()
    };
    assert_eq!(lives(&functions[1]), [none, both, none, none]);
    assert_eq!(lives(&functions[0]), [[NO_LIVES; 2]; 4]);
    // The same message is logged only once.
    let log = || std::mem::take(&mut *LOG.lock().unwrap());
    let told = "`test/walk-v2`: an episode was ended early, because its simulation failed: it fell over";
    assert_eq!(log(), [(2, told.to_owned())]);

    // The transition of an older host ends before `faults`, so the plugin must not write beyond it.
    let untouched: Vec<_> = faulty.iter().map(|(cut, _)| (*cut, [9; 2])).collect();
    assert_eq!(flags(&functions[0], RawTransition::FIRST), untouched);
    assert!(all_flags(&functions[1], RawTransition::FIRST).iter().all(|[_, _, lives]| *lives == [9; 2]));
    let older: &'static Host = Box::leak(Box::new(Host { struct_size: Host::FIRST, ..*today }));
    // SAFETY: this host is leaked, too.
    unsafe { potstill_plugin(older) };
    assert_eq!(host::setup_folder(), None);
    host::log(host::Level::Info, "hello");
    assert_eq!(log(), [(1, "hello".to_owned())]);
}
