//! Where an enrolled keypoint is most likely, from its similarity to every cell.

use super::{CELLS, TOKENS};

/// A first guess and two measures of its certainty. The network gives no confidence; these stand in for it and are **not
/// calibrated**.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// Column in the crop, 0 to 1.
    pub x: f32,
    /// Row in the crop, 0 to 1.
    pub y: f32,
    /// Share of the softmax over all cells that lies in the window around the best.
    pub mass: f32,
    /// By how much the best cell exceeds the best one outside the window.
    pub gap: f32,
}

/// The mean of the best cell and its neighbours, by their softmax (eq. 2 and 3, CapeFormer 5); of equal cells the first is the best.
/// `None` if a number is not finite.
pub fn propose(similarity: &[f32; TOKENS]) -> Option<Proposal> {
    if !similarity.iter().all(|value| value.is_finite()) {
        return None;
    }
    let mut best = 0;
    for (cell, &value) in similarity.iter().enumerate() {
        if value > similarity[best] {
            best = cell;
        }
    }
    let (column, row) = (best % CELLS, best / CELLS);
    let highest = f64::from(similarity[best]);
    let (mut x, mut y, mut window, mut all) = (0.0, 0.0, 0.0, 0.0);
    let mut elsewhere = f64::NEG_INFINITY;
    for (cell, &value) in similarity.iter().enumerate() {
        let (cell_column, cell_row) = (cell % CELLS, cell / CELLS);
        let weight = libm::exp(f64::from(value) - highest);
        all += weight;
        if cell_column.abs_diff(column) <= 1 && cell_row.abs_diff(row) <= 1 {
            window += weight;
            x += weight * (cell_column as f64 + 0.5);
            y += weight * (cell_row as f64 + 0.5);
        } else {
            elsewhere = elsewhere.max(f64::from(value));
        }
    }
    // The window holds the best cell, whose weight is 1.
    let place = |sum: f64| (sum / window / CELLS as f64) as f32;
    Some(Proposal { x: place(x), y: place(y), mass: (window / all) as f32, gap: (highest - elsewhere) as f32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_flat_map_proposes_the_first_corner() {
        let proposal = propose(&[3.0; TOKENS]).unwrap();
        assert_eq!((proposal.x, proposal.y, proposal.gap), (0.125, 0.125, 0.0));
        assert!((proposal.mass - 4.0 / 64.0).abs() < 1e-6);
    }

    #[test]
    fn a_sharp_peak_is_the_middle_of_its_cell() {
        let mut similarity = [0.0; TOKENS];
        similarity[3 * CELLS + 5] = 60.0;
        let proposal = propose(&similarity).unwrap();
        assert_eq!((proposal.x, proposal.y, proposal.gap), (5.5 / 8.0, 3.5 / 8.0, 60.0));
        assert!(proposal.mass > 0.999);
        similarity[9] = f32::NAN;
        assert_eq!(propose(&similarity), None);
    }

    proptest! {
        #[test]
        fn proposals_lie_in_the_crop(values in prop::collection::vec(any::<f32>(), TOKENS)) {
            let similarity: [f32; TOKENS] = values.try_into().unwrap();
            if let Some(Proposal { x, y, mass, gap }) = propose(&similarity) {
                prop_assert!((0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y));
                prop_assert!((0.0..=1.000_1).contains(&mass) && gap >= 0.0);
            }
        }
    }
}
