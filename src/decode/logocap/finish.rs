//! From refined candidates to poses.

use super::{Decoder, Workspace};
use crate::decode::nms;
use crate::geometry::Affine;
use crate::pose::{Keypoint, Pose, Poses};

impl Decoder {
    /// Scores the candidates, moves them to the picture and keeps one of each cluster (sections 1.13 and 1.14).
    ///
    /// `poses` is cleared before; the new ones come in the order of their clusters' best centre. Candidates with a value
    /// that is infinite or not a number never become poses; they are counted in the workspace's report and in
    /// [`Poses::dropped`].
    pub fn finish(&self, network_to_picture: &Affine, workspace: &mut Workspace, poses: &mut Poses) {
        let config = self.config();
        let keypoints = config.keypoints();
        poses.clear();
        workspace.passed.clear();
        workspace.scores.clear();
        workspace.keep.clear();
        workspace.report.below_threshold = 0;
        for (index, candidate) in workspace.candidates.iter().enumerate() {
            let refined = &candidate.refined[..keypoints];
            let score = refined.iter().map(|keypoint| keypoint.score).sum::<f32>() / keypoints as f32;
            let in_picture = |k: usize| network_to_picture.apply(f64::from(refined[k].x), f64::from(refined[k].y));
            // Beyond a million pixels a pose is an accident, and distances would overflow.
            let sound = |k: usize| {
                let (x, y) = in_picture(k);
                x.abs() < 1e6 && y.abs() < 1e6 && refined[k].score.is_finite()
            };
            if !score.is_finite() || !(0..keypoints).all(sound) {
                workspace.report.not_finite += 1;
            } else if score > config.score_threshold {
                // Cannot fail: as many places as candidates.
                let _ = workspace.passed.push(index as u16);
                let _ = workspace.scores.push(score);
            } else {
                workspace.report.below_threshold += 1;
            }
        }
        let Workspace { candidates, passed, scores, keep, report, .. } = workspace;
        let point = |row: usize, keypoint: usize| {
            let refined = candidates[usize::from(passed[row])].refined[keypoint];
            let (x, y) = network_to_picture.apply(f64::from(refined.x), f64::from(refined.y));
            (x as f32, y as f32)
        };
        *keep = nms::pose_nms(keypoints, scores, point, config.nms_distance, config.nms_keypoints);
        report.suppressed = (passed.len() - keep.len()) as u32;
        poses.dropped = report.not_finite + report.over_capacity;
        for row in keep.iter().map(|row| usize::from(*row)) {
            let refined = &candidates[usize::from(passed[row])].refined;
            let mut pose = Pose { score: scores[row], ..Pose::default() };
            for keypoint in 0..keypoints {
                let (x, y) = point(row, keypoint);
                // Cannot fail: a pose holds more keypoints than a person has.
                let _ = pose.keypoints.push(Keypoint { x, y, score: refined[keypoint].score });
            }
            // Cannot fail: as many places as candidates.
            let _ = poses.list.push(pose);
        }
    }
}
