//! A frame full of people, as LOGO-CAP's networks would see it.

use sinew::decode::Maps;
use sinew::decode::logocap::{Decoder, Inputs, Refinement, Workspace};
use sinew::geometry::Size;
use sinew::sink::{Category, OutputSchema};

/// People in it.
pub const PEOPLE: usize = 30;
/// Keypoints of each.
pub const KEYPOINTS: usize = 17;
/// Cells of the maps: those of a network of 352 by 256 pixels.
pub const CELLS: Size = Size::new(88, 64);

/// Network outputs for a full frame: 30 people on a lattice, their keypoints around them.
pub struct Outputs {
    pub heatmaps: Vec<f32>,
    pub offsets: Vec<f32>,
    pub kam: Vec<f32>,
}

/// Those for a decoder.
pub fn outputs(decoder: &Decoder) -> Outputs {
    let area = CELLS.width * CELLS.height;
    let mut heatmaps = vec![0.0; (KEYPOINTS + 1) * area];
    let mut offsets = vec![0.0; 2 * KEYPOINTS * area];
    for person in 0..PEOPLE {
        let (x, y) = (8 + 14 * (person % 6), 6 + 12 * (person / 6));
        heatmaps[KEYPOINTS * area + y * CELLS.width + x] = 0.9 - 0.01 * person as f32;
        for keypoint in 0..KEYPOINTS {
            let (dx, dy) = (keypoint % 5 + 1, keypoint / 5 + 1);
            heatmaps[keypoint * area + (y - dy) * CELLS.width + x - dx] = 0.8;
            offsets[2 * keypoint * area + y * CELLS.width + x] = dx as f32;
            offsets[(2 * keypoint + 1) * area + y * CELLS.width + x] = dy as f32;
        }
    }
    let kam = (0..decoder.kam_len(PEOPLE)).map(|index| (index % 7) as f32 / 7.0).collect();
    Outputs { heatmaps, offsets, kam }
}

impl Outputs {
    /// As the decoder takes them.
    pub fn inputs(&self, decoder: &Decoder) -> Inputs<'_> {
        let maps = |name, data, count| Maps::new(name, data, [count, CELLS.height, CELLS.width]).unwrap();
        let heatmaps = maps("heatmaps", &self.heatmaps, KEYPOINTS + 1);
        decoder.inputs(heatmaps, maps("offsets", &self.offsets, 2 * KEYPOINTS)).unwrap()
    }
}

/// What a sink is told of the poses in it.
pub fn schema() -> OutputSchema {
    let keypoints = (0..KEYPOINTS).map(|keypoint| format!("keypoint_{keypoint}")).collect();
    let categories = vec![Category { keypoints, ..Category::default() }];
    OutputSchema { categories, poses: PEOPLE, ..OutputSchema::default() }
}

/// All of LOGO-CAP's post-processing but its last step.
pub fn decode(
    decoder: &Decoder,
    level: Refinement,
    inputs: &Inputs<'_>,
    kam: &[f32],
    grid: &mut [f32],
    workspace: &mut Workspace,
) {
    decoder.find_centers(inputs, workspace);
    decoder.initial_poses(inputs, workspace);
    let people = 0..workspace.centers().len();
    match level {
        Refinement::None => decoder.score_initial(inputs, workspace),
        Refinement::Partial | Refinement::Full => {
            decoder.write_grid(inputs, people.clone(), workspace, grid).unwrap();
            let kam = &kam[..decoder.kam_len(people.len())];
            match level {
                Refinement::Partial => decoder.refine_locally(people, kam, workspace).unwrap(),
                _ => decoder.refine(inputs, people, kam, workspace).unwrap(),
            }
        }
    }
}
