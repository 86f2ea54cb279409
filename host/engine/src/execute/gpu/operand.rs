//! The numbers that a convolution or a product of matrices multiplies and adds up.
//!
//! All of them are products `out[m, n] = Σ left[m, k] · right[k, n]`, whose indices stand for this:
//!
//! | kind     | m              | n                                  | k                                       |
//! |----------|----------------|------------------------------------|-----------------------------------------|
//! | Forward  | filter         | picture, pixel of the output       | channel, place in the kernel            |
//! | Weight   | filter         | channel, place in the kernel       | picture, pixel of the output            |
//! | Input    | channel, phase | picture, step                      | filter, place in the kernel of a phase  |
//! | Matrices | row            | column                             | what is added up                        |
//!
//! With stride s, pixel y of a padded input is the `y % s`-th (its phase) of step `y / s`. It meets only every s-th place
//! of the kernel, those with its own remainder, and all pixels of a step meet the same pixels of the output. So the
//! phases are rows of one product: no place is wasted, and a convolution of few channels still fills a tile.
use cubecl::prelude::*;

use crate::graph::Window;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The output of a convolution; left is its weight, right its input.
    Forward,
    /// The gradient with respect to its weight; left is the gradient of its output, right its input.
    Weight,
    /// The gradient with respect to its input; left is its weight, right the gradient of its output.
    Input,
    /// A product of matrices.
    Matrices,
}

/// What a kernel is compiled for: everything except the number of pictures, so that indices are divided by constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    /// Channels, height and width of the input.
    pub(super) input: [u32; 3],
    /// Filters, height and width of the output.
    pub(super) output: [u32; 3],
    pub(super) kernel: [u32; 2],
    pub(super) stride: [u32; 2],
    pub(super) padding: [u32; 2],
    /// Whether threads beside each other load numbers along k, of the left and of the right operand.
    pub(super) along_k: [bool; 2],
}

impl Problem {
    /// A convolution of an input of the shape `[n, c, h, w]` with a weight of the shape `[o, c, kh, kw]`.
    pub(super) fn convolution(kind: Kind, input: &[usize], weight: &[usize], window: &Window) -> Self {
        let numbers = |values: [usize; 2]| values.map(super::index);
        let kernel = numbers([weight[2], weight[3]]);
        let (stride, padding) = (numbers(window.stride), numbers(window.padding));
        let input = [input[1], input[2], input[3]].map(super::index);
        let length = |axis: usize| (input[1 + axis] + 2 * padding[axis] - kernel[axis]) / stride[axis] + 1;
        let output = [super::index(weight[0]), length(0), length(1)];
        let along_k = match kind {
            Kind::Forward | Kind::Input => [true, false],
            _ => [true, true],
        };
        Problem { kind, input, output, kernel, stride, padding, along_k }
    }

    pub(super) fn matrices(along_k: [bool; 2]) -> Self {
        let (kind, one) = (Kind::Matrices, [1; 2]);
        Problem { kind, input: [1; 3], output: [1; 3], kernel: one, stride: one, padding: [0; 2], along_k }
    }

    /// The number of a kernel's places that one phase meets, along an axis.
    fn taps(&self, axis: usize) -> u32 {
        self.kernel[axis].div_ceil(self.stride[axis])
    }

    /// The number of steps that the input has, along an axis.
    fn steps(&self, axis: usize) -> u32 {
        (self.input[1 + axis] + self.padding[axis]).div_ceil(self.stride[axis])
    }

    fn phases(&self) -> u32 {
        self.stride[0] * self.stride[1]
    }

    /// Whether the right operand reaches beyond the edge of a picture.
    fn leaves_picture(&self) -> bool {
        match self.kind {
            Kind::Forward | Kind::Weight => self.padding != [0; 2],
            Kind::Input => true,
            Kind::Matrices => false,
        }
    }

    /// Whether some phases meet fewer places than [`Self::taps`].
    fn uneven(&self) -> bool {
        !(self.kernel[0].is_multiple_of(self.stride[0]) && self.kernel[1].is_multiple_of(self.stride[1]))
    }

    /// `[m, n, k]` of a convolution of `pictures`.
    pub(super) fn sizes(&self, pictures: usize) -> [u32; 3] {
        let [channels, ..] = self.input;
        let [filters, height, width] = self.output;
        let of_pictures = |pixels: u32| super::index(pictures * pixels as usize);
        let window = channels * self.kernel[0] * self.kernel[1];
        let pixels = of_pictures(height * width);
        match self.kind {
            Kind::Forward => [filters, pixels, window],
            Kind::Weight => [filters, window, pixels],
            _ => {
                let steps = of_pictures(self.steps(0) * self.steps(1));
                [channels * self.phases(), steps, filters * self.taps(0) * self.taps(1)]
            }
        }
    }
}

/// How far apart in memory the elements of two matrices are along m, n and k.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Strides {
    pub(super) left_m: u32,
    pub(super) left_k: u32,
    pub(super) right_k: u32,
    pub(super) right_n: u32,
}

/// What an index over pixels, or one over places in the kernel, adds to a position: to that in memory, and to the row
/// and the column in the picture. The sum of both says which number is meant.
#[derive(CubeType, Clone, Copy)]
struct Place {
    at: i32,
    y: i32,
    x: i32,
}

#[cube]
fn pixel(index: u32, #[comptime] p: Problem) -> Place {
    if comptime!(p.kind == Kind::Input) {
        let (height, width) = comptime!((p.steps(0), p.steps(1)));
        let rest = index % comptime!(height * width);
        let (y, x) = (rest / width, rest % width);
        let picture = index / comptime!(height * width);
        let at =
            picture * comptime!(p.output[0] * p.output[1] * p.output[2]) + y * comptime!(p.output[2]) + x;
        Place { at: at as i32, y: y as i32, x: x as i32 }
    } else {
        let rest = index % comptime!(p.output[1] * p.output[2]);
        let picture = index / comptime!(p.output[1] * p.output[2]);
        let y =
            (rest / comptime!(p.output[2]) * comptime!(p.stride[0])) as i32 - comptime!(p.padding[0] as i32);
        let x =
            (rest % comptime!(p.output[2]) * comptime!(p.stride[1])) as i32 - comptime!(p.padding[1] as i32);
        let first = (picture * comptime!(p.input[0] * p.input[1] * p.input[2])) as i32;
        Place { at: first + y * comptime!(p.input[2] as i32) + x, y, x }
    }
}

#[cube]
fn tap(index: u32, #[comptime] p: Problem) -> Place {
    if comptime!(p.kind == Kind::Input) {
        let area = comptime!(p.taps(0) * p.taps(1));
        let rest = index % area;
        let y = (rest / comptime!(p.taps(1))) as i32;
        let x = (rest % comptime!(p.taps(1))) as i32;
        let first = (index / area * comptime!(p.output[1] * p.output[2])) as i32;
        Place { at: first - y * comptime!(p.output[2] as i32) - x, y: -y, x: -x }
    } else {
        let area = comptime!(p.kernel[0] * p.kernel[1]);
        let rest = index % area;
        let y = rest / comptime!(p.kernel[1]);
        let x = rest % comptime!(p.kernel[1]);
        let at = index / area * comptime!(p.input[1] * p.input[2]) + y * comptime!(p.input[2]) + x;
        Place { at: at as i32, y: y as i32, x: x as i32 }
    }
}

/// `left[m, k]`, or 0 from `end.0` and `end.1` on. The operand begins at `first`.
#[cube]
pub(super) fn left(
    from: &Array<f32>,
    first: u32,
    m: u32,
    k: u32,
    end: (u32, u32),
    strides: &Strides,
    #[comptime] p: Problem,
) -> f32 {
    let mut inside = m < end.0 && k < end.1;
    let at = if comptime!(p.kind == Kind::Forward) {
        m * comptime!(p.input[0] * p.kernel[0] * p.kernel[1]) + k
    } else if comptime!(p.kind == Kind::Weight) {
        let pixels = comptime!(p.output[1] * p.output[2]);
        k / pixels * comptime!(p.output[0] * p.output[1] * p.output[2]) + m * pixels + k % pixels
    } else if comptime!(p.kind == Kind::Input) {
        let area = comptime!(p.taps(0) * p.taps(1));
        let (channel, phase) = (m / comptime!(p.phases()), m % comptime!(p.phases()));
        let rest = k % area;
        let y = rest / comptime!(p.taps(1)) * comptime!(p.stride[0]) + phase / comptime!(p.stride[1]);
        let x = rest % comptime!(p.taps(1)) * comptime!(p.stride[1]) + phase % comptime!(p.stride[1]);
        if comptime!(p.uneven()) {
            inside = inside && y < comptime!(p.kernel[0]) && x < comptime!(p.kernel[1]);
        }
        let filter = k / area;
        (filter * comptime!(p.input[0]) + channel) * comptime!(p.kernel[0] * p.kernel[1])
            + y * comptime!(p.kernel[1])
            + x
    } else {
        first + m * strides.left_m + k * strides.left_k
    };
    let mut value = 0.0f32;
    if inside {
        value = from[at as usize];
    }
    value
}

/// `right[k, n]`, or 0 from `end.0` (of n) and `end.1` on. The operand begins at `first`.
#[cube]
pub(super) fn right(
    from: &Array<f32>,
    first: u32,
    n: u32,
    k: u32,
    end: (u32, u32),
    strides: &Strides,
    #[comptime] p: Problem,
) -> f32 {
    let mut inside = n < end.0 && k < end.1;
    let at = if comptime!(p.kind == Kind::Matrices) {
        first + k * strides.right_k + n * strides.right_n
    } else {
        let (of_pixels, of_kernel) = if comptime!(p.kind == Kind::Weight) { (k, n) } else { (n, k) };
        let pixel = pixel(of_pixels, p);
        let tap = tap(of_kernel, p);
        if comptime!(p.leaves_picture()) {
            let height = comptime!(if p.kind == Kind::Input { p.output[1] } else { p.input[1] });
            let width = comptime!(if p.kind == Kind::Input { p.output[2] } else { p.input[2] });
            // What is below 0 is far beyond the end as a number without sign.
            inside = inside && ((pixel.y + tap.y) as u32) < height && ((pixel.x + tap.x) as u32) < width;
        }
        (pixel.at + tap.at) as u32
    };
    let mut value = 0.0f32;
    if inside {
        value = from[at as usize];
    }
    value
}

/// Where `out[m, n]` is in the result of a problem with `n` columns, and whether it is in it at all.
#[cube]
pub(super) fn target(m: u32, n: u32, columns: u32, #[comptime] p: Problem) -> (u32, bool) {
    if comptime!(p.kind == Kind::Forward) {
        let pixels = comptime!(p.output[1] * p.output[2]);
        let first = n / pixels * comptime!(p.output[0] * p.output[1] * p.output[2]);
        (first + m * pixels + n % pixels, true.runtime())
    } else if comptime!(p.kind == Kind::Input) {
        let steps = comptime!(p.steps(0) * p.steps(1));
        let (channel, phase) = (m / comptime!(p.phases()), m % comptime!(p.phases()));
        let rest = n % steps;
        // Below 0, in the padding, is far beyond the end.
        let y = rest / comptime!(p.steps(1)) * comptime!(p.stride[0]) + phase / comptime!(p.stride[1])
            - comptime!(p.padding[0]);
        let x = rest % comptime!(p.steps(1)) * comptime!(p.stride[1]) + phase % comptime!(p.stride[1])
            - comptime!(p.padding[1]);
        let area = comptime!(p.input[1] * p.input[2]);
        let picture = n / steps;
        let at = (picture * comptime!(p.input[0]) + channel) * area + y * comptime!(p.input[2]) + x;
        (at, y < comptime!(p.input[1]) && x < comptime!(p.input[2]))
    } else {
        (m * columns + n, true.runtime())
    }
}
