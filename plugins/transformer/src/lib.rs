//! A small transformer (Vaswani et al. 2017) with pre-normalization. Its tokens are the features of a vector, the rows of a
//! matrix `[tokens, features]`, or square patches of an image `[channels, height, width]`.
use potstill_sdk::{Init, Learner, LearnerShape, OptionSchema, Options, Parameters, Rng, Tensor, builtin};

/// The network.
pub struct Transformer {
    outputs: usize,
    width: usize,
    heads: usize,
    blocks: usize,
    patch: usize,
    output_gain: f64,
}

impl Learner for Transformer {
    const ID: &'static str = "transformer-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "A small transformer on observation features or image patches (Vaswani et al. 2017)";

    fn options() -> Vec<OptionSchema> {
        vec![
            OptionSchema::integer("width", "Width of a token.", 1..=4096, 32),
            OptionSchema::integer("heads", "Attention heads, which share the width.", 1..=64, 2),
            OptionSchema::integer("blocks", "Blocks of attention and a hidden layer.", 1..=32, 1),
            OptionSchema::integer("patch", "Side of an image's patches, in pixels.", 1..=256, 8),
            OptionSchema::number("output-gain", "Gain of the output layer.", -1e3..=1e3, 0.01),
        ]
    }

    fn draw(shape: &LearnerShape, options: &Options, _: &mut Rng) -> Result<Self, String> {
        let whole = |name| options.integer(name).map(|n| n as usize);
        let (width, heads, patch) = (whole("width")?, whole("heads")?, whole("patch")?);
        if width % heads != 0 {
            return Err(format!("`width` {width} is not a multiple of `heads` {heads}"));
        }
        match shape.observation.shape()[..] {
            [_] | [_, _] => {}
            [_, h, w] if h % patch == 0 && w % patch == 0 => {}
            [_, h, w] => {
                return Err(format!("images of {h} × {w} cannot be divided into patches of {patch}"));
            }
            ref other => return Err(format!("it reads vectors, matrices and images, not {other:?}")),
        }
        Ok(Transformer {
            outputs: shape.outputs,
            width,
            heads,
            blocks: whole("blocks")?,
            patch,
            output_gain: options.number("output-gain")?,
        })
    }

    fn name(&self) -> String {
        format!("{} blocks of {}, {} heads, patches of {}", self.blocks, self.width, self.heads, self.patch)
    }

    fn forward(&self, parameters: &mut Parameters, observations: &Tensor) -> Tensor {
        let (width, heads) = (self.width, self.heads);
        let mut h = self.tokens(parameters, observations);
        let [batch, tokens] = [h.shape()[0], h.shape()[1]];
        for block in 0..self.blocks {
            let layer = 1 + 2 * block;
            let name = |part: &str| format!("blocks.{block}.{part}");
            let normal = h.layer_norm(1e-5);
            let mut split = |part: &str| {
                let x = linear(parameters, &name(part), &normal, width, 1.0, layer);
                x.reshape(&[batch, tokens, heads, width / heads]).permute(&[0, 2, 1, 3])
            };
            let (query, key, value) = (split("query"), split("key"), split("value"));
            let scores = query.matmul(&key.transpose()) * (1.0 / ((width / heads) as f64).sqrt());
            let attended = scores.softmax(-1).matmul(&value).permute(&[0, 2, 1, 3]);
            let attended = attended.reshape(&[batch, tokens, width]);
            h = h + linear(parameters, &name("projection"), &attended, width, 1.0, layer);
            let hidden = linear(parameters, &name("hidden"), &h.layer_norm(1e-5), 4 * width, 1.0, layer + 1);
            h = h + linear(parameters, &name("back"), &hidden.gelu(), width, 1.0, layer + 1);
        }
        let pooled = h.layer_norm(1e-5).mean_keep(&[1]).reshape(&[batch, width]);
        linear(parameters, "output", &pooled, self.outputs, self.output_gain, 1 + 2 * self.blocks)
    }
}

/// A linear layer with Xavier-uniform weights.
fn linear(p: &mut Parameters, name: &str, x: &Tensor, outputs: usize, gain: f64, layer: usize) -> Tensor {
    let inputs = x.shape().last().copied().unwrap_or(1);
    p.linear(name, x, outputs, Init::xavier_uniform(gain, inputs, outputs), layer)
}

impl Transformer {
    /// The embedded tokens with learned positions, `[batch, tokens, width]`.
    fn tokens(&self, parameters: &mut Parameters, x: &Tensor) -> Tensor {
        let (shape, width, patch) = (x.shape(), self.width, self.patch);
        let batch = shape[0];
        let features = match shape[1..] {
            // A feature's token is its value times a learned vector.
            [features] => {
                let embedding = parameters.get("embedding", &[features, width], Init::Normal(1.0), 0);
                let position = parameters.get("position", &[features, width], Init::Normal(0.1), 0);
                return x.reshape(&[batch, features, 1]) * embedding + position;
            }
            [channels, height, width] => {
                let (rows, columns) = (height / patch, width / patch);
                x.reshape(&[batch, channels, rows, patch, columns, patch])
                    .permute(&[0, 2, 4, 1, 3, 5])
                    .reshape(&[batch, rows * columns, channels * patch * patch])
            }
            _ => x.clone(),
        };
        let tokens = features.shape()[1];
        let position = parameters.get("position", &[tokens, width], Init::Normal(0.1), 0);
        linear(parameters, "embedding", &features, width, 1.0, 0) + position
    }
}

builtin!(learner Transformer);
#[cfg(any(target_family = "wasm", feature = "dylib"))]
potstill_sdk::export_learner!(Transformer);
