//! Pictures of the carts and poles, in pixels and as text.
use potstill_sdk::Frame;

use crate::physics::{ANGLE_LIMIT, Axis, LENGTH, POSITION_LIMIT};

const WIDTH: usize = 240;
const HEIGHT: usize = 160;
const COLUMNS: usize = 4;
const PIXELS_PER_METER: f64 = WIDTH as f64 / (2.2 * POSITION_LIMIT);
const TRACK: f64 = 128.0;

const PAPER: [f64; 3] = [250.0, 249.0, 245.0];
const LINE: [f64; 3] = [178.0, 176.0, 168.0];
const CART: [f64; 3] = [44.0, 62.0, 80.0];
const POLE: [f64; 3] = [202.0, 120.0, 52.0];
const FALLEN: [f64; 3] = [190.0, 50.0, 50.0];
const AXLE: [f64; 3] = [236.0, 232.0, 220.0];

/// Draws a panel for each axis, at most four side by side.
pub(crate) fn pixels(axes: &[Axis]) -> Frame {
    let columns = axes.len().min(COLUMNS);
    let (width, height) = (columns * WIDTH, axes.len().div_ceil(COLUMNS) * HEIGHT);
    let mut pixels: Vec<u8> = PAPER.map(|v| v as u8).repeat(width * height);
    for (i, axis) in axes.iter().enumerate() {
        let (left, top) = ((i % COLUMNS) * WIDTH, (i / COLUMNS) * HEIGHT);
        for y in 0..HEIGHT {
            let row = ((top + y) * width + left) * 3;
            for (x, pixel) in pixels[row..row + 3 * WIDTH].as_chunks_mut().0.iter_mut().enumerate() {
                *pixel = color(axis, x as f64 + 0.5, y as f64 + 0.5);
            }
        }
    }
    Frame::Rgb { width: width as u32, height: height as u32, pixels }
}

/// The color of a pixel: paints the shapes over each other, each with the coverage that its distance to the edge gives.
fn color(axis: &Axis, x: f64, y: f64) -> [u8; 3] {
    let center = WIDTH as f64 / 2.0;
    let cart = center + axis.position() * PIXELS_PER_METER;
    let axle = TRACK - 16.0;
    let length = 2.0 * LENGTH * PIXELS_PER_METER * 1.6;
    let tip = (cart + length * libm::sin(axis.angle()), axle - length * libm::cos(axis.angle()));
    let stop =
        |side: f64| rectangle(x, y, center + side * POSITION_LIMIT * PIXELS_PER_METER, TRACK + 4.0, 1.0, 5.0);
    let mut pixel = PAPER;
    let mut paint = |distance: f64, color: [f64; 3]| {
        let cover = (0.5 - distance).clamp(0.0, 1.0);
        pixel = std::array::from_fn(|c| pixel[c] + cover * (color[c] - pixel[c]));
    };
    paint(rectangle(x, y, center, TRACK, center - 4.0, 1.0), LINE);
    paint(stop(-1.0).min(stop(1.0)), LINE);
    paint(rectangle(x, y, cart, TRACK - 11.0, 17.0, 7.0) - 3.0, CART);
    paint(segment(x, y, (cart, axle), tip) - 3.5, if axis.is_out() { FALLEN } else { POLE });
    paint(segment(x, y, (cart, axle), (cart, axle)) - 2.5, AXLE);
    paint(rectangle(x, y, WIDTH as f64, y, 1.0, 1.0), LINE);
    pixel.map(|v| v.round() as u8)
}

fn rectangle(x: f64, y: f64, cx: f64, cy: f64, half_width: f64, half_height: f64) -> f64 {
    let (dx, dy) = ((x - cx).abs() - half_width, (y - cy).abs() - half_height);
    dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0)
}

fn segment(x: f64, y: f64, from: (f64, f64), to: (f64, f64)) -> f64 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (px, py) = (x - from.0, y - from.1);
    let along = ((px * dx + py * dy) / (dx * dx + dy * dy).max(1e-9)).clamp(0.0, 1.0);
    (px - along * dx).hypot(py - along * dy)
}

/// Draws three lines for each axis: numbers, pole and track.
pub(crate) fn text(axes: &[Axis]) -> Frame {
    const CELLS: i64 = 48;
    let mut text = String::new();
    for (i, axis) in axes.iter().enumerate() {
        let cell = ((axis.position() / POSITION_LIMIT + 1.0) / 2.0 * CELLS as f64).round() as i64;
        let cell = cell.clamp(0, CELLS) as usize;
        let lean = axis.angle() / ANGLE_LIMIT;
        let (pole, shift) = match lean {
            l if l < -0.25 => ('\\', 0),
            l if l > 0.25 => ('/', 2),
            _ => ('|', 1),
        };
        let track: String = (0..=CELLS as usize).map(|c| if c == cell { '█' } else { '─' }).collect();
        let state = if axis.is_out() { "  fallen" } else { "" };
        text += &format!(
            "axis {i}  cart {:+.2} m  pole {:+.1}°{state}\n{:>width$}\n├{track}┤\n",
            axis.position(),
            axis.angle().to_degrees(),
            pole,
            width = cell + shift + 1,
        );
    }
    Frame::Text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_every_axis() {
        let axes = [Axis::from_state([1.0, 0.0, 0.1, 0.0]); 5];
        let Frame::Rgb { width, height, pixels } = pixels(&axes) else { panic!("pixels") };
        assert_eq!((width as usize, height as usize), (4 * WIDTH, 2 * HEIGHT));
        assert_eq!(pixels.len(), 3 * width as usize * height as usize);
        assert!(pixels.as_chunks::<3>().0.contains(&CART.map(|v| v as u8)));
        let Frame::Text(text) = text(&axes) else { panic!("text") };
        assert_eq!(text.lines().count(), 15);
        assert!(text.contains("axis 4  cart +1.00 m  pole +5.7°"), "{text}");
    }
}
