//! Draws the pictures of a copy, with MuJoCo's own renderer or as flat shapes.
use std::sync::{Arc, Mutex, PoisonError};

use potstill_sdk::host::{Level, log_once};
use potstill_sdk::{Frame, OptionKind, OptionSchema, Options};

use crate::egl;
use crate::picture::{self, HEIGHT, View, WIDTH};
use crate::renderer::{Camera, Renderer};
use crate::simulation::{Model, Simulation};

/// The painter of one copy. Most copies are never drawn, so it makes its renderer for the first picture.
pub(crate) struct Painter {
    /// Whether the user requires MuJoCo's renderer.
    only_gl: bool,
    by: Mutex<By>,
}

enum By {
    /// No picture has been requested yet.
    Unknown,
    Gl(Arc<Renderer>),
    Flat,
}

impl Painter {
    pub(crate) fn option() -> OptionSchema {
        OptionSchema {
            name: "render".into(),
            help: "How pictures are drawn: by MuJoCo's renderer (gl), as flat shapes (2d), or by gl if possible (auto)."
                .into(),
            kind: OptionKind::Text { choices: ["auto", "gl", "2d"].map(String::from).into() },
            default: "auto".into(),
        }
    }

    /// Makes the painter of a copy.
    ///
    /// # Errors
    /// MuJoCo's renderer is required but not available. The message says why, and what to do.
    pub(crate) fn new(options: &Options, model: &Arc<Model>) -> Result<Self, String> {
        let (only_gl, by) = match options.text("render")? {
            "gl" => {
                let renderer =
                    Renderer::of(model).map_err(|error| format!("render=gl is not available: {error}"))?;
                (true, By::Gl(renderer))
            }
            "2d" => (false, By::Flat),
            _ => (false, By::Unknown),
        };
        Ok(Painter { only_gl, by: Mutex::new(by) })
    }

    /// Draws a picture of `WIDTH` × `HEIGHT` pixels.
    ///
    /// # Errors
    /// MuJoCo's renderer is required and fails.
    pub(crate) fn draw(&self, simulation: &Simulation, view: View, camera: Camera) -> Result<Frame, String> {
        let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        if let By::Unknown = *by {
            // No OpenGL is no reason for a warning, but OpenGL with which MuJoCo cannot draw is one.
            let renderer = egl::available()
                .map_err(|error| (Level::Info, error))
                .and_then(|()| Renderer::of(&simulation.model).map_err(|error| (Level::Warn, error)));
            *by = match renderer {
                Ok(renderer) => By::Gl(renderer),
                Err((level, error)) => {
                    log_once(level, &format!("pictures show flat shapes: {error}"));
                    By::Flat
                }
            };
        }
        let pixels = match &*by {
            By::Gl(renderer) => renderer.draw(simulation, camera),
            By::Unknown | By::Flat => Ok(picture::pixels(simulation, view)),
        };
        let pixels = match pixels {
            Err(error) if !self.only_gl => {
                log_once(Level::Warn, &format!("pictures show flat shapes from now on: {error}"));
                *by = By::Flat;
                picture::pixels(simulation, view)
            }
            drawn => drawn.map_err(|error| format!("MuJoCo's renderer failed: {error}"))?,
        };
        Ok(Frame::Rgb { width: WIDTH as u32, height: HEIGHT as u32, pixels })
    }
}
