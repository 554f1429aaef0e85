//! Suppression of poses that several candidates found.

use heapless::Vec;

use crate::pose::MAX_POSES;

/// Keeps one pose of every cluster of poses that share most of their keypoints (LOGO-CAP spec, section 1.14).
///
/// `points(i, k)` is keypoint `k` of pose `i`, in the order of descending centre value; `scores` are the poses' scores.
/// Two poses are one if more than `least` keypoints are nearer than `distance` times the diagonal of the first one's
/// box. Of each such cluster the best score stays, unless it was set aside before, in which case the cluster is left
/// to later rows. Returns the rows to keep, in the order of keeping.
///
/// A pose without extent has an empty cluster, even without itself, and is dropped, as in the reference.
pub fn pose_nms(
    keypoints: usize,
    scores: &[f32],
    points: impl Fn(usize, usize) -> (f32, f32),
    distance: f32,
    least: usize,
) -> Vec<u16, MAX_POSES> {
    let count = scores.len().min(MAX_POSES);
    let mut ignored = [false; MAX_POSES];
    let mut keep = Vec::new();
    for row in 0..count {
        if ignored[row] {
            continue;
        }
        let reach = distance * diagonal(keypoints, |k| points(row, k));
        let coincides = |other: usize| {
            let near = |k: &usize| {
                let ((x, y), (other_x, other_y)) = (points(row, *k), points(other, *k));
                libm::sqrtf((x - other_x) * (x - other_x) + (y - other_y) * (y - other_y)) < reach
            };
            (0..keypoints).filter(near).count() > least
        };
        let mut cluster = [false; MAX_POSES];
        let mut best: Option<usize> = None;
        for other in 0..count {
            if coincides(other) {
                cluster[other] = true;
                if best.is_none_or(|best| scores[other] > scores[best]) {
                    best = Some(other);
                }
            }
        }
        let Some(best) = best.filter(|best| !ignored[*best]) else { continue };
        // Cannot fail: a row is kept at most once, and there are no more rows than the capacity.
        let _ = keep.push(best as u16);
        for (ignored, in_cluster) in ignored.iter_mut().zip(cluster) {
            *ignored |= in_cluster;
        }
    }
    keep
}

/// Diagonal of the box around a pose's keypoints.
fn diagonal(keypoints: usize, point: impl Fn(usize) -> (f32, f32)) -> f32 {
    let (mut left, mut right) = (f32::INFINITY, f32::NEG_INFINITY);
    let (mut top, mut bottom) = (f32::INFINITY, f32::NEG_INFINITY);
    for (x, y) in (0..keypoints).map(point) {
        (left, right) = (left.min(x), right.max(x));
        (top, bottom) = (top.min(y), bottom.max(y));
    }
    libm::sqrtf((right - left) * (right - left) + (bottom - top) * (bottom - top))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Poses of 10 keypoints on a diagonal line, shifted by `shift`.
    fn line(shift: f32) -> impl Fn(usize) -> (f32, f32) {
        move |k| (k as f32 * 10.0 + shift, k as f32 * 10.0)
    }

    #[test]
    fn the_best_of_a_cluster_stays() {
        let shifts = [0.0, 1.0, 50.0];
        let keep = pose_nms(10, &[0.5, 0.9, 0.7], |i, k| line(shifts[i])(k), 0.05, 8);
        assert_eq!(keep.as_slice(), &[1, 2]);
    }

    #[test]
    fn a_point_is_no_pose() {
        assert!(pose_nms(10, &[1.0], |_, _| (3.0, 4.0), 0.05, 8).is_empty());
        assert!(pose_nms(10, &[], |_, _| (3.0, 4.0), 0.05, 8).is_empty());
    }

    #[test]
    fn not_a_number_suppresses_nothing() {
        let keep = pose_nms(10, &[1.0, 1.0], |i, k| if i == 0 { (f32::NAN, 0.0) } else { line(0.0)(k) }, 0.05, 8);
        assert_eq!(keep.as_slice(), &[1]);
    }
}
