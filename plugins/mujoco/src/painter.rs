//! What draws the pictures of a copy: MuJoCo's own renderer where it can, flat shapes elsewhere.
use std::sync::{Arc, Mutex, PoisonError};

use potstill_sdk::host::{Level, log_once};
use potstill_sdk::{Frame, OptionKind, OptionSchema, Options};

use crate::egl;
use crate::picture::{self, HEIGHT, View, WIDTH};
use crate::renderer::{Camera, Renderer};
use crate::simulation::{Model, Simulation};

/// One of a copy. Most copies are never drawn, so the renderer is made for the first picture.
pub(crate) struct Painter {
    /// Whether the user wants MuJoCo's renderer or nothing.
    only_gl: bool,
    by: Mutex<By>,
}

enum By {
    /// Nobody has asked for a picture yet.
    Unknown,
    Gl(Arc<Renderer>),
    Flat,
}

impl Painter {
    pub(crate) fn option() -> OptionSchema {
        OptionSchema {
            name: "render".into(),
            help: "What draws pictures: MuJoCo's renderer (gl), flat shapes (2d), gl where it is possible (auto)."
                .into(),
            kind: OptionKind::Text { choices: ["auto", "gl", "2d"].map(String::from).into() },
            default: "auto".into(),
        }
    }

    /// # Errors
    /// MuJoCo's renderer is wanted, and there is none: why, and what to do.
    pub(crate) fn new(options: &Options, model: &Arc<Model>) -> Result<Self, String> {
        let (only_gl, by) = match options.text("render")? {
            "gl" => {
                let renderer =
                    Renderer::of(model).map_err(|error| format!("render=gl cannot be had: {error}"))?;
                (true, By::Gl(renderer))
            }
            "2d" => (false, By::Flat),
            _ => (false, By::Unknown),
        };
        Ok(Painter { only_gl, by: Mutex::new(by) })
    }

    /// A picture of `WIDTH` × `HEIGHT` pixels, whatever draws it.
    ///
    /// # Errors
    /// MuJoCo's renderer is wanted, and fails.
    pub(crate) fn draw(&self, simulation: &Simulation, view: View, camera: Camera) -> Result<Frame, String> {
        let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        if let By::Unknown = *by {
            // A machine without OpenGL is nothing to warn of, one on which MuJoCo cannot draw with it is.
            let renderer = egl::available()
                .map_err(|error| (Level::Info, error))
                .and_then(|()| Renderer::of(&simulation.model).map_err(|error| (Level::Warn, error)));
            *by = match renderer {
                Ok(renderer) => By::Gl(renderer),
                Err((level, error)) => {
                    log_once(level, &format!("pictures are of flat shapes: {error}"));
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
                log_once(Level::Warn, &format!("pictures are of flat shapes from here on: {error}"));
                *by = By::Flat;
                picture::pixels(simulation, view)
            }
            drawn => drawn.map_err(|error| format!("MuJoCo's renderer fails: {error}"))?,
        };
        Ok(Frame::Rgb { width: WIDTH as u32, height: HEIGHT as u32, pixels })
    }
}
