//! Runs the hostile suites of all roles within 2 GiB: whatever a guest does, the host does not need more.
use std::sync::Once;

use potstill::engine::programs::act;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{dimensions, student};
use crate::registry;

/// The memory that this process may have, in bytes.
const LIMIT: u64 = 2 << 30;

/// Limits the memory of this process from now on. The limit counts what is written to, and not the addresses that an
/// instance reserves. An allocation beyond it ends the process.
pub(super) fn limit() {
    static LIMITED: Once = Once::new();
    LIMITED.call_once(|| {
        let Rlimit { maximum, .. } = getrlimit(Resource::Data);
        setrlimit(Resource::Data, Rlimit { current: Some(LIMIT), maximum }).expect("a limit of memory");
    });
}

#[test]
fn the_limit_holds_and_bounds_plans_too() {
    limit();
    assert!(Vec::<u8>::new().try_reserve_exact(LIMIT as usize).is_err());
    let student = student(&registry(&[]), "mlp", &[("width", "64")]).unwrap();
    act(&student, &dimensions(), 1 << 16).unwrap();
    let error = act(&student, &dimensions(), 1 << 24).err().unwrap().to_string();
    assert!(
        error.contains("at most 1.0 GiB of intermediate results at once on this machine, got "),
        "{error}"
    );
}
