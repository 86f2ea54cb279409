//! Where the fields lie that the plugin uses: MuJoCo's structures change with every version, and its functions do not
//! reach all of what an environment observes.

/// Offsets in bytes of one version; written by `offsets/generate`.
#[derive(Debug)]
pub(crate) struct Layout {
    /// What `mj_version` answers.
    pub(crate) version: i32,
    /// `mjSTATE_INTEGRATION`: the components of a state from which a simulation goes on to the bit.
    pub(crate) state: u32,
    pub(crate) model: ModelLayout,
    pub(crate) data: DataLayout,
    pub(crate) visual: VisualLayout,
}

/// Of `mjModel`.
#[derive(Debug)]
pub(crate) struct ModelLayout {
    /// Bytes of `nq` and the other counts: an `int`, later an `int64_t`.
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

/// Of `mjData`.
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

/// Of what MuJoCo's renderer works on, for which the caller provides the memory.
#[derive(Debug)]
pub(crate) struct VisualLayout {
    /// Bytes of `mjvOption`, `mjvCamera`, `mjvScene` and `mjrContext`.
    pub(crate) option: usize,
    pub(crate) camera: usize,
    pub(crate) scene: usize,
    pub(crate) context: usize,
    /// In `mjvCamera`.
    pub(crate) camera_type: usize,
    pub(crate) camera_fixedcamid: usize,
    pub(crate) camera_lookat: usize,
    pub(crate) camera_distance: usize,
}

/// The versions that the plugin knows, by the name of their release.
pub(crate) const KNOWN: [(&str, Layout); 5] = [
    ("2.3.7", include!("../offsets/2.3.7.rs")),
    ("3.1.6", include!("../offsets/3.1.6.rs")),
    ("3.2.7", include!("../offsets/3.2.7.rs")),
    ("3.3.7", include!("../offsets/3.3.7.rs")),
    ("3.17.0", include!("../offsets/3.17.0.rs")),
];
