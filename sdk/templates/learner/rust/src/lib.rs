//! A perceptron with one hidden layer of random width. Replace it with your network.
use potstill_sdk::{
    Init, Learner, LearnerShape, OptionSchema, Options, Parameters, Rng, Tensor, export_learner,
};

/// One network of the distribution.
pub struct Perceptron {
    outputs: usize,
    width: usize,
}

impl Learner for Perceptron {
    const ID: &'static str = "{{id}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "A perceptron with one hidden layer whose width is drawn.";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::integer("least", "The smallest width.", 1..=4096, 64),
            OptionSchema::integer("most", "The largest width.", 1..=4096, 128),
        ]
    }

    fn draw(shape: &LearnerShape, options: &Options, rng: &mut Rng) -> Result<Self, String> {
        let (least, most) = (options.integer("least")?, options.integer("most")?);
        if least > most {
            return Err(format!("`least` is {least}, above `most`, {most}"));
        }
        let width = least as usize + rng.below((most - least) as u64 + 1) as usize;
        Ok(Perceptron { outputs: shape.outputs, width })
    }

    /// Networks with equal names must trace equal graphs.
    fn name(&self) -> String {
        format!("{} wide", self.width)
    }

    fn forward(&self, parameters: &mut Parameters, observations: &Tensor) -> Tensor {
        let x = observations.flatten_rows();
        let hidden = parameters.linear("hidden", &x, self.width, Init::Orthogonal(2f64.sqrt()), 0).tanh();
        parameters.linear("output", &hidden, self.outputs, Init::Orthogonal(0.01), 1)
    }
}

export_learner!(Perceptron);

#[cfg(test)]
mod tests {
    use potstill_sdk::testing::trace_learner;
    use potstill_sdk::{OptionValue, Space};

    use super::*;

    fn shape() -> LearnerShape {
        LearnerShape {
            observation: Space::Box { shape: vec![3, 2], low: vec![-1.0], high: vec![1.0] },
            outputs: 4,
        }
    }

    #[test]
    fn declares_its_parameters() {
        let options = [("least", OptionValue::Integer(8)), ("most", OptionValue::Integer(8))];
        let traced = trace_learner::<Perceptron>(&shape(), &options, 1).unwrap();
        let expected = [
            ("hidden.weight", vec![6, 8]),
            ("hidden.bias", vec![8]),
            ("output.weight", vec![8, 4]),
            ("output.bias", vec![4]),
        ];
        assert_eq!(traced.parameters, expected.map(|(name, shape)| (name.to_owned(), shape)));
        assert_eq!((traced.name.as_str(), traced.output), ("8 wide", vec![5, 4]));
    }

    #[test]
    fn the_seed_determines_the_width() {
        let name = |seed| trace_learner::<Perceptron>(&shape(), &[], seed).unwrap().name;
        assert_eq!(name(1), name(1));
        assert!((2..9).any(|seed| name(seed) != name(1)));
    }

    #[test]
    fn rejects_an_empty_range_of_widths() {
        let options = [("least", OptionValue::Integer(9)), ("most", OptionValue::Integer(8))];
        assert_eq!(
            trace_learner::<Perceptron>(&shape(), &options, 1).unwrap_err(),
            "`least` is 9, above `most`, 8"
        );
    }
}
