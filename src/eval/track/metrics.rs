//! HOTA, MOTA and IDF1 from the similarities of true and found people in every frame.
//!
//! The rules are those of TrackEval, so that figures can be compared with published ones.

use std::collections::HashMap;

use super::assignment::assign;

/// Tolerance when similarities are compared with limits.
const EPSILON: f64 = f64::EPSILON;
/// The similarity from which on two people match, for CLEAR and identity.
const SAME: f64 = 0.5;
/// Localisation thresholds of HOTA: 0.05 to 0.95.
const ALPHAS: usize = 19;

/// One frame: true people, found people, and the similarity of each pair.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrackFrame {
    /// Identities of the true people.
    pub truth: Vec<u64>,
    /// Identities of the found people.
    pub found: Vec<u64>,
    /// A row per true person, a column per found one, each 0 to 1.
    pub similarity: Vec<Vec<f64>>,
}

/// The figures of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TrackFigures {
    /// Higher order tracking accuracy, mean over the thresholds (Luiten et al., IJCV 2021).
    pub hota: f64,
    /// Its detection part.
    pub det_a: f64,
    /// Its association part.
    pub ass_a: f64,
    /// Multiple object tracking accuracy (Bernardin and Stiefelhagen, 2008).
    pub mota: f64,
    /// Identity F1 (Ristani et al., 2016).
    pub idf1: f64,
    /// Number of times that a true person's identity changed.
    pub switches: usize,
    /// True people that were not found.
    pub misses: usize,
    /// Found people that are not there.
    pub false_positives: usize,
    /// True people in all frames.
    pub truths: usize,
}

/// True people, found people, and the similarity of each pair.
type NumberedFrame<'a> = (Vec<usize>, Vec<usize>, &'a [Vec<f64>]);

/// Frames with identities numbered from 0.
struct Numbered<'a> {
    frames: Vec<NumberedFrame<'a>>,
    truths: usize,
    found: usize,
}

impl<'a> Numbered<'a> {
    fn new(frames: &'a [TrackFrame]) -> Self {
        let (mut truths, mut found) = (HashMap::new(), HashMap::new());
        fn number(ids: &[u64], numbers: &mut HashMap<u64, usize>) -> Vec<usize> {
            let mut of = |id: &u64| {
                let next = numbers.len();
                *numbers.entry(*id).or_insert(next)
            };
            ids.iter().map(&mut of).collect()
        }
        let frames = (frames.iter())
            .map(|frame| (number(&frame.truth, &mut truths), number(&frame.found, &mut found), &frame.similarity[..]))
            .collect();
        Self { frames, truths: truths.len(), found: found.len() }
    }
}

/// The figures of a sequence of frames.
pub fn figures(frames: &[TrackFrame]) -> TrackFigures {
    let numbered = Numbered::new(frames);
    let mut figures = TrackFigures::default();
    clear(&numbered, &mut figures);
    identity(&numbered, &mut figures);
    hota(&numbered, &mut figures);
    figures
}

fn clear(numbered: &Numbered<'_>, figures: &mut TrackFigures) {
    // The match of every true person, the last one and that of the previous frame.
    let mut last = vec![None; numbered.truths];
    let mut before = vec![None; numbered.truths];
    let mut matches = 0;
    for (truth, found, similarity) in &numbered.frames {
        figures.truths += truth.len();
        if truth.is_empty() {
            figures.false_positives += found.len();
            continue;
        }
        if found.is_empty() {
            figures.misses += truth.len();
            continue;
        }
        // Matches of the previous frame are kept if possible.
        let gain = |row: usize, column: usize| {
            let value = similarity[row][column];
            if value < SAME - EPSILON {
                return 0.0;
            }
            value + if before[truth[row]] == Some(found[column]) { 1000.0 } else { 0.0 }
        };
        let gains: Vec<Vec<f64>> =
            (0..truth.len()).map(|row| (0..found.len()).map(|column| gain(row, column)).collect()).collect();
        let mut now = vec![None; numbered.truths];
        let mut matched = 0;
        for (row, column) in assign(&gains).into_iter().enumerate() {
            let Some(column) = column.filter(|&column| gains[row][column] > EPSILON) else { continue };
            let (person, identity) = (truth[row], found[column]);
            figures.switches += usize::from(last[person].is_some_and(|other| other != identity));
            last[person] = Some(identity);
            now[person] = Some(identity);
            matched += 1;
        }
        before = now;
        matches += matched;
        figures.misses += truth.len() - matched;
        figures.false_positives += found.len() - matched;
    }
    let good = matches as f64 - figures.false_positives as f64 - figures.switches as f64;
    figures.mota = good / figures.truths.max(1) as f64;
}

fn identity(numbered: &Numbered<'_>, figures: &mut TrackFigures) {
    let mut shared = vec![vec![0.0; numbered.found]; numbered.truths];
    let (mut truths, mut given) = (0, 0);
    for (truth, found, similarity) in &numbered.frames {
        truths += truth.len();
        given += found.len();
        for (row, &person) in truth.iter().enumerate() {
            for (column, &identity) in found.iter().enumerate() {
                if similarity[row][column] >= SAME {
                    shared[person][identity] += 1.0;
                }
            }
        }
    }
    // Frames that an identity and a person do not share are lost either way, so maximising shared ones minimises losses.
    let matched: f64 =
        assign(&shared).iter().zip(&shared).filter_map(|(column, row)| column.map(|column| row[column])).sum();
    figures.idf1 = 2.0 * matched / (truths + given).max(1) as f64;
}

fn hota(numbered: &Numbered<'_>, figures: &mut TrackFigures) {
    let mut potential = vec![vec![0.0; numbered.found]; numbered.truths];
    let (mut truth_counts, mut found_counts) = (vec![0.0; numbered.truths], vec![0.0; numbered.found]);
    for (truth, found, similarity) in &numbered.frames {
        let row_sums: Vec<f64> = similarity.iter().map(|row| row.iter().sum()).collect();
        let column_sums: Vec<f64> =
            (0..found.len()).map(|column| similarity.iter().map(|row| row[column]).sum()).collect();
        for (row, &person) in truth.iter().enumerate() {
            for (column, &identity) in found.iter().enumerate() {
                let whole = row_sums[row] + column_sums[column] - similarity[row][column];
                if whole > EPSILON {
                    potential[person][identity] += similarity[row][column] / whole;
                }
            }
            truth_counts[person] += 1.0;
        }
        found.iter().for_each(|&identity| found_counts[identity] += 1.0);
    }
    let aligned = |person: usize, identity: usize| {
        let shared = potential[person][identity];
        shared / (truth_counts[person] + found_counts[identity] - shared)
    };
    let mut shared = vec![HashMap::<(usize, usize), f64>::new(); ALPHAS];
    let mut positives = [0.0_f64; ALPHAS];
    let (mut truths, mut given) = (0.0, 0.0);
    for (truth, found, similarity) in &numbered.frames {
        truths += truth.len() as f64;
        given += found.len() as f64;
        let gain = |row: usize, column: usize| aligned(truth[row], found[column]) * similarity[row][column];
        let gains: Vec<Vec<f64>> =
            (0..truth.len()).map(|row| (0..found.len()).map(|column| gain(row, column)).collect()).collect();
        for (row, column) in assign(&gains).into_iter().enumerate() {
            let Some(column) = column else { continue };
            for (index, (shared, positives)) in shared.iter_mut().zip(&mut positives).enumerate() {
                if similarity[row][column] >= alpha(index) - EPSILON {
                    *positives += 1.0;
                    *shared.entry((truth[row], found[column])).or_default() += 1.0;
                }
            }
        }
    }
    for (shared, positives) in shared.iter().zip(positives) {
        let of = |(&(person, identity), &count): (&(usize, usize), &f64)| {
            count * count / (truth_counts[person] + found_counts[identity] - count).max(1.0)
        };
        // Summed in order, so that the last digit does not change from run to run.
        let mut parts: Vec<_> = shared.iter().collect();
        parts.sort_by_key(|(pair, _)| **pair);
        let ass_a = parts.into_iter().map(of).sum::<f64>() / positives.max(1.0);
        let det_a = positives / (truths + given - positives).max(1.0);
        figures.ass_a += ass_a / ALPHAS as f64;
        figures.det_a += det_a / ALPHAS as f64;
        figures.hota += (det_a * ass_a).sqrt() / ALPHAS as f64;
    }
}

/// Threshold `index` of HOTA, as NumPy's `arange(0.05, 0.99, 0.05)` has it.
fn alpha(index: usize) -> f64 {
    0.05 + index as f64 * 0.05
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(truth: &[u64], found: &[u64], similarity: &[&[f64]]) -> TrackFrame {
        TrackFrame {
            truth: truth.to_vec(),
            found: found.to_vec(),
            similarity: similarity.iter().map(|row| row.to_vec()).collect(),
        }
    }

    #[test]
    fn what_is_right_scores_1() {
        let frames = vec![frame(&[7, 9], &[1, 2], &[&[1.0, 0.0], &[0.0, 1.0]]); 5];
        let found = figures(&frames);
        assert!([found.hota, found.mota, found.idf1].iter().all(|value| (value - 1.0).abs() < 1e-12), "{found:?}");
        assert_eq!((found.switches, found.misses, found.false_positives, found.truths), (0, 0, 0, 10));
    }

    #[test]
    fn a_switch_by_hand() {
        let frames: Vec<_> = [1, 1, 2, 2].iter().map(|&id| frame(&[7], &[id], &[&[0.8]])).collect();
        let found = figures(&frames);
        assert_eq!(found.switches, 1);
        assert!((found.mota - 0.75).abs() < 1e-12 && (found.idf1 - 0.5).abs() < 1e-12, "{found:?}");
        // 16 thresholds up to 0.8; each half of the matches has 2 of 4 frames in common.
        assert!((found.det_a - 16.0 / 19.0).abs() < 1e-12 && (found.ass_a - 0.5 * 16.0 / 19.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_no_fault() {
        assert_eq!(figures(&[]), TrackFigures::default());
        let found = figures(&[frame(&[], &[3], &[]), frame(&[1], &[], &[&[]])]);
        assert_eq!((found.misses, found.false_positives, found.mota), (1, 1, -1.0));
    }
}
