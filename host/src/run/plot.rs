//! Pictures of a run: a dataset as heat maps and returns as a learning curve.
//!
//! SVG has no scripts and no fonts, and is readable on a light and on a dark page. PNG is for programs that do not show
//! SVG.
use std::fmt::Write as _;

use potstill_plugin_api::Space;

use super::dataset::Dataset;
use super::metrics::MetricsRecord;
use crate::error::{Error, Result};
use crate::plugin::text::tame;

/// The most cells that a heat map draws as rectangles. A larger one is drawn as an embedded picture.
const MAX_RECTANGLES: usize = 4096;
/// The colors of a learning curve's lines.
const SERIES: [&str; 6] = ["#2f81f7", "#d9730d", "#2da44e", "#bf4bb5", "#b08800", "#d1242f"];
const STYLE: &str = "<style>\
.potstill-plot text{font:12px system-ui,sans-serif;fill:#1f2328}\
.potstill-plot .quiet{fill:#59636e}\
.potstill-plot .title{font-weight:600}\
.potstill-plot .line{stroke:#d1d9e0;fill:none}\
@media(prefers-color-scheme:dark){\
.potstill-plot text{fill:#e6edf3}\
.potstill-plot .quiet{fill:#9198a1}\
.potstill-plot .line{stroke:#3d444d}}\
</style>";

/// Draws a dataset as SVG: X and Y side by side, with a row per instance, blue for negative and red for positive values.
/// Observations with two or more dimensions are drawn as pictures, one per channel.
///
/// # Errors
/// [`Error::Usage`] when the dataset is not valid.
pub fn dataset_svg(dataset: &Dataset) -> Result<String> {
    let [x, y] = panels(dataset)?;
    let (left, top, gap) = (44.0, 30.0, 40.0);
    let height = top + x.height() + 78.0;
    let y_left = left + x.width().max(150.0) + gap;
    let width = y_left + y.width().max(150.0) + 16.0;
    let instances = match dataset.k() {
        1 => "1 instance and its label".to_owned(),
        k => format!("{k} instances and their labels"),
    };
    let label = format!("{instances}, distilled from {}", dataset.info.environment.id);
    let mut svg = open_svg(width, height, &label);
    for row in labeled(x.rows, x.cell.1) {
        let at = top + (row as f64 + 0.5) * x.cell.1 + 4.0;
        text(&mut svg, left - 8.0, at, "end", "quiet", &row.to_string());
    }
    x.draw(&mut svg, left, top)?;
    y.draw(&mut svg, y_left, top)?;
    Ok(svg + "</svg>\n")
}

/// Draws the cells of [`dataset_svg`] as PNG, without labels: X, a transparent gap, then Y.
///
/// # Errors
/// [`Error::Usage`] when the dataset is not valid.
pub fn dataset_png(dataset: &Dataset) -> Result<Vec<u8>> {
    let panels = panels(dataset)?;
    let [x, y] = panels.each_ref().map(|panel| panel.raster(panel.cell_pixels()));
    let gap = 16;
    let mut whole = Raster::new(x.width + gap + y.width, x.height.max(y.height));
    whole.paste(&x, 0, 0);
    whole.paste(&y, x.width + gap, 0);
    whole.png()
}

/// Draws metrics over meta-epochs as SVG, a line for each of `names`. A dashed line marks `threshold`, the return that
/// counts as solved. Values that are missing, not finite or beyond ±1e100 leave a gap.
pub fn learning_curve_svg(records: &[MetricsRecord], names: &[&str], threshold: Option<f64>) -> String {
    let line = |name: &str| -> Line {
        let value = |r: &MetricsRecord| r.values.get(name).map(|value| (r.meta_epoch as f64, *value));
        records.iter().filter_map(value).collect()
    };
    let series: Vec<_> = names.iter().map(|name| (*name, vec![line(name)])).collect();
    curves_svg(["Return", "meta-epochs"], &series, threshold)
}

/// The points (x, y) of a line, from left to right.
pub(crate) type Line = Vec<(f64, f64)>;

/// Draws `up` over `axis`, such as returns over meta-epochs, as [`learning_curve_svg`] does. Lines of one name have one color.
pub(crate) fn curves_svg(
    [up, axis]: [&str; 2],
    series: &[(&str, Vec<Line>)],
    threshold: Option<f64>,
) -> String {
    let width = 720.0;
    let (left, right) = (64.0, 16.0);
    let places = legend(series.iter().map(|(name, _)| *name), left, width - right);
    // Each further line of the legend moves the picture down.
    let legend_height = places.last().map_or(0.0, |(_, y)| *y);
    let (height, top, bottom) = (300.0 + legend_height, 34.0 + legend_height, 46.0);
    let mut svg = open_svg(width, height, &format!("{up} over {axis}"));
    let finite =
        || series.iter().flat_map(|(_, lines)| lines.iter().flatten()).filter(|(_, value)| drawable(*value));
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold(None, |bounds: Option<(f64, f64)>, v| match bounds {
            Some((low, high)) => Some((low.min(v), high.max(v))),
            None => Some((v, v)),
        })
    };
    let returns = bounds(&mut finite().map(|(_, value)| *value).chain(threshold));
    let (Some(extent), Some(returns)) = (bounds(&mut finite().map(|(across, _)| *across)), returns) else {
        text(&mut svg, width / 2.0, height / 2.0, "middle", "quiet", "No returns recorded yet");
        return svg + "</svg>\n";
    };
    // Ticks between whole numbers only where there are points between them: there are no half meta-epochs.
    let least = if finite().all(|(across, _)| across.fract() == 0.0) { 1.0 } else { 0.0 };
    let (across, up) = (Ticks::over(extent, 8, Some(least)), Ticks::over(returns, 5, None));
    let x = |value: f64| left + across.part(value) * (width - left - right);
    let y = |value: f64| height - bottom - up.part(value) * (height - top - bottom);

    for tick in up.values() {
        let at = y(tick);
        let _ = write!(svg, r#"<path class="line" d="M{left} {at:.1}H{}"/>"#, width - right);
        text(&mut svg, left - 8.0, at + 4.0, "end", "quiet", &up.label(tick));
    }
    for tick in across.values() {
        text(&mut svg, x(tick), height - bottom + 18.0, "middle", "quiet", &across.label(tick));
    }
    text(&mut svg, (left + width - right) / 2.0, height - 8.0, "middle", "quiet", axis);
    if let Some(threshold) = threshold {
        let at = y(threshold);
        let line = format!("M{left} {at:.1}H{}", width - right);
        let _ = write!(svg, r##"<path d="{line}" fill="none" stroke="#8b949e" stroke-dasharray="4 4"/>"##);
        // The label is on the left: on the right, a run that solves its environment is near this line.
        text(&mut svg, left + 4.0, at - 5.0, "start", "quiet", "solved");
    }
    for (((name, lines), color), (x_name, y_name)) in series.iter().zip(SERIES.iter().cycle()).zip(places) {
        let mut path = String::new();
        for run in lines.iter().flat_map(|points| points.split(|(_, value)| !drawable(*value))) {
            for (i, (across, value)) in thinned(run).into_iter().enumerate() {
                let _ = write!(path, "{}{:.1} {:.1}", if i == 0 { 'M' } else { 'L' }, x(across), y(value));
            }
            if let [(across, value)] = run {
                // A lone point is drawn as a dot: a line of no length with round caps.
                let _ = write!(path, "L{:.1} {:.1}", x(*across), y(*value));
            }
        }
        let _ = write!(
            svg,
            r#"<path d="{path}" fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round" stroke-linecap="round"/>"#
        );
        let _ =
            write!(svg, r#"<path d="M{x_name} {}h18" stroke="{color}" stroke-width="3"/>"#, y_name + 14.0);
        text(&mut svg, x_name + 24.0, y_name + 18.0, "start", "", name);
    }
    svg + "</svg>\n"
}

/// Where the names of a legend begin, from `left` to `right` and then in a line below.
fn legend<'a>(names: impl Iterator<Item = &'a str>, left: f64, right: f64) -> Vec<(f64, f64)> {
    let (mut x, mut y) = (left, 0.0);
    let place = |name: &str| {
        let length = 48.0 + 7.0 * name.chars().count() as f64;
        if x > left && x + length > right {
            (x, y) = (left, y + 18.0);
        }
        let place = (x, y);
        x += length;
        place
    };
    names.map(place).collect()
}

/// Whether a value is not NaN and not so large that the length of the axis overflows.
fn drawable(value: f64) -> bool {
    value.abs() < 1e100
}

/// Thins a line to at most 600 points, each the mean of its neighbors: more cannot be seen.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |chunk: &[(f64, f64)]| {
        let (epochs, values) = chunk.iter().fold((0.0, 0.0), |(a, b), (epoch, value)| (a + epoch, b + value));
        (epochs / chunk.len() as f64, values / chunk.len() as f64)
    };
    points.chunks(points.len().div_ceil(600).max(1)).map(mean).collect()
}

/// The ticks of an axis, at round numbers.
struct Ticks {
    low: f64,
    high: f64,
    step: f64,
}

impl Ticks {
    /// About `count` ticks over `low..=high`. With a `least` distance between ticks the axis ends at these bounds, without
    /// one at round numbers.
    fn over((low, high): (f64, f64), count: usize, least: Option<f64>) -> Self {
        let span = high - low;
        if span <= low.abs().max(high.abs()) * 1e-9 {
            let room = if low == 0.0 { 1.0 } else { (low.abs() * 0.1).max(f64::MIN_POSITIVE) };
            return Self::over((low - room, high + room), count, None);
        }
        let rough = span / count as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        if let Some(least) = least {
            return Ticks { low, high, step: step.max(least) };
        }
        Ticks { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    fn part(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        let first = (self.low / self.step).ceil();
        (0..32)
            .map(move |i| (first + f64::from(i)) * self.step)
            .take_while(|v| *v <= self.high + self.step * 1e-6)
    }

    fn label(&self, value: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        if largest >= 1e7 || self.step < 1e-4 {
            return format!("{value:.1e}");
        }
        let decimals = (-self.step.log10().floor()).clamp(0.0, 6.0) as usize;
        let value = if value.abs() < self.step * 1e-6 { 0.0 } else { value };
        format!("{value:.decimals$}")
    }
}

/// A matrix of numbers or of pictures, to be drawn in colors.
struct Panel<'a> {
    title: String,
    axis: &'static str,
    rows: usize,
    columns: usize,
    /// The pixels (width, height) of a cell; (1, 1) for a number.
    picture: (usize, usize),
    /// The width and height of a cell as drawn in SVG.
    cell: (f64, f64),
    values: &'a [f32],
    largest: f32,
}

fn panels(dataset: &Dataset) -> Result<[Panel<'_>; 2]> {
    dataset.validate().map_err(Error::usage)?;
    let k = dataset.k();
    let (columns, picture) = match dataset.x.shape[1..] {
        [] => (1, (1, 1)),
        [size] => (size, (1, 1)),
        [ref channels @ .., height, width] => (channels.iter().product(), (width, height)),
    };
    let y_columns = dataset.y.shape[1];
    let row = match picture {
        (1, 1) => (560.0 / k as f64).clamp(3.0, 30.0),
        // A gap of two pixels keeps the pictures apart.
        _ => (1000.0 / k as f64).clamp(28.0, 84.0) + 2.0,
    };
    let column = |columns: usize, room: f64| (room / columns as f64).clamp(2.0, 46.0);
    let x_column = match picture {
        (1, 1) => column(columns, 560.0),
        (width, height) => (row - 2.0) * width as f64 / height as f64 + 2.0,
    };
    let largest = |values: &[f32]| values.iter().fold(f32::MIN_POSITIVE, |largest, v| largest.max(v.abs()));
    let of = |values: &[f32]| format!("±{}", short(largest(values)));
    let (x, y) = (&dataset.x.data[..], &dataset.y.data[..]);
    let (x_axis, y_axis) = match (picture, &dataset.info.environment.spec.action) {
        ((1, 1), Space::Discrete { .. }) => ("observation", "action"),
        ((1, 1), _) => ("observation", "policy output"),
        (_, Space::Discrete { .. }) => ("channel", "action"),
        _ => ("channel", "policy output"),
    };
    let x = Panel {
        title: format!("X {:?}, {}", dataset.x.shape, of(x)),
        axis: x_axis,
        rows: k,
        columns,
        picture,
        cell: (x_column, row),
        values: x,
        largest: largest(x),
    };
    let y = Panel {
        title: format!("Y {:?}, {}", dataset.y.shape, of(y)),
        axis: y_axis,
        rows: k,
        columns: y_columns,
        picture: (1, 1),
        cell: (column(y_columns, 280.0), row),
        values: y,
        largest: largest(y),
    };
    Ok([x, y])
}

impl Panel<'_> {
    fn width(&self) -> f64 {
        self.columns as f64 * self.cell.0
    }

    fn height(&self) -> f64 {
        self.rows as f64 * self.cell.1
    }

    fn color(&self, value: f32) -> [u8; 3] {
        diverging(value / self.largest)
    }

    fn draw(&self, svg: &mut String, left: f64, top: f64) -> Result<()> {
        text(svg, left, top - 12.0, "start", "title", &self.title);
        let (width, height) = (self.width(), self.height());
        if self.picture == (1, 1) && self.values.len() <= MAX_RECTANGLES {
            self.draw_cells(svg, left, top);
        } else {
            let pixels = match self.picture {
                (1, 1) => (1, 1),
                (width, height) => (width + 1, height + 1),
            };
            let data = base64(&self.raster(pixels).png()?);
            let _ = write!(
                svg,
                r#"<image x="{left}" y="{top}" width="{width:.1}" height="{height:.1}" preserveAspectRatio="none" style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>"#
            );
        }
        for column in labeled(self.columns, self.cell.0) {
            let at = left + (column as f64 + 0.5) * self.cell.0;
            text(svg, at, top + height + 15.0, "middle", "quiet", &column.to_string());
        }
        text(svg, left + width / 2.0, top + height + 32.0, "middle", "quiet", self.axis);
        self.draw_scale(svg, left, top + height + 46.0);
        Ok(())
    }

    fn draw_cells(&self, svg: &mut String, left: f64, top: f64) {
        let (cell_width, cell_height) = self.cell;
        let numbers = cell_width >= 38.0 && cell_height >= 16.0;
        svg.push_str(r#"<g shape-rendering="crispEdges">"#);
        let mut labels = String::new();
        for (i, value) in self.values.iter().enumerate() {
            let x = left + (i % self.columns) as f64 * cell_width;
            let y = top + (i / self.columns) as f64 * cell_height;
            let [r, g, b] = self.color(*value);
            let _ = write!(
                svg,
                r##"<rect x="{x:.1}" y="{y:.1}" width="{cell_width:.1}" height="{cell_height:.1}" fill="#{r:02x}{g:02x}{b:02x}"><title>{value}</title></rect>"##
            );
            if numbers {
                let ink = if value.abs() > 0.75 * self.largest { "#ffffff" } else { "#1f2328" };
                let _ = write!(
                    labels,
                    r#"<text x="{:.1}" y="{:.1}" text-anchor="middle" style="fill:{ink};font-size:11px" pointer-events="none">{}</text>"#,
                    x + cell_width / 2.0,
                    y + cell_height / 2.0 + 4.0,
                    short(*value)
                );
            }
        }
        svg.push_str("</g>");
        svg.push_str(&labels);
    }

    /// Draws the color scale below the panel.
    fn draw_scale(&self, svg: &mut String, left: f64, top: f64) {
        let (steps, width) = (24, 120.0);
        svg.push_str(r#"<g shape-rendering="crispEdges">"#);
        for i in 0..steps {
            let [r, g, b] = diverging(2.0 * (i as f32 + 0.5) / steps as f32 - 1.0);
            let x = left + i as f64 * width / f64::from(steps);
            let _ = write!(
                svg,
                r##"<rect x="{x}" y="{top}" width="5" height="8" fill="#{r:02x}{g:02x}{b:02x}"/>"##
            );
        }
        svg.push_str("</g>");
        let largest = short(self.largest);
        text(svg, left, top + 22.0, "start", "quiet", &format!("−{largest}"));
        text(svg, left + width / 2.0, top + 22.0, "middle", "quiet", "0");
        text(svg, left + width, top + 22.0, "end", "quiet", &largest);
    }

    fn cell_pixels(&self) -> (usize, usize) {
        match self.picture {
            (1, 1) => (self.cell.0.round().max(1.0) as usize, self.cell.1.round().max(1.0) as usize),
            (width, height) => (width + 1, height + 1),
        }
    }

    /// Draws the panel with `pixels` for each cell. The last row and column of a picture stay transparent, as a gap.
    fn raster(&self, pixels: (usize, usize)) -> Raster {
        let mut raster = Raster::new(self.columns * pixels.0, self.rows * pixels.1);
        let (width, height) = self.picture;
        for (cell, values) in self.values.chunks(width * height).enumerate() {
            let (left, top) = (cell % self.columns * pixels.0, cell / self.columns * pixels.1);
            let filled = if width * height == 1 { pixels } else { (width, height) };
            for y in 0..filled.1 {
                for x in 0..filled.0 {
                    let value = if width * height == 1 { values[0] } else { values[y * width + x] };
                    let [r, g, b] = self.color(value);
                    raster.set(left + x, top + y, [r, g, b, 255]);
                }
            }
        }
        raster
    }
}

/// The color of a value: blue at −1, nearly white at 0, red at 1.
fn diverging(value: f32) -> [u8; 3] {
    const STOPS: [[f32; 3]; 5] =
        [[33., 102., 172.], [146., 197., 222.], [247., 247., 247.], [244., 165., 130.], [178., 24., 43.]];
    let at = (value.clamp(-1.0, 1.0) + 1.0) * 2.0;
    let stop = (at as usize).min(3);
    std::array::from_fn(|i| {
        (STOPS[stop][i] + (STOPS[stop + 1][i] - STOPS[stop][i]) * (at - stop as f32)) as u8
    })
}

/// The indices that have room for a label, where each takes `size` pixels.
fn labeled(count: usize, size: f64) -> impl Iterator<Item = usize> {
    let least = (24.0 / size).ceil().max(1.0) as usize;
    let step = [1, 2, 5, 10, 20, 50, 100, 200, 500].into_iter().find(|step| *step >= least).unwrap_or(1000);
    (0..count).step_by(step)
}

/// A number to three figures, in few characters.
fn short(value: f32) -> String {
    match value.abs() {
        0.0 => "0".into(),
        a if !(0.005..1e4).contains(&a) => format!("{value:.0e}"),
        a if a < 10.0 => format!("{value:.2}"),
        a if a < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
    .replace('-', "−")
}

fn open_svg(width: f64, height: f64, label: &str) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" class="potstill-plot" role="img" aria-label="{}" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}">{STYLE}"#,
        escape(label)
    )
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, class: &str, content: &str) {
    let _ = write!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{}</text>"#,
        escape(content)
    );
}

/// Escapes text for XML and HTML, also within quotes. Hidden characters are replaced, of which XML forbids most.
pub(super) fn escape(text: &str) -> String {
    tame(text, usize::MAX)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0, |group, i| group << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            match i <= chunk.len() {
                true => text.push(char::from(DIGITS[(group >> (18 - 6 * i)) as usize & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

/// An RGBA picture, transparent at first.
struct Raster {
    width: usize,
    height: usize,
    rgba: Vec<u8>,
}

impl Raster {
    fn new(width: usize, height: usize) -> Self {
        Raster { width, height, rgba: vec![0; 4 * width * height] }
    }

    fn set(&mut self, x: usize, y: usize, color: [u8; 4]) {
        let at = 4 * (y * self.width + x);
        self.rgba[at..at + 4].copy_from_slice(&color);
    }

    fn paste(&mut self, other: &Raster, left: usize, top: usize) {
        for (y, row) in other.rgba.chunks(4 * other.width).enumerate() {
            let at = 4 * ((top + y) * self.width + left);
            self.rgba[at..at + row.len()].copy_from_slice(row);
        }
    }

    fn png(&self) -> Result<Vec<u8>> {
        let too_large =
            |_| Error::usage(format!("a picture of {} × {} pixels is too large", self.width, self.height));
        let mut bytes = vec![];
        let mut encoder = png::Encoder::new(
            &mut bytes,
            u32::try_from(self.width).map_err(too_large)?,
            u32::try_from(self.height).map_err(too_large)?,
        );
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_depth(png::BitDepth::Eight);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&self.rgba)?;
            writer.finish()
        });
        written.map_err(|e| Error::usage(format!("the picture cannot be encoded: {e}")))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::dataset::tests::cartpole_dataset;
    use crate::run::tensor::NamedTensor;

    /// Writes a picture to the folder `POTSTILL_PICTURES`, if that is set, for a person to look at.
    fn look(name: &str, content: &[u8]) {
        if let Some(folder) = std::env::var_os("POTSTILL_PICTURES") {
            std::fs::write(std::path::Path::new(&folder).join(name), content).unwrap();
        }
    }

    fn of(observation: &[usize], k: usize, n: usize) -> Dataset {
        let wave = |size: usize| {
            (0..size).map(|i| (i as f32 * 0.37).sin() * (1.0 + i as f32 / size as f32)).collect()
        };
        let mut dataset = cartpole_dataset();
        let shape = [&[k][..], observation].concat();
        dataset.info.environment.spec.observation = Space::unbounded(observation);
        dataset.info.environment.spec.action = Space::Discrete { n };
        dataset.x = NamedTensor::new("x", shape.clone(), wave(shape.iter().product())).unwrap();
        dataset.y = NamedTensor::new("y", [k, n], wave(k * n)).unwrap();
        dataset
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape("<a href='&\u{1b}\u{202e}\">"), "&lt;a href=&#39;&amp;\u{fffd}\u{fffd}&quot;&gt;");
    }

    #[test]
    fn datasets_of_every_shape() {
        for (name, dataset) in [
            ("cartpole", cartpole_dataset()),
            ("scalar", of(&[], 3, 1)),
            ("large", of(&[376], 64, 17)),
            ("many", of(&[4], 512, 2)),
            ("atari", of(&[4, 84, 84], 4, 6)),
            ("procgen", of(&[3, 64, 64], 5, 15)),
        ] {
            let svg = dataset_svg(&dataset).unwrap();
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{name}");
            look(&format!("{name}.svg"), svg.as_bytes());
            let png = dataset_png(&dataset).unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            look(&format!("{name}.png"), &png);
        }
        let mut wrong = cartpole_dataset();
        wrong.x.data[0] = f32::NAN;
        assert!(dataset_svg(&wrong).is_err());
    }

    #[test]
    fn curves_of_any_values() {
        let curve = |values: &[f64]| {
            let record = |(i, value): (usize, &f64)| MetricsRecord {
                meta_epoch: i as u64 + 1,
                wall_time: 0.0,
                seconds: None,
                values: [("return/<sampled>".to_owned(), *value), ("return/greedy".to_owned(), value * 1.1)]
                    .into(),
            };
            let records: Vec<_> = values.iter().enumerate().map(record).collect();
            let svg = learning_curve_svg(&records, &["return/<sampled>", "return/greedy"], Some(475.0));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{values:?}: {svg}");
            svg
        };
        for values in [
            &[][..],
            &[1.0],
            &[3.0, 3.0],
            &[0.0, 0.0],
            &[f64::NAN; 3],
            &[-1e300, 1e300],
            &[f64::MAX, f64::MIN],
            &[1e-300, 2e-300],
        ] {
            curve(values);
        }
        assert!(curve(&[]).contains("No returns"));
        assert!(curve(&[1.0, 2.0]).contains("return/&lt;sampled&gt;"));
        let over =
            |end: f64| curves_svg(["Return", "steps"], &[("one", vec![vec![(0.0, 1.0), (end, 2.0)]])], None);
        assert!(over(2.1).contains(">0.5<") && !over(2.0).contains(">0.5<"));
        // Names that do not fit beside each other go on in a line below, and the picture with them.
        let names: Vec<String> = (0..12).map(|i| format!("a long name {i}")).collect();
        let series: Vec<(&str, Vec<Line>)> = names.iter().map(|n| (&n[..], vec![vec![(0.0, 1.0)]])).collect();
        let tall = curves_svg(["Return", "steps"], &series, None);
        let ends = |x: &str| x.parse::<f64>().unwrap() + 7.0 * 13.0;
        let legend = tall.match_indices(r#"text-anchor="start""#).map(|(at, _)| &tall[..at]);
        let legend = legend.map(|before| before.rsplit("x=\"").next().unwrap().split('"').next().unwrap());
        assert!(tall.contains(r#"height="336""#) && legend.map(ends).all(|end| end < 720.0), "{tall}");
        let mut long: Vec<f64> = (0..750)
            .map(|i| 440.0 * (1.0 - (-f64::from(i) / 100.0).exp()) + f64::from(i * 7919 % 37))
            .collect();
        long[200..215].fill(f64::NAN);
        look("curve.svg", curve(&long).as_bytes());
    }

    #[test]
    fn base64_of_any_length() {
        let encoded = ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes()));
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }
}
