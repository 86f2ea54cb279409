//! The offsets of the fields that the plugin uses. MuJoCo's structures change with every version, and its functions do
//! not reach everything that an environment observes.

/// The offsets in one version of MuJoCo, in bytes. `offsets/generate` writes them.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The result of `mj_version`.
    pub(crate) version: i32,
    /// `mjSTATE_INTEGRATION`: the components of the state that a simulation needs to continue to the bit.
    pub(crate) state: u32,
    pub(crate) model: ModelLayout,
    pub(crate) data: DataLayout,
    pub(crate) visual: VisualLayout,
}

/// Offsets in `mjModel`.
#[derive(Debug)]
pub(crate) struct ModelLayout {
    /// The size of `nq` and the other counts, which are `int`s, or `int64_t`s in later versions.
    pub(crate) size_of_counts: usize,
    pub(crate) nq: usize,
    pub(crate) nv: usize,
    pub(crate) nu: usize,
    pub(crate) nbody: usize,
    pub(crate) ngeom: usize,
    pub(crate) nsite: usize,
    pub(crate) timestep: usize,
    pub(crate) extent: usize,
    pub(crate) body_mass: usize,
    pub(crate) actuator_ctrlrange: usize,
    pub(crate) geom_type: usize,
    pub(crate) geom_size: usize,
    pub(crate) geom_rgba: usize,
}

/// Offsets in `mjData`.
#[derive(Debug)]
pub(crate) struct DataLayout {
    pub(crate) qpos: usize,
    pub(crate) qvel: usize,
    pub(crate) ctrl: usize,
    pub(crate) xpos: usize,
    pub(crate) xipos: usize,
    pub(crate) site_xpos: usize,
    pub(crate) geom_xpos: usize,
    pub(crate) geom_xmat: usize,
    pub(crate) cinert: usize,
    pub(crate) cvel: usize,
    pub(crate) qfrc_actuator: usize,
    pub(crate) qfrc_constraint: usize,
    pub(crate) cfrc_ext: usize,
    /// The counters of bad positions, velocities, accelerations and controls.
    pub(crate) bad: [usize; 4],
}

/// Sizes and offsets of the renderer's structures, for which the caller allocates memory.
#[derive(Debug)]
pub(crate) struct VisualLayout {
    /// The sizes of `mjvOption`, `mjvCamera`, `mjvScene` and `mjrContext`.
    pub(crate) option: usize,
    pub(crate) camera: usize,
    pub(crate) scene: usize,
    pub(crate) context: usize,
    /// Offsets in `mjvCamera`.
    pub(crate) camera_type: usize,
    pub(crate) camera_fixedcamid: usize,
    pub(crate) camera_lookat: usize,
    pub(crate) camera_distance: usize,
}

/// The versions that the plugin supports, by the name of their release.
pub(crate) const KNOWN: [(&str, Layout); 5] = [
    ("2.3.7", include!("../offsets/2.3.7.rs")),
    ("3.1.6", include!("../offsets/3.1.6.rs")),
    ("3.2.7", include!("../offsets/3.2.7.rs")),
    ("3.3.7", include!("../offsets/3.3.7.rs")),
    ("3.17.0", include!("../offsets/3.17.0.rs")),
];
