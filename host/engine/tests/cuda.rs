//! Without a GPU, `--device cuda` gives one clear error. With one, the tests `execute_plans` and `learners` compare it
//! with the CPU.
use potstill_engine::Error;
use potstill_engine::execute::Device;

#[test]
fn cuda_is_there_or_says_what_is_missing() {
    match Device::named("cuda", 1) {
        Ok(device) => assert_eq!(device.name(), "cuda:0"),
        Err(Error::Device { device, what }) => {
            assert_eq!(device, "cuda:0");
            assert!(what.contains("install") || what.contains("CUDA"), "{what}");
            eprintln!("no CUDA here: {what}");
        }
        Err(other) => panic!("{other}"),
    }
}
