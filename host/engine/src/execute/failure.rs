//! What becomes of a GPU that fails: burn and CubeCL panic, on this thread or on one of their own, and so the failure of
//! a device unwinds to [`caught`], where it is one error.
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::error::{Error, Result};

/// The device that failed, and how. It unwinds.
struct Failure {
    device: String,
    what: String,
}

/// Does `work`. Where a device fails in it, that is [`Error::Device`]; any other panic goes on.
///
/// [`Device`](super::Device)s return no errors of their own: what they compute is needed at once, many calls below what
/// can report an error.
///
/// # Errors
/// Those of `work`; [`Error::Device`].
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| match panic.downcast::<Failure>() {
        Ok(failure) => {
            let Failure { device, what } = *failure;
            Err(Error::Device { device, what })
        }
        Err(panic) => resume_unwind(panic),
    })
}

#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "the CPU does not fail"))]
pub(super) mod device {
    use std::cell::Cell;
    use std::sync::{Mutex, Once};

    use super::*;

    thread_local! {
        /// Whether this thread is in [`guarded`].
        static GUARDED: Cell<bool> = const { Cell::new(false) };
    }

    /// The first panic of a device that nobody knows of yet.
    static PANIC: Mutex<Option<String>> = Mutex::new(None);

    fn first_panic() -> std::sync::MutexGuard<'static, Option<String>> {
        PANIC.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Does `work` on `device`. If it panics, or one of the device's own threads has, the device's failure unwinds.
    pub(in super::super) fn guarded<T>(device: &str, work: impl FnOnce() -> T) -> T {
        listen();
        let outer = GUARDED.replace(true);
        let done = catch_unwind(AssertUnwindSafe(work));
        GUARDED.set(outer);
        match (done, first_panic().take()) {
            (Ok(done), None) => done,
            (Err(panic), _) if panic.is::<Failure>() => resume_unwind(panic),
            (Ok(_), Some(what)) => fail(device, &what),
            (Err(panic), noted) => fail(device, &noted.or_else(|| text(&*panic)).unwrap_or_default()),
        }
    }

    /// Unwinds with a failure of `device`. Says nothing on the terminal.
    pub(in super::super) fn fail(device: &str, what: &str) -> ! {
        // CubeCL puts its errors into each other; the words between say nothing, and what follows is whose source it was.
        let empty = |line: &str| {
            let frames = [
                "Caused by:",
                "An error happened",
                "An execution error",
                "A launch error",
                "The server is in",
            ];
            line.is_empty() || frames.iter().any(|frame| line.starts_with(frame))
        };
        let lines = || what.lines().map(str::trim);
        let line = lines().find(|line| !empty(line)).or_else(|| lines().next()).unwrap_or_default();
        let what: String = line.chars().take(300).collect();
        let memory = ["memory", "OutOfMemory", "Alloc"].iter().any(|word| what.contains(word));
        let hint = if memory { "; smaller batches (--minibatch) take less memory" } else { "" };
        resume_unwind(Box::new(Failure { device: device.into(), what: format!("{what}{hint}") }))
    }

    fn text(panic: &(dyn Any + Send)) -> Option<String> {
        panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
    }

    /// From now on a panic of a device is noted instead of printed. CubeCL's own threads, one for each device, go on
    /// after a panic, as if what they were asked for were done.
    fn listen() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let other = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                let of_device = std::thread::current().name().is_some_and(|name| name.starts_with("DS"));
                if of_device || GUARDED.get() {
                    first_panic().get_or_insert_with(|| text(info.payload()).unwrap_or_default());
                } else {
                    other(info);
                }
            }));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::device::{fail, guarded};
    use super::*;

    fn failed(work: impl FnOnce()) -> String {
        caught(|| {
            guarded("cuda:3", work);
            Ok(())
        })
        .unwrap_err()
        .to_string()
    }

    /// In one test, because a panic on any of a device's threads fails whatever is done next.
    #[test]
    fn a_device_that_fails_is_one_error() {
        assert_eq!(caught(|| Ok(guarded("cuda:3", || 4))).unwrap(), 4);
        let broken = failed(|| {
            panic!("An error happened during execution\nCaused by:\n  no such kernel\nBacktrace:\n 0")
        });
        assert_eq!(broken, "device `cuda:3`: no such kernel");
        assert_eq!(failed(|| panic!()), "device `cuda:3`: explicit panic");
        assert!(
            failed(|| fail("cuda:3", "OutOfMemory"))
                .ends_with("OutOfMemory; smaller batches (--minibatch) take less memory")
        );
        // Another thread's panic, which nobody joins.
        let broken = failed(|| {
            let thread = std::thread::Builder::new().name("DSU-0-0".into());
            thread.spawn(|| panic!("launch failed")).unwrap().join().unwrap_err();
        });
        assert_eq!(broken, "device `cuda:3`: launch failed");
        assert_eq!(caught(|| Ok(guarded("cuda:3", || 5))).unwrap(), 5, "a failure is reported once");
        let other = catch_unwind(AssertUnwindSafe(|| caught::<()>(|| resume_unwind(Box::new("a bug")))));
        assert_eq!(*other.unwrap_err().downcast::<&str>().unwrap(), "a bug");
    }
}
