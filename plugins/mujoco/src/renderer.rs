//! MuJoCo's own renderer without a window. Pictures equal those of Gymnasium's `render_mode="rgb_array"`.
use std::ffi::CStr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::egl::Context;
use crate::library::{Raw, Rectangle, guarded};
use crate::picture::{HEIGHT, WIDTH};
use crate::simulation::{Model, Simulation};

/// Gymnasium's camera.
#[derive(Clone, Copy, Debug)]
pub enum Camera {
    /// The model's own camera of this name.
    Named(&'static CStr),
    /// A free camera, at an azimuth of 90° and an elevation of −45°.
    Free {
        /// The distance from the point it looks at, in meters; the default is the model's extent.
        distance: Option<f64>,
        /// The point it looks at; the default is the median of the shapes' positions in the model's initial state.
        /// (Gymnasium uses the state in which it happens to draw first.)
        lookat: Option<[f64; 3]>,
    },
}

/// Draws the simulations of one model, one at a time. They share it because its OpenGL context takes far more memory than
/// a simulation.
pub(crate) struct Renderer(Mutex<Drawing>);

struct Drawing {
    /// The copy of a simulation that is drawn, because MuJoCo writes to it, and an error makes it anew.
    simulation: Simulation,
    /// The median of the shapes' positions in the model's initial state.
    middle: [f64; 3],
    option: Block,
    scene: Block,
    context: Block,
    /// Whether `context` was made. If not, it must not be freed.
    made: bool,
    gl: Context,
}

impl Renderer {
    /// The renderer of this model, which is made if there is none yet.
    ///
    /// # Errors
    /// There is no OpenGL, or MuJoCo cannot draw with it.
    pub(crate) fn of(model: &Arc<Model>) -> Result<Arc<Renderer>, String> {
        let mut made = model.renderer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(renderer) = made.upgrade() {
            return Ok(renderer);
        }
        let renderer = Arc::new(Renderer(Mutex::new(Drawing::new(model)?)));
        *made = Arc::downgrade(&renderer);
        Ok(renderer)
    }

    /// Draws a simulation of this model, `[HEIGHT, WIDTH, 3]`, on any thread.
    ///
    /// # Errors
    /// EGL's or MuJoCo's.
    pub(crate) fn draw(&self, simulation: &Simulation, camera: Camera) -> Result<Vec<u8>, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).draw(simulation, camera)
    }
}

impl Drawing {
    fn new(model: &Arc<Model>) -> Result<Drawing, String> {
        /// The most shapes in a scene, as in Gymnasium.
        const SHAPES: i32 = 1000;
        const FONT_SCALE: i32 = 150;
        const OFF_SCREEN: i32 = 1;
        let gl = Context::new()?;
        let mut simulation = Simulation::new(model.clone())?;
        simulation.reset(|_, _| {})?;
        let layout = &model.library.layout.visual;
        let mut drawing = Drawing {
            middle: std::array::from_fn(|axis| {
                median(simulation.shapes().map(|shape| shape.position[axis]).collect())
            }),
            simulation,
            option: Block::new(layout.option),
            scene: Block::new(layout.scene),
            context: Block::new(layout.context),
            made: false,
            gl,
        };
        let library = model.library;
        let (option, scene, context) = (drawing.option.raw(), drawing.scene.raw(), drawing.context.raw());
        let current = drawing.gl.current()?;
        // SAFETY: the structures have this version's sizes, the model is valid, and an OpenGL context is current.
        let made = guarded(|| unsafe {
            (library.default_option)(option);
            (library.default_scene)(scene);
            (library.make_scene)(model.raw, scene, SHAPES);
            (library.default_context)(context);
            (library.make_context)(model.raw, context, FONT_SCALE);
            (library.set_buffer)(OFF_SCREEN, context);
        });
        drop(current);
        made.map_err(|error| format!("MuJoCo cannot draw with this OpenGL: {error}"))?;
        drawing.made = true;
        Ok(drawing)
    }

    fn draw(&mut self, simulation: &Simulation, camera: Camera) -> Result<Vec<u8>, String> {
        const ALL: i32 = 7;
        let mut camera = self.camera(camera)?;
        self.simulation.copy(simulation)?;
        let (library, model) = (self.simulation.model.library, self.simulation.model.raw);
        let (option, scene, context) = (self.option.raw(), self.scene.raw(), self.context.raw());
        let whole = Rectangle { left: 0, bottom: 0, width: WIDTH as i32, height: HEIGHT as i32 };
        let mut pixels = vec![0; WIDTH * HEIGHT * 3];
        let _current = self.gl.current()?;
        // SAFETY: `new` made the structures, the data is the model's, and there is space for the rectangle's pixels.
        self.simulation.attempt(|data| unsafe {
            let none = std::ptr::null_mut();
            (library.update_scene)(model, data, option, none, camera.raw(), ALL, scene);
            (library.render)(whole, scene, context);
            (library.read_pixels)(pixels.as_mut_ptr(), std::ptr::null_mut(), whole, context);
        })?;
        // OpenGL's first row is the lowest.
        Ok(pixels.chunks_exact(WIDTH * 3).rev().flatten().copied().collect())
    }

    /// Makes an `mjvCamera`.
    fn camera(&self, camera: Camera) -> Result<Block, String> {
        const FREE: i32 = 0;
        const FIXED: i32 = 2;
        let model = &self.simulation.model;
        let layout = &model.library.layout.visual;
        let mut block = Block::new(layout.camera);
        let raw = block.raw();
        // SAFETY: the offsets are this version's.
        unsafe {
            guarded(|| (model.library.default_camera)(raw))?;
            let kind = raw.byte_add(layout.camera_type).cast::<i32>();
            match camera {
                Camera::Named(name) => {
                    let id = raw.byte_add(layout.camera_fixedcamid).cast::<i32>();
                    (*kind, *id) = (FIXED, model.camera(name)? as i32);
                }
                Camera::Free { distance, lookat } => {
                    *kind = FREE;
                    *raw.byte_add(layout.camera_distance).cast() = distance.unwrap_or(model.extent());
                    *raw.byte_add(layout.camera_lookat).cast() = lookat.unwrap_or(self.middle);
                }
            }
        }
        Ok(block)
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        let library = self.simulation.model.library;
        let (scene, context) = (self.scene.raw(), self.context.raw());
        // SAFETY: nothing else refers to them; a scene that was not made is all zeros.
        let _ = guarded(|| unsafe { (library.free_scene)(scene) });
        // OpenGL's own objects are freed with its context.
        if self.made
            && let Ok(_current) = self.gl.current()
        {
            // SAFETY: as above, and the OpenGL context is current.
            let _ = guarded(|| unsafe { (library.free_context)(context) });
        }
    }
}

/// Memory for one of MuJoCo's structures: zeros, aligned as `offsets.c` asserts.
struct Block(Box<[u64]>);

impl Block {
    fn new(bytes: usize) -> Block {
        Block(vec![0; bytes.div_ceil(8)].into())
    }

    fn raw(&mut self) -> Raw {
        self.0.as_mut_ptr().cast()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
    (at(values.len().saturating_sub(1) / 2) + at(values.len() / 2)) / 2.0
}
