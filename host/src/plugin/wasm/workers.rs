//! The threads that wasmtime compiles and validates with. It takes rayon's, whose shared pool panics if the system refuses
//! it a thread.
use rayon::ThreadPoolBuilder;

/// Runs `work`, whose parallel parts get a thread for each core, or this thread alone if the system refuses more.
pub(super) fn with_workers<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // `work` gets as much stack as a program's main thread has.
    match ThreadPoolBuilder::new().stack_size(8 << 20).build() {
        Ok(pool) => pool.install(work),
        Err(_) => {
            // It fails if this thread is a pool of its own already, from an earlier call.
            let _alone = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
            work()
        }
    }
}
