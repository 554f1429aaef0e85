//! CapeFormer's steps outside its networks: crops, features of the enrolled keypoints, proposals, image coordinates.
//!
//! At enrolment, for each image that shows the keypoints of a category: [`Crop::around`], the network's tokens, and
//! [`support_weights`] of each keypoint, by which [`pool`] gathers its features. On every frame: [`Crop::around`], the
//! network's tokens, similarities of every enrolled keypoint and every cell, [`propose`], the network's refinement, and
//! [`Crop::image_from_mask`]; a [`Workspace`] takes these last steps for a whole template. [`write_identity`] makes the
//! keypoints' identifiers.
//!
//! `docs/algorithms.md` defines the steps ("CapeFormer 3"). The token map has 8 by 8 cells, numbered row by row.

mod config;
mod crop;
mod found;
mod identity;
mod proposal;
mod support;

pub use config::{Config, HiddenRule};
pub use crop::Crop;
pub use found::{Finiteness, Workspace};
pub use identity::write_identity;
pub use proposal::{Proposal, propose};
pub use support::{pool, support_weights};

/// Cells on a side of the token map.
pub const CELLS: usize = 8;
/// Tokens of an image.
pub const TOKENS: usize = CELLS * CELLS;
/// Pixels of a crop's side.
pub const CROP: usize = 256;
/// Number of identifiers; a keypoint's index is below.
pub const SLOTS: usize = 100;
