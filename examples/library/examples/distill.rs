//! Distills cart-pole: `cargo run --release -p potstill-library-example --example distill`.
use potstill_library_example::distill;

fn main() -> Result<(), potstill_engine::Error> {
    let score = distill(60, |epoch| println!("η {:.3}  return {:.1?}", epoch.inner_lr, epoch.mean_return))?;
    println!("{} fresh learners after one step: mean return {}", score.protocol.learners, score.mean_return);
    Ok(())
}
