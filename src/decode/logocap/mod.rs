//! LOGO-CAP after the network: candidates from the centre map, initial poses from the offsets, and their refinement by
//! each keypoint's own attraction kernel ("Learning Local-Global Contextual Adaptation for Fully End-to-End Bottom-Up
//! Human Pose Estimation").
//!
//! A frame goes through a [`Decoder`] and a [`Workspace`] in this order:
//!
//! 1. [`Decoder::find_candidates`]: centres and initial poses from `heatmaps` and `offsets`;
//! 2. [`Decoder::write_grid`]: where the second engine samples the embedding, for a range of candidates;
//! 3. [`Decoder::refine`]: kernels from the second engine, heatmaps from the first, one candidate at a time;
//! 4. [`Decoder::finish`]: scores, pose NMS, picture coordinates.
//!
//! Coordinates are network pixels unless said otherwise. Section numbers (1.5, ...) in this module are those of the
//! description of the reference implementation that the project follows.

mod config;
mod finish;
mod kernel;
mod mesh;
mod window;
mod workspace;

pub use config::{Config, ConfigError, Level, ZeroKernel};
pub use workspace::{Candidate, RefinedKeypoint, Report, Workspace};

use super::heatmap;
use super::maps::{Maps, ShapeError};

/// Most candidates per frame.
pub const MAX_CANDIDATES: usize = crate::pose::MAX_POSES;
/// Most keypoints of a person.
pub const MAX_JOINTS: usize = 32;
/// Largest radius of the kernels' mesh, in cells.
pub const MAX_MESH_RADIUS: usize = 5;
/// Largest radius of the window around an initial keypoint, in network pixels.
pub const MAX_WINDOW_RADIUS: usize = 48;

/// Side of the largest kernel.
const MAX_MESH: usize = 2 * MAX_MESH_RADIUS + 1;
/// Side of the largest window.
const MAX_WINDOW: usize = 2 * MAX_WINDOW_RADIUS + 1;

/// LOGO-CAP's post-processing with all its constants; shared by any number of workspaces.
#[derive(Debug, Clone)]
pub struct Decoder {
    config: Config,
    /// Distance of two mesh points, per keypoint (section 1.7).
    spacing: [f32; MAX_JOINTS],
    /// One axis of the Gaussian around the initial keypoint (section 1.11), from one end of the window to the other.
    prior: [f32; MAX_WINDOW],
}

impl Decoder {
    /// Checks the constants and computes what follows from them.
    ///
    /// # Errors
    /// Where a constant is out of range or beyond a capacity.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.check()?;
        let smallest = config.sigmas.iter().copied().fold(f32::INFINITY, f32::min);
        let mut spacing = [1.0; MAX_JOINTS];
        for (spacing, sigma) in spacing.iter_mut().zip(&config.sigmas) {
            *spacing = sigma / smallest;
        }
        let mut prior = [0.0; MAX_WINDOW];
        for (index, value) in prior.iter_mut().take(config.window_side()).enumerate() {
            let distance = index as f32 - config.window_radius as f32;
            *value = libm::expf(-distance * distance / (2.0 * config.prior_sigma * config.prior_sigma));
        }
        Ok(Self { config: config.clone(), spacing, prior })
    }

    /// The constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Finds candidates and their initial poses (sections 1.5 and 1.6), best centre first.
    ///
    /// `heatmaps [keypoints + 1, h, w]`, the centre last; `offsets [2 * keypoints, h, w]`, x and y by turns, in cells,
    /// centre minus keypoint. Starts a new frame: everything in `workspace` is forgotten.
    ///
    /// # Errors
    /// Where the channels are not as many as the keypoints ask for, or the two maps differ in size.
    pub fn find_candidates(
        &self,
        heatmaps: &Maps<'_>,
        offsets: &Maps<'_>,
        workspace: &mut Workspace,
    ) -> Result<(), ShapeError> {
        self.check_heatmaps(heatmaps)?;
        let expect = |quantity, found, expected| {
            if found == expected { Ok(()) } else { Err(ShapeError { tensor: "offsets", quantity, found, expected }) }
        };
        expect("channels", offsets.channels(), 2 * self.config.keypoints())?;
        expect("rows", offsets.height(), heatmaps.height())?;
        expect("columns", offsets.width(), heatmaps.width())?;

        let config = &self.config;
        workspace.begin_frame();
        let centers = heatmaps.plane(config.keypoints());
        let counts = heatmap::peaks(
            &centers,
            config.stride,
            config.center_threshold,
            config.collapse_ties,
            config.candidates,
            &mut workspace.peaks,
        );
        workspace.report.over_capacity += counts.over_capacity;
        workspace.report.not_finite += counts.not_finite;
        if workspace.peaks.is_empty() && config.center_fallback {
            // Cannot fail: the list is empty.
            let _ = workspace.peaks.push(heatmap::highest_peak(&centers, config.stride));
        }
        for index in 0..workspace.peaks.len() {
            let candidate = self.candidate(workspace.peaks[index], offsets);
            // Cannot fail: there are no more peaks than candidates.
            let _ = workspace.candidates.push(candidate);
        }
        Ok(())
    }

    /// The initial pose: offsets are read at the centre's cell, but taken off the centre itself (section 1.6).
    fn candidate(&self, peak: heatmap::Peak, offsets: &Maps<'_>) -> Candidate {
        let stride = self.config.stride;
        let (row, column) = (peak.y / stride, peak.x / stride);
        let mut candidate = Candidate::new(peak.x as f32, peak.y as f32, peak.value);
        let scale = stride as f32;
        for (keypoint, position) in candidate.initial.iter_mut().enumerate().take(self.config.keypoints()) {
            let offset = |axis| offsets.plane(2 * keypoint + axis).at(row, column);
            *position = ((peak.x as f32 / scale - offset(0)) * scale, (peak.y as f32 / scale - offset(1)) * scale);
        }
        candidate
    }

    fn check_heatmaps(&self, heatmaps: &Maps<'_>) -> Result<(), ShapeError> {
        let (found, expected) = (heatmaps.channels(), self.config.keypoints() + 1);
        if found == expected {
            Ok(())
        } else {
            Err(ShapeError { tensor: "heatmaps", quantity: "channels", found, expected })
        }
    }
}
