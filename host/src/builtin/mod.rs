//! Learners and objectives that come with the host. They reach the engine as third parties' do: as traces.

pub mod mlp;
pub mod ppmo;
