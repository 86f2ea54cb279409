//! Sums in NumPy's order, so that rewards and observations equal Gymnasium's to the bit.

/// A number that NumPy sums.
pub(crate) trait Number:
    Copy + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self> + Default
{
}
impl Number for f32 {}
impl Number for f64 {}

/// `np.sum(np.square(values))` of a contiguous array: pairwise, in blocks of at most 128, with eight parallel sums.
pub(crate) fn sum_of_squares<T: Number>(values: &[T]) -> T {
    sum_of(values, |v| v * v)
}

/// `np.sum(values)`.
pub(crate) fn sum<T: Number>(values: &[T]) -> T {
    sum_of(values, |v| v)
}

fn sum_of<T: Number>(values: &[T], of: impl Fn(T) -> T + Copy) -> T {
    let n = values.len();
    if n < 8 {
        return values.iter().fold(T::default(), |sum, v| sum + of(*v));
    }
    if n > 128 {
        let half = n / 2 - n / 2 % 8;
        return sum_of(&values[..half], of) + sum_of(&values[half..], of);
    }
    let (eights, rest) = values.as_chunks::<8>();
    let r = eights[1..]
        .iter()
        .fold(eights[0].map(of), |sums, eight| std::array::from_fn(|i| sums[i] + of(eight[i])));
    let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    rest.iter().fold(sum, |sum, v| sum + of(*v))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_all() {
        for n in [0, 1, 7, 8, 9, 84, 128, 129, 1000] {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            assert_eq!(sum(&values), f64::from(n * (n - 1) / 2), "{n}");
            assert_eq!(sum_of_squares(&values), values.iter().map(|v| v * v).sum::<f64>(), "{n}");
        }
    }

    #[test]
    fn adds_in_the_order_of_numpy() {
        // np.sum(np.array([1e8] + [3] * 7 + [-1e8], np.float32)) is 16; added one by one it would be 0.
        let values = [1e8f32, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, -1e8];
        assert_eq!(sum(&values), 16.0);
    }
}
