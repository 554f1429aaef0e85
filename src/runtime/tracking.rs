//! Identities, smoothing and zones: a step between the model and the outputs.

use std::sync::Arc;
use std::time::Duration;

use crate::pose::Poses;
use crate::sink::{FrameResult, TrackCounts, ZoneCounter, ZoneSetup};
use crate::track::{TrackOptionError, TrackOptions, Tracker};

/// Frame rate that is assumed for videos without times.
const USUAL_RATE: f64 = 30.0;

/// Tracks the poses of each camera separately.
#[derive(Debug)]
pub struct Tracking {
    /// One per camera.
    cameras: Vec<CameraTracker>,
    /// The poses of the last frame.
    tracked: Box<Poses>,
    counts: Arc<TrackCounts>,
}

/// The tracker and the zone counter of one camera.
#[derive(Debug)]
pub(crate) struct CameraTracker {
    pub tracker: Box<Tracker>,
    /// `None` without zones and lines.
    pub zones: Option<ZoneCounter>,
}

impl CameraTracker {
    /// A tracker that has seen nothing.
    ///
    /// # Errors
    /// If an option is out of range, or there are too many zones.
    pub fn new(options: &TrackOptions, zones: &Arc<ZoneSetup>) -> Result<Self, TrackingError> {
        let counter = (!zones.is_empty()).then(|| ZoneCounter::new(zones)).transpose();
        Ok(Self { tracker: Box::new(Tracker::new(options)?), zones: counter.map_err(TrackingError::Zones)? })
    }

    /// The poses of a frame at `time`, with identities and smoothed keypoints, into `tracked`; the zones count them.
    pub fn update(&mut self, time: Duration, found: &Poses, tracked: &mut Poses) {
        self.tracker.update(time, found, tracked);
        if let Some(counter) = &mut self.zones {
            counter.update(tracked, |id| self.tracker.is_followed(id));
        }
    }
}

/// Why poses cannot be tracked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackingError {
    /// An option is out of range.
    #[error(transparent)]
    Option(#[from] TrackOptionError),
    /// What is wrong with the zones.
    #[error("{0}")]
    Zones(&'static str),
}

impl Tracking {
    /// Tracking for this many cameras, at least one; `counts` is kept up to date.
    ///
    /// # Errors
    /// If an option is out of range, or there are too many zones.
    pub fn new(
        options: &TrackOptions,
        zones: ZoneSetup,
        cameras: usize,
        counts: Arc<TrackCounts>,
    ) -> Result<Self, TrackingError> {
        let (cameras, zones) = (cameras.max(1), Arc::new(zones));
        let made = (0..cameras).map(|_| CameraTracker::new(options, &zones)).collect::<Result<_, _>>()?;
        if !zones.is_empty() {
            counts.add_zones(&zones, cameras);
        }
        Ok(Self { cameras: made, tracked: Box::default(), counts })
    }

    /// This tracking in place of another: no identity is given twice.
    pub(super) fn after(mut self, other: &Self) -> Self {
        for (camera, before) in self.cameras.iter_mut().zip(&other.cameras) {
            camera.tracker.continue_after(before.tracker.started());
        }
        self
    }

    /// The same result with identities and smoothed keypoints. The result of an image, which is not part of a video, is
    /// unchanged.
    pub fn step<'a>(&'a mut self, result: &FrameResult<'a>) -> FrameResult<'a> {
        let frame = &result.frame;
        // An image has a name, and no time.
        let is_image = result.live.is_none() && frame.name.is_some() && frame.captured.is_none();
        let number = result.live.map_or(0, |live| live.camera);
        let Some(camera) = self.cameras.get_mut(number).filter(|_| !is_image) else {
            return *result;
        };
        let untimed = || Duration::from_secs_f64(frame.sequence as f64 / USUAL_RATE);
        camera.update(frame.captured.unwrap_or_else(untimed), result.poses, &mut self.tracked);
        if let Some(counter) = &camera.zones {
            self.counts.set_zones(number, counter);
        }
        let active = self.cameras.iter().map(|camera| camera.tracker.active() as u64).sum();
        let started = self.cameras.iter().map(|camera| u64::from(camera.tracker.started())).sum();
        self.counts.set(active, started);
        let zones = self.cameras.get(number).and_then(|camera| camera.zones.as_ref());
        FrameResult { poses: &self.tracked, zones, ..*result }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::StageTimes;
    use crate::geometry::Size;
    use crate::pixels::{ImageView, PixelFormat};
    use crate::pose::{Keypoint, Pose};
    use crate::sink::{Live, NamedZone, RgbCache};
    use crate::source::Frame;
    use crate::track::zones::{Anchor, Zone};

    fn poses(x: f32) -> Poses {
        let keypoints = (0..5).map(|k| Keypoint { x: x + k as f32, y: 9.0 * k as f32, score: 0.5 }).collect();
        Poses { list: [Pose { keypoints, score: 0.5, ..Pose::default() }].into_iter().collect(), dropped: 7 }
    }

    /// The identities of poses at 100, 101, ... for frames with these names and cameras.
    fn ids(frames: &[(Option<&str>, Option<usize>)]) -> Vec<Option<u32>> {
        let counts = Arc::new(TrackCounts::default());
        let zone = Zone::new(&[(0.0, 0.0), (500.0, 0.0), (500.0, 500.0), (0.0, 500.0)]).unwrap();
        let setup = ZoneSetup {
            zones: vec![NamedZone { name: "room".to_owned(), zone }],
            lines: Vec::new(),
            anchor: Anchor::Feet,
        };
        let mut tracking = Tracking::new(&TrackOptions::default(), setup, 2, Arc::clone(&counts)).unwrap();
        let image = ImageView::new(PixelFormat::Grey, Size::new(4, 3), 4, &[0; 12]).unwrap();
        let mut ids = Vec::new();
        for (sequence, &(name, camera)) in frames.iter().enumerate() {
            let (poses, rgb) = (poses(100.0 + sequence as f32), RgbCache::default());
            let frame = Frame { image, sequence: sequence as u64, captured: None, instant: None, name };
            let live = camera.map(|camera| Live { camera, ..Live::default() });
            let times = StageTimes::default();
            let result = tracking.step(&FrameResult { frame, poses: &poses, times, live, zones: None, rgb: &rgb });
            assert_eq!(result.poses.dropped, 7);
            assert_eq!(result.zones.is_some(), name.is_none() || camera.is_some(), "images have no zones");
            ids.extend(result.poses.list.iter().map(|pose| pose.identity.map(|identity| identity.id)));
        }
        assert!(counts.started() <= 2 && counts.active() == counts.started());
        let inside: u64 = counts.zones().unwrap().zones().map(|(_, _, counts)| u64::from(counts.inside)).sum();
        assert_eq!(inside, counts.started());
        ids
    }

    #[test]
    fn frames_of_a_video_are_tracked_and_images_are_not() {
        assert_eq!(ids(&[(None, None); 3]), [None, Some(1), Some(1)]);
        assert_eq!(ids(&[(Some("a.jpg"), None); 3]), [None; 3]);
    }

    #[test]
    fn every_camera_counts_by_itself() {
        let [a, b] = [(Some("camera"), Some(0)), (Some("camera"), Some(1))];
        assert_eq!(ids(&[a, b, a, b]), [None, None, Some(1), Some(1)]);
    }
}
