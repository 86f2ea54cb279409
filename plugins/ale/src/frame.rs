//! What a learner sees of a few screens: their maximum, made smaller as OpenCV's `INTER_AREA` does, in its arithmetic and
//! order. Most rows of a screen equal those of the step before, and only the others are computed.

/// A part of a sum: a source and its weight.
type Part = (usize, f32);

/// The sources of each of `to` targets, when `from` pixels become fewer: neighbors, with the part of each that a target covers.
fn parts(from: usize, to: usize) -> Vec<Vec<Part>> {
    let scale = from as f64 / to as f64;
    let target = |target: usize| {
        let start = target as f64 * scale;
        let end = start + scale;
        let width = scale.min(from as f64 - start);
        let last = (end.floor() as usize).min(from - 1);
        let first = (start.ceil() as usize).min(last);
        let mut parts = vec![];
        if first as f64 - start > 1e-3 {
            parts.push((first - 1, ((first as f64 - start) / width) as f32));
        }
        parts.extend((first..last).map(|source| (source, (1.0 / width) as f32)));
        if end - last as f64 > 1e-3 {
            parts.push((last, ((end - last as f64).min(1.0).min(width) / width) as f32));
        }
        parts
    };
    (0..to).map(target).collect()
}

/// The screens that a frame is made of.
pub(crate) struct Screens {
    width: usize,
    /// The screen of a step's last frame, the one before it, and that of the step before.
    of: [Vec<u8>; 3],
    /// The rows that are not what they were when the last frame was made.
    changed: Vec<bool>,
}

impl Screens {
    /// All are `screen`, which has rows of this many colors.
    pub(crate) fn all(screen: &[u8], width: usize) -> Self {
        Screens {
            width,
            of: std::array::from_fn(|_| screen.to_vec()),
            changed: vec![true; screen.len() / width],
        }
    }

    /// The last one.
    pub(crate) fn last(&self) -> &[u8] {
        &self.of[0]
    }

    /// All three, the last one first.
    pub(crate) fn three(&self) -> [&[u8]; 3] {
        self.of.each_ref().map(|screen| &screen[..])
    }

    /// Replaces all three.
    pub(crate) fn replace(&mut self, screens: [&[u8]; 3]) {
        self.of.iter_mut().zip(screens).for_each(|(own, screen)| own.copy_from_slice(screen));
        self.changed.fill(true);
    }

    /// Takes the screen of a step's last frame.
    pub(crate) fn take_last(&mut self, screen: &[u8]) {
        let rows = self.of[0].chunks_exact_mut(self.width).zip(screen.chunks_exact(self.width));
        for ((row, new), changed) in rows.zip(&mut self.changed) {
            if row != new {
                row.copy_from_slice(new);
                *changed = true;
            }
        }
    }

    /// Takes the screen of the frame before that.
    pub(crate) fn take_before(&mut self, screen: &[u8]) {
        let [_, before, older] = &mut self.of;
        std::mem::swap(before, older);
        before.copy_from_slice(screen);
        let rows = older.chunks_exact(self.width).zip(screen.chunks_exact(self.width));
        rows.zip(&mut self.changed).for_each(|((old, new), changed)| *changed |= old != new);
    }
}

/// Which screens a frame is the maximum of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooled {
    /// The last one alone.
    One,
    /// The last and the one before it.
    Two,
    /// All three.
    Three,
}

/// The sources of a column of a frame: the first, and the weights of it and of its neighbors, with zeros behind the last.
type Column<const N: usize> = (usize, [f32; N]);

/// The columns of a frame, by the number of weights. A screen is 160 pixels wide.
enum Columns {
    /// For frames of at least 80 columns.
    Few(Vec<Column<3>>),
    Any(Vec<(usize, Vec<f32>)>),
}

impl Columns {
    fn new(from: usize, to: usize) -> Self {
        let parts = parts(from, to);
        let most = parts.iter().map(Vec::len).max().unwrap_or(0);
        let column = |parts: &Vec<Part>, length: usize| {
            // The neighbors behind the last are in the row too.
            let first = parts[0].0.min(from - length);
            let mut weights = vec![0.0; length];
            parts.iter().for_each(|&(source, weight)| weights[source - first] = weight);
            (first, weights)
        };
        match most {
            ..=3 if from >= 3 => {
                let few = |parts| {
                    let (first, weights) = column(parts, 3);
                    (first, [weights[0], weights[1], weights[2]])
                };
                Columns::Few(parts.iter().map(few).collect())
            }
            _ => Columns::Any(parts.iter().map(|parts| column(parts, most)).collect()),
        }
    }

    /// Writes what `row` becomes. Sources without weight add 0, which changes nothing.
    fn narrow(&self, row: &[f32], to: &mut [f32]) {
        let sum = |sources: &[f32], weights: &[f32]| {
            sources.iter().zip(weights).fold(0.0, |sum, (source, weight)| sum + source * weight)
        };
        match self {
            Columns::Few(columns) => to
                .iter_mut()
                .zip(columns)
                .for_each(|(to, (first, weights))| *to = sum(&row[*first..][..3], weights)),
            Columns::Any(columns) => to
                .iter_mut()
                .zip(columns)
                .for_each(|(to, (first, weights))| *to = sum(&row[*first..], weights)),
        }
    }
}

/// A number from 0 to 255, rounded to the nearest integer or, between two, to the even one. The sum is a float of 2²³ and more,
/// which has no place for fractions.
fn rounded(number: f32) -> u8 {
    const NO_FRACTIONS: f32 = 12_582_912.0;
    (number + NO_FRACTIONS).to_bits() as u8
}

/// Makes frames of one size from screens of another.
pub(crate) struct Reducer {
    /// The height and width of the screens.
    from: [usize; 2],
    /// The height and width of the frames.
    to: [usize; 2],
    /// For each channel: the brightness of every color.
    channels: Vec<[u8; 256]>,
    rows: Vec<Vec<Part>>,
    columns: Columns,
    /// A row of a screen, and one of a frame.
    row: Vec<f32>,
    sum: Vec<f32>,
    /// `[channels, height of a screen, width of a frame]`
    narrow: Vec<f32>,
    /// The frame, `[channels, height, width]`.
    frame: Vec<u8>,
}

impl Reducer {
    pub(crate) fn new(from: [usize; 2], to: [usize; 2], channels: Vec<[u8; 256]>) -> Self {
        Reducer {
            from,
            to,
            rows: parts(from[0], to[0]),
            columns: Columns::new(from[1], to[1]),
            row: vec![0.0; from[1]],
            sum: vec![0.0; to[1]],
            narrow: vec![0.0; channels.len() * from[0] * to[1]],
            frame: vec![0; channels.len() * to[0] * to[1]],
            channels,
        }
    }

    /// The frame, `[channels, height, width]`, of the maximum of these screens.
    pub(crate) fn frame(&mut self, screens: &mut Screens, pooled: Pooled) -> &[u8] {
        let [height, width] = self.from;
        if pooled == Pooled::Three {
            screens.changed.fill(true);
        }
        for y in (0..height).filter(|&y| screens.changed[y]) {
            let [last, before, older] = screens.three().map(|screen| &screen[y * width..][..width]);
            for (channel, brightness) in self.channels.iter().enumerate() {
                let bright = |color: &u8| brightness[usize::from(*color)];
                let row = self.row.iter_mut();
                match pooled {
                    Pooled::One => row.zip(last).for_each(|(to, last)| *to = f32::from(bright(last))),
                    Pooled::Two => row
                        .zip(last.iter().zip(before))
                        .for_each(|(to, (last, before))| *to = f32::from(bright(last).max(bright(before)))),
                    Pooled::Three => {
                        row.zip(last.iter().zip(before).zip(older)).for_each(|(to, ((a, b), c))| {
                            *to = f32::from(bright(a).max(bright(b)).max(bright(c)));
                        });
                    }
                }
                let narrow = &mut self.narrow[(channel * height + y) * self.to[1]..][..self.to[1]];
                self.columns.narrow(&self.row, narrow);
            }
        }
        for (y, parts) in self.rows.iter().enumerate() {
            if !parts.iter().any(|&(source, _)| screens.changed[source]) {
                continue;
            }
            for channel in 0..self.channels.len() {
                self.sum.fill(0.0);
                for &(source, weight) in parts {
                    let narrow = &self.narrow[(channel * height + source) * self.to[1]..][..self.to[1]];
                    self.sum.iter_mut().zip(narrow).for_each(|(sum, value)| *sum += value * weight);
                }
                let frame = &mut self.frame[(channel * self.to[0] + y) * self.to[1]..][..self.to[1]];
                frame.iter_mut().zip(&self.sum).for_each(|(to, sum)| *to = rounded(*sum));
            }
        }
        // A frame of three screens shows what the next one does not.
        screens.changed.fill(pooled == Pooled::Three);
        &self.frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_even() {
        for quarter in 0..=1020u16 {
            let number = f32::from(quarter) / 4.0;
            assert_eq!(f32::from(rounded(number)), number.round_ties_even(), "{number}");
        }
    }
}
