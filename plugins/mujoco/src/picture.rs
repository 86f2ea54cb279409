//! Draws the bodies as flat shapes in parallel projection, for machines on which MuJoCo's own renderer cannot draw.
use potstill_sdk::Frame;

use crate::simulation::Simulation;

/// The size of a picture in pixels, for both ways of drawing.
pub(crate) const WIDTH: usize = 320;
pub(crate) const HEIGHT: usize = 240;

const SKY: [f64; 3] = [250.0, 249.0, 245.0];
const TILES: [[f64; 3]; 2] = [[222.0, 224.0, 214.0], [206.0, 209.0, 197.0]];
const EDGE: [f64; 3] = [150.0, 150.0, 140.0];

/// The view of a task.
#[derive(Clone, Copy)]
pub struct View {
    /// The camera's angle around the vertical axis, in radians; at 0 it looks along y, with x to the right.
    turn: f64,
    /// The angle by which it looks down, in radians.
    tilt: f64,
    /// The width of the picture, in meters.
    across: f64,
    /// The height above the floor at the middle of the picture, in meters.
    height: f64,
    /// Whether the camera follows the first body.
    follows: bool,
}

impl View {
    /// A view from the side.
    pub(crate) const fn side(across: f64, height: f64, follows: bool) -> View {
        View { turn: 0.0, tilt: 0.0, across, height, follows }
    }

    /// A view from slightly above and half from the side.
    pub(crate) const fn oblique(across: f64, height: f64) -> View {
        View { turn: 0.6, tilt: 0.35, across, height, follows: true }
    }

    /// A view from above.
    pub(crate) const fn top(across: f64) -> View {
        View { turn: 0.0, tilt: std::f64::consts::FRAC_PI_2, across, height: 0.0, follows: false }
    }
}

/// A shape in the picture: a line with a radius, in pixels.
struct Stroke {
    ends: [[f64; 2]; 2],
    radius: f64,
    color: [f64; 3],
    depth: f64,
}

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<[f64; 3]>,
    /// The fraction of each pixel that bodies cover.
    cover: Vec<f64>,
}

/// The picture of a simulation, `[HEIGHT, WIDTH, 3]`.
pub(crate) fn pixels(simulation: &Simulation, view: View) -> Vec<u8> {
    let canvas = draw(simulation, view, WIDTH, HEIGHT);
    canvas.pixels.iter().flatten().map(|value| value.round() as u8).collect()
}

/// The same picture in characters of two pixels each.
pub(crate) fn text(simulation: &Simulation, view: View) -> Frame {
    let canvas = draw(simulation, view, 64, 48);
    let rows: Vec<&[f64]> = canvas.cover.chunks_exact(canvas.width).collect();
    let mut text = String::new();
    for two in rows.chunks_exact(2) {
        let line: String = two[0]
            .iter()
            .zip(two[1])
            .map(|(upper, lower)| match (*upper >= 0.5, *lower >= 0.5) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect();
        text += line.trim_end();
        text.push('\n');
    }
    let [x, y, z] = simulation.xpos()[1];
    Frame::Text(format!("{text}x {x:+.2} m  y {y:+.2} m  z {z:+.2} m\n"))
}

fn draw(simulation: &Simulation, view: View, width: usize, height: usize) -> Canvas {
    let scale = width as f64 / view.across;
    let ((sin, cos), (down, level)) = (view.turn.sin_cos(), view.tilt.sin_cos());
    // The directions to the right, up, and away from the viewer.
    let right = [cos, sin, 0.0];
    let up = [-sin * down, cos * down, level];
    let away = [-sin * level, cos * level, -down];
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let at = if view.follows { simulation.xpos()[1] } else { [0.0; 3] };
    let center = [at[0], at[1], view.height];
    let middle = [width as f64 / 2.0, height as f64 / 2.0];
    let project = |point: [f64; 3]| {
        let from = std::array::from_fn(|i| point[i] - center[i]);
        [middle[0] + scale * dot(from, right), middle[1] - scale * dot(from, up)]
    };
    // The point where the line of sight through a pixel meets the floor; in a view from the side, a cut through the floor.
    let floor = |x: f64, y: f64| {
        let (x, y) = ((x - middle[0]) / scale, (middle[1] - y) / scale);
        let point: [f64; 3] = std::array::from_fn(|i| center[i] + x * right[i] + y * up[i]);
        if away[2] > -1e-9 {
            return (point[2] < 0.0).then_some([point[0], 0.0]);
        }
        let t = -point[2] / away[2];
        Some([point[0] + t * away[0], point[1] + t * away[1]])
    };
    let tile = |[x, y]: [f64; 2]| TILES[((x.floor() + y.floor()) as i64).rem_euclid(2) as usize];
    let pixels = (0..width * height)
        .map(|i| floor((i % width) as f64 + 0.5, (i / width) as f64 + 0.5).map_or(SKY, tile))
        .collect();
    let mut canvas = Canvas { width, height, pixels, cover: vec![0.0; width * height] };
    if away[2] > -1e-9 {
        let line = project([center[0], center[1], 0.0])[1];
        canvas.paint(&Stroke {
            ends: [[-9.0, line], [width as f64 + 9.0, line]],
            radius: 0.7,
            color: EDGE,
            depth: 0.0,
        });
        canvas.cover.fill(0.0);
    }
    let mut strokes: Vec<Stroke> = simulation
        .shapes()
        .filter_map(|shape| {
            let [radius, half, _] = shape.size;
            let half = match shape.kind {
                SPHERE => 0.0,
                CAPSULE | CYLINDER => half,
                _ => return None,
            };
            // The shape's own third axis.
            let end = |side: f64| {
                project(std::array::from_fn(|i| shape.position[i] + side * half * shape.axes[3 * i + 2]))
            };
            Some(Stroke {
                ends: [end(-1.0), end(1.0)],
                radius: (radius * scale).max(0.5),
                color: std::array::from_fn(|i| f64::from(shape.rgba[i]) * 255.0),
                depth: dot(shape.position, away),
            })
        })
        .collect();
    strokes.sort_by(|a, b| b.depth.total_cmp(&a.depth));
    strokes.iter().for_each(|stroke| canvas.paint(stroke));
    canvas
}

const SPHERE: i32 = 2;
const CAPSULE: i32 = 3;
const CYLINDER: i32 = 5;

impl Canvas {
    /// Paints a stroke. Its coverage of a pixel depends on the pixel's distance to its edge; shapes are darker at the edges.
    fn paint(&mut self, stroke: &Stroke) {
        let [from, to] = stroke.ends;
        let reach = stroke.radius + 1.0;
        let range = |axis: usize, length: usize| {
            let (low, high) = (from[axis].min(to[axis]) - reach, from[axis].max(to[axis]) + reach);
            low.clamp(0.0, length as f64) as usize..high.clamp(0.0, length as f64).ceil() as usize
        };
        let way = [to[0] - from[0], to[1] - from[1]];
        let length = (way[0] * way[0] + way[1] * way[1]).max(1e-9);
        for y in range(1, self.height) {
            for x in range(0, self.width) {
                let point = [x as f64 + 0.5 - from[0], y as f64 + 0.5 - from[1]];
                let along = ((point[0] * way[0] + point[1] * way[1]) / length).clamp(0.0, 1.0);
                let distance = (point[0] - along * way[0]).hypot(point[1] - along * way[1]);
                let cover = (stroke.radius + 0.5 - distance).clamp(0.0, 1.0);
                if cover == 0.0 {
                    continue;
                }
                let depth = (distance / stroke.radius).min(1.0);
                let light = 0.7 + 0.3 * (1.0 - depth * depth).sqrt();
                let at = y * self.width + x;
                let pixel = self.pixels[at];
                self.pixels[at] =
                    std::array::from_fn(|c| pixel[c] + cover * (light * stroke.color[c] - pixel[c]));
                self.cover[at] = self.cover[at].max(cover);
            }
        }
    }
}
