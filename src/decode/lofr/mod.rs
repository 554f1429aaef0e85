//! LOFR's pre- and post-processing: crops, the place of every keypoint in its response map, and image coordinates.
//!
//! There is no reference implementation. What the paper leaves open is decided here, and in `models/networks/lofr.py`: a keypoint
//! lies in the highest cell of its map, moved by a quarter of a cell towards the higher neighbour on either axis; of
//! several equally high cells, in the mean of them all, so that a map without any peak says the middle. Its score is the
//! sigmoid of the network's presence.

mod crop;

pub use crop::Crop;

use crate::decode::maps::Expected;
use crate::decode::{ConfigError, Map, Maps, ShapeError, sigmoid};
use crate::pose::{Keypoint, MAX_KEYPOINTS, Pose};

/// Cells by which a maximum is moved towards its higher neighbour.
const SHIFT: f64 = 0.25;

/// Hyper-parameters of the decoder: `[decode]` of a bundle.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "std", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Config {
    /// Keypoints of a person.
    #[cfg_attr(feature = "std", serde(skip))]
    pub keypoints: usize,
    /// How much larger a crop is than its box, before it gets the network's aspect.
    #[cfg_attr(feature = "std", serde(alias = "margin"))]
    pub box_padding: f64,
    /// Minimum score of a keypoint that counts; a box without any shows no person.
    pub visible_threshold: f32,
}

/// Turns one crop's network outputs into a pose.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    config: Config,
}

/// Whether a crop shows a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Detections {
    /// A person: the pose was written.
    Person,
    /// No person: no keypoint reaches the threshold.
    None,
    /// A number of the network's output is not finite.
    NotFinite,
}

impl Decoder {
    /// A decoder with these hyper-parameters.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let Config { keypoints, visible_threshold, .. } = *config;
        ConfigError::first([
            ("keypoints.names", "1 to 100 keypoints", (1..=MAX_KEYPOINTS).contains(&keypoints), keypoints as f64),
            (
                "decode.visible_threshold",
                "0 to 1",
                (0.0..=1.0).contains(&visible_threshold),
                f64::from(visible_threshold),
            ),
        ])?;
        Ok(Self { config: *config })
    }

    /// The hyper-parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Writes the keypoints of `response [J, h, w]` with the logits `presence [J]` into `pose`, in image pixels.
    ///
    /// The pose's score is the mean of the scores that count. All keypoints are written, those that do not count with
    /// their low score, so that there is a pose even without a person; the result says whether to show it.
    ///
    /// # Errors
    /// If the shapes are not those of the configuration.
    pub fn locate(
        &self,
        response: &Maps<'_>,
        presence: &[f32],
        crop: &Crop,
        pose: &mut Pose,
    ) -> Result<Detections, ShapeError> {
        let expected = self.config.keypoints;
        let wrong = |tensor, axis, found| ShapeError { tensor, axis, expected: Expected::Exactly(expected), found };
        if response.channels() != expected {
            return Err(wrong("response", "channels", response.channels()));
        }
        if presence.len() != expected {
            return Err(wrong("presence", "values", presence.len()));
        }
        pose.keypoints.clear();
        pose.score = 0.0;
        let (mut sum, mut count) = (0.0, 0);
        for (channel, &logit) in presence.iter().enumerate() {
            let Some((x, y)) = peak(&response.map(channel)).filter(|_| logit.is_finite()) else {
                pose.keypoints.clear();
                return Ok(Detections::NotFinite);
            };
            let (x, y) = crop.image_from_mask(x, y);
            let score = sigmoid(logit);
            if score >= self.config.visible_threshold {
                sum += score;
                count += 1;
            }
            // A pose has room for as many as the configuration may ask for.
            let _ = pose.keypoints.push(Keypoint { x, y, score });
        }
        if count == 0 {
            return Ok(Detections::None);
        }
        pose.score = sum / count as f32;
        Ok(Detections::Person)
    }
}

/// The place of a map's maximum, from 0 to 1; `None` if a value is not finite.
fn peak(map: &Map<'_>) -> Option<(f64, f64)> {
    let size = map.size();
    let (mut best, mut found) = (f32::NEG_INFINITY, (0, 0));
    // Of all cells as high as the best: their number and the sums of their places.
    let (mut ties, mut columns, mut rows) = (0_u64, 0_u64, 0_u64);
    for row in 0..size.height {
        for column in 0..size.width {
            let value = map.row(row)[column];
            if !value.is_finite() {
                return None;
            }
            if value > best {
                (best, found) = (value, (column, row));
                (ties, columns, rows) = (0, 0, 0);
            }
            if value >= best {
                ties += 1;
                columns += column as u64;
                rows += row as u64;
            }
        }
    }
    let place = |cells: f64, count: usize| (cells + 0.5) / count as f64;
    if ties > 1 {
        let mean = |sum: u64| sum as f64 / ties as f64;
        return Some((place(mean(columns), size.width), place(mean(rows), size.height)));
    }
    let (column, row) = found;
    // A cell at the border has no neighbour there.
    let towards = |at: usize, count: usize, value: &dyn Fn(usize) -> f32| {
        if at == 0 || at + 1 >= count {
            return 0.0;
        }
        let (before, after) = (value(at - 1), value(at + 1));
        if after > before {
            SHIFT
        } else if before > after {
            -SHIFT
        } else {
            0.0
        }
    };
    let right = towards(column, size.width, &|column| map.row(row)[column]);
    let down = towards(row, size.height, &|row| map.row(row)[column]);
    Some((place(column as f64 + right, size.width), place(row as f64 + down, size.height)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const WIDTH: usize = 4;
    const HEIGHT: usize = 6;
    const CROP: Crop = Crop { x: 50.0, y: 60.0, width: 40.0, height: 60.0 };

    fn decoder(keypoints: usize) -> Decoder {
        Decoder::new(&Config { keypoints, box_padding: 1.25, visible_threshold: 0.5 }).unwrap()
    }

    fn locate(response: &[f32], presence: &[f32]) -> (Detections, Pose) {
        let mut pose = Pose::default();
        let maps = Maps::new("response", response, [presence.len(), HEIGHT, WIDTH]).unwrap();
        let found = decoder(presence.len()).locate(&maps, presence, &CROP, &mut pose).unwrap();
        (found, pose)
    }

    fn with(cells: &[(usize, usize, f32)]) -> Vec<f32> {
        let mut map = vec![0.0; WIDTH * HEIGHT];
        for &(column, row, value) in cells {
            map[row * WIDTH + column] = value;
        }
        map
    }

    #[test]
    fn a_peak_leans_towards_its_higher_neighbour() {
        let map = with(&[(2, 3, 1.0), (1, 3, 0.5), (2, 4, 0.25)]);
        let (found, pose) = locate(&map, &[0.0]);
        assert_eq!(found, Detections::Person);
        // Cell 2 of 4, a quarter to the left, and cell 3 of 6, a quarter down; a cell has 10 pixels.
        assert_eq!((pose.keypoints[0].x, pose.keypoints[0].y), (30.0 + 22.5, 30.0 + 37.5));
        assert_eq!((pose.keypoints[0].score, pose.score), (0.5, 0.5));
        let corner = locate(&with(&[(0, 0, 1.0), (1, 0, 0.9)]), &[0.0]).1;
        assert_eq!((corner.keypoints[0].x, corner.keypoints[0].y), (35.0, 35.0), "nothing to lean to");
    }

    #[test]
    fn equal_cells_say_their_middle() {
        let pose = locate(&with(&[]), &[3.0]).1;
        assert_eq!((pose.keypoints[0].x, pose.keypoints[0].y), (50.0, 60.0));
        let pose = locate(&with(&[(0, 1, 1.0), (3, 1, 1.0), (0, 4, 1.0), (3, 4, 1.0)]), &[3.0]).1;
        assert_eq!((pose.keypoints[0].x, pose.keypoints[0].y), (50.0, 60.0));
    }

    #[test]
    fn an_absent_person_has_no_pose() {
        let maps = [with(&[(1, 1, 1.0)]), with(&[(2, 2, 1.0)])].concat();
        let (found, pose) = locate(&maps, &[-1.0, -9.0]);
        assert_eq!((found, pose.keypoints.len(), pose.score), (Detections::None, 2, 0.0));
        let (found, pose) = locate(&maps, &[-1.0, 2.0]);
        assert_eq!(found, Detections::Person);
        assert!((pose.score - 0.880_797).abs() < 1e-5, "only what counts");
    }

    #[test]
    fn numbers_that_are_none_give_no_pose() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(locate(&with(&[(1, 1, odd)]), &[1.0]).0, Detections::NotFinite);
            let (found, pose) = locate(&with(&[(1, 1, 1.0)]), &[odd]);
            assert_eq!((found, pose.keypoints.len()), (Detections::NotFinite, 0));
        }
    }

    #[test]
    fn shapes_and_configurations_are_checked() {
        let map = with(&[]);
        let maps = Maps::new("response", &map, [1, HEIGHT, WIDTH]).unwrap();
        assert!(decoder(2).locate(&maps, &[0.0; 2], &CROP, &mut Pose::default()).is_err());
        assert!(decoder(1).locate(&maps, &[0.0; 2], &CROP, &mut Pose::default()).is_err());
        let key = |keypoints, visible_threshold| {
            Decoder::new(&Config { keypoints, box_padding: 1.25, visible_threshold }).unwrap_err().key
        };
        assert_eq!(key(0, 0.5), "keypoints.names");
        assert_eq!(key(101, 0.5), "keypoints.names");
        assert_eq!(key(1, f32::NAN), "decode.visible_threshold");
    }
}
