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

/// Makes frames of one size from screens of another.
pub(crate) struct Reducer {
    /// The height and width of the screens.
    from: [usize; 2],
    /// The height and width of the frames.
    to: [usize; 2],
    /// For each channel: the brightness of every color.
    channels: Vec<[u8; 256]>,
    rows: Vec<Vec<Part>>,
    /// For each column of a frame: the first source, and the weights of it and of its neighbors, with zeros behind the last.
    columns: Vec<(usize, Vec<f32>)>,
    /// The screens of the frame before, if there was one.
    before: Option<[Vec<u8>; 3]>,
    /// `[channels, height of a screen, width of a frame]`
    narrow: Vec<f32>,
    /// The frame, `[channels, height, width]`.
    frame: Vec<u8>,
}

impl Reducer {
    pub(crate) fn new(from: [usize; 2], to: [usize; 2], channels: Vec<[u8; 256]>) -> Self {
        let columns = parts(from[1], to[1]);
        let most = columns.iter().map(Vec::len).max().unwrap_or(0);
        let column = |parts: Vec<Part>| {
            // The neighbors behind the last are in the row too.
            let first = parts[0].0.min(from[1] - most);
            let mut weights = vec![0.0; most];
            parts.iter().for_each(|&(source, weight)| weights[source - first] = weight);
            (first, weights)
        };
        Reducer {
            from,
            to,
            rows: parts(from[0], to[0]),
            columns: columns.into_iter().map(column).collect(),
            before: None,
            narrow: vec![0.0; channels.len() * from[0] * to[1]],
            frame: vec![0; channels.len() * to[0] * to[1]],
            channels,
        }
    }

    /// The frame, `[channels, height, width]`, of the maximum of these screens.
    pub(crate) fn frame(&mut self, screens: [&[u8]; 3]) -> &[u8] {
        let [height, width] = self.from;
        let mut row = vec![0.0; width];
        let mut changed = vec![false; height];
        for y in 0..height {
            let rows = screens.map(|screen| &screen[y * width..][..width]);
            let same = |before: &[Vec<u8>; 3]| (0..3).all(|i| before[i][y * width..][..width] == *rows[i]);
            if self.before.as_ref().is_some_and(same) {
                continue;
            }
            changed[y] = true;
            for (channel, brightness) in self.channels.iter().enumerate() {
                for (x, to) in row.iter_mut().enumerate() {
                    let [a, b, c] = rows.map(|row| brightness[usize::from(row[x])]);
                    *to = f32::from(a.max(b).max(c));
                }
                let narrow = &mut self.narrow[(channel * height + y) * self.to[1]..][..self.to[1]];
                for (to, (first, weights)) in narrow.iter_mut().zip(&self.columns) {
                    // Sources without weight add 0, which changes nothing.
                    let sources = row[*first..].iter().zip(weights);
                    *to = sources.fold(0.0, |sum, (source, weight)| sum + source * weight);
                }
            }
        }
        let mut sum = vec![0.0; self.to[1]];
        for (y, parts) in self.rows.iter().enumerate() {
            if !parts.iter().any(|&(source, _)| changed[source]) {
                continue;
            }
            for channel in 0..self.channels.len() {
                sum.fill(0.0);
                for &(source, weight) in parts {
                    let narrow = &self.narrow[(channel * height + source) * self.to[1]..][..self.to[1]];
                    sum.iter_mut().zip(narrow).for_each(|(sum, value)| *sum += value * weight);
                }
                let frame = &mut self.frame[(channel * self.to[0] + y) * self.to[1]..][..self.to[1]];
                frame.iter_mut().zip(&sum).for_each(|(to, sum)| *to = sum.round_ties_even() as u8);
            }
        }
        let before = self.before.get_or_insert_with(Default::default);
        for (before, screen) in before.iter_mut().zip(screens) {
            before.clear();
            before.extend_from_slice(screen);
        }
        &self.frame
    }
}
