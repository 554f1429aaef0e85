//! Keeps one pose of every cluster of near duplicates.

use heapless::Vec;

use super::square_root;
use crate::pose::{Keypoint, MAX_POSES, Pose};

/// When two poses are duplicates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoseNms {
    /// Keypoints nearer than this fraction of the pose's diagonal coincide.
    pub distance: f32,
    /// Poses are duplicates if more than this many keypoints coincide.
    pub keypoints: usize,
}

impl PoseNms {
    /// The rows of `poses` that stay, in the order in which they are chosen (`docs/algorithms.md`, LOGO-CAP
    /// 8).
    ///
    /// `poses` come in order of descending centre value. Each that was not set aside gathers its cluster, all poses
    /// that are the same by its own diagonal; the cluster's best score stays (the first on ties; those that were set
    /// aside compete too) and the cluster is set aside. Where the best was set aside before, nothing stays and nothing
    /// is set aside. A pose without extent has an empty cluster.
    pub fn keep(&self, poses: &[Pose]) -> Vec<usize, MAX_POSES> {
        let mut keep = Vec::new();
        let mut aside = [false; MAX_POSES];
        let poses = &poses[..poses.len().min(MAX_POSES)];
        for (row, pose) in poses.iter().enumerate() {
            if aside[row] {
                continue;
            }
            let limit = self.distance * diagonal(pose);
            let mut cluster = [false; MAX_POSES];
            let mut best: Option<usize> = None;
            for (other, candidate) in poses.iter().enumerate() {
                if self.coincide(pose, candidate, limit) {
                    cluster[other] = true;
                    if best.is_none_or(|best| candidate.score > poses[best].score) {
                        best = Some(other);
                    }
                }
            }
            let Some(best) = best.filter(|&best| !aside[best]) else { continue };
            // There are at most as many winners as poses.
            let _ = keep.push(best);
            for (aside, &member) in aside.iter_mut().zip(&cluster) {
                *aside |= member;
            }
        }
        keep
    }

    fn coincide(&self, pose: &Pose, other: &Pose, limit: f32) -> bool {
        let near = |(a, b): &(&Keypoint, &Keypoint)| {
            let (x, y) = (a.x - b.x, a.y - b.y);
            square_root(x * x + y * y) < limit
        };
        pose.keypoints.iter().zip(&other.keypoints).filter(near).count() > self.keypoints
    }
}

/// Poses are duplicates if their object keypoint similarity is above a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimilarityNms<'a> {
    /// The limit, 0 to 1.
    pub similarity: f32,
    /// OKS sigmas, one per keypoint.
    pub sigmas: &'a [f32],
}

impl SimilarityNms<'_> {
    /// Those of `rows` whose pose is not a duplicate of one kept before it. `rows` are indices into `poses`, best first.
    pub fn keep(&self, poses: &[Pose], rows: &[usize]) -> Vec<usize, MAX_POSES> {
        let mut keep: Vec<usize, MAX_POSES> = Vec::new();
        for &row in rows {
            let Some(pose) = poses.get(row) else { continue };
            if !keep.iter().any(|&better| self.similarity(&poses[better], pose) > self.similarity) {
                // There is room for as many rows as poses.
                let _ = keep.push(row);
            }
        }
        keep
    }

    /// The mean over keypoints of `exp(-d^2 / (2 a (2 sigma)^2))`; the area `a` is that of the box around `pose`.
    fn similarity(&self, pose: &Pose, other: &Pose) -> f32 {
        let area = pose.bounds().map_or(0.0, |bounds| bounds.width * bounds.height);
        // One pixel at least, so that poses without extent compare too.
        let area = if area > 1.0 { area } else { 1.0 };
        let mut sum = 0.0;
        let mut count = 0;
        for ((a, b), sigma) in pose.keypoints.iter().zip(&other.keypoints).zip(self.sigmas) {
            let (x, y) = (a.x - b.x, a.y - b.y);
            sum += libm::expf(-(x * x + y * y) / (8.0 * area * sigma * sigma));
            count += 1;
        }
        if count == 0 { 0.0 } else { sum / count as f32 }
    }
}

/// Length of the diagonal of the box around all keypoints.
fn diagonal(pose: &Pose) -> f32 {
    pose.bounds().map_or(0.0, |bounds| square_root(bounds.width * bounds.width + bounds.height * bounds.height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec as List;

    const RULE: PoseNms = PoseNms { distance: 0.05, keypoints: 8 };

    /// 17 keypoints on a slanted line of length 100, moved to the right by `x`.
    fn pose(x: f32, score: f32) -> Pose {
        let keypoints = (0..17).map(|k| Keypoint { x: x + 3.75 * k as f32, y: 5.0 * k as f32, score }).collect();
        Pose { keypoints, score, ..Pose::default() }
    }

    fn keep(poses: &[Pose]) -> List<usize> {
        RULE.keep(poses).to_vec()
    }

    #[test]
    fn the_best_of_each_cluster_stays() {
        let poses = [pose(0.0, 0.5), pose(1.0, 0.8), pose(200.0, 0.6), pose(2.0, 0.8), pose(203.0, 0.4)];
        assert_eq!(keep(&poses), [1, 2]);
    }

    #[test]
    fn the_limit_is_strict_and_counts_keypoints() {
        let mut apart = pose(0.0, 0.9);
        // 9 of 17 stay where they are: just enough to be the same.
        for keypoint in &mut apart.keypoints[9..] {
            keypoint.y += 1000.0;
        }
        assert_eq!(keep(&[pose(0.0, 0.5), apart.clone()]), [1]);
        apart.keypoints[8].y += 1000.0;
        assert_eq!(keep(&[pose(0.0, 0.5), apart]), [0, 1]);
        // The diagonal is 100, hence the limit 5 pixels.
        assert_eq!(keep(&[pose(0.0, 0.5), pose(4.99, 0.4)]), [0]);
        assert_eq!(keep(&[pose(0.0, 0.5), pose(5.01, 0.4)]), [0, 1]);
    }

    #[test]
    fn a_cluster_whose_best_was_set_aside_keeps_none() {
        // 0 keeps 1. Then 2 meets 1 again, which is still the best: 2 is neither kept nor set aside.
        let mut poses = [pose(0.0, 0.5), pose(4.0, 0.9), pose(8.0, 0.7), pose(12.0, 0.6)];
        assert_eq!(keep(&poses[..3]), [1]);
        // 3 brings 2 back.
        assert_eq!(keep(&poses), [1, 2]);
        poses[3].score = 0.75;
        assert_eq!(keep(&poses), [1, 3]);
    }

    #[test]
    fn a_point_is_dropped() {
        let mut point = pose(0.0, 0.5);
        for keypoint in &mut point.keypoints {
            (keypoint.x, keypoint.y) = (3.0, 4.0);
        }
        assert_eq!(keep(&[point]), [0usize; 0]);
        assert_eq!(keep(&[]), [0usize; 0]);
    }

    #[test]
    fn similar_poses_are_one() {
        let sigmas = [0.1; 17];
        let nms = SimilarityNms { similarity: 0.75, sigmas: &sigmas };
        let poses = [pose(0.0, 0.5), pose(1.0, 0.8), pose(200.0, 0.6), pose(12.0, 0.4)];
        assert_eq!(nms.keep(&poses, &[1, 2, 0, 3]), [1, 2, 3]);
        // The box has 60 by 80 pixels, so 11 pixels apart mean exp(-121 / 384).
        assert!((nms.similarity(&poses[1], &poses[3]) - (-121.0f32 / 384.0).exp()).abs() < 1e-6);
        assert_eq!(nms.keep(&poses, &[]), [0usize; 0]);
    }

    #[test]
    fn equal_scores_keep_the_first() {
        assert_eq!(keep(&[pose(0.0, 0.5), pose(0.0, 0.5)]), [0]);
    }
}
