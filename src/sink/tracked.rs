//! Gives poses their identities on the way to other sinks, and smooths them.
//!
//! What comes in stays as it is: the sinks behind see copies, and what evaluates or records raw poses is not put behind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{FrameResult, Sink, SinkError};
use crate::pose::Poses;
use crate::track::{TrackOptionError, TrackOptions, Tracker};

/// Frames a second of a video that says nothing of time.
const USUAL_RATE: f64 = 30.0;

/// Tracks of a run, read while it goes on.
#[derive(Debug, Default)]
pub struct TrackCounts {
    active: AtomicU64,
    started: AtomicU64,
}

impl TrackCounts {
    /// Tracks with an identity that are followed now, summed over the cameras; those that are missing count too.
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Identities given so far, summed over the cameras.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }
}

/// Tracks the poses of every camera by itself, and hands them on.
pub struct Tracked {
    sinks: Vec<Box<dyn Sink>>,
    /// One per camera.
    trackers: Vec<Box<Tracker>>,
    tracked: Box<Poses>,
    counts: Arc<TrackCounts>,
}

impl fmt::Debug for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked").field("sinks", &self.sinks.len()).finish_non_exhaustive()
    }
}

impl Tracked {
    /// Tracks for so many cameras, at least one, on the way to `sinks`; `counts` is kept up to date.
    ///
    /// # Errors
    /// The first option that is out of range.
    pub fn new(
        sinks: Vec<Box<dyn Sink>>,
        options: &TrackOptions,
        cameras: usize,
        counts: Arc<TrackCounts>,
    ) -> Result<Self, TrackOptionError> {
        let tracker = |_| Tracker::new(options).map(Box::new);
        let trackers = (0..cameras.max(1)).map(tracker).collect::<Result<_, _>>()?;
        Ok(Self { sinks, trackers, tracked: Box::default(), counts })
    }
}

/// Hands a result to all sinks. One whose reader has closed it is dropped while others remain, as runs do with theirs.
fn put_all(sinks: &mut Vec<Box<dyn Sink>>, result: &FrameResult<'_>) -> Result<(), SinkError> {
    let mut index = 0;
    while index < sinks.len() {
        match sinks[index].put(result) {
            Ok(()) => index += 1,
            Err(error @ SinkError::Closed { .. }) => {
                if sinks.len() == 1 {
                    return Err(error);
                }
                tracing::warn!("{error}; the other outputs continue");
                drop(sinks.remove(index));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Sink for Tracked {
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        let frame = &result.frame;
        // An image has a name; it is no moment of a video.
        let image = result.live.is_none() && frame.name.is_some();
        let tracker = self.trackers.get_mut(result.live.map_or(0, |live| live.camera)).filter(|_| !image);
        let Some(tracker) = tracker else {
            return put_all(&mut self.sinks, result);
        };
        let untimed = || Duration::from_secs_f64(frame.sequence as f64 / USUAL_RATE);
        tracker.update(frame.captured.unwrap_or_else(untimed), result.poses, &mut self.tracked);
        let active = self.trackers.iter().map(|tracker| tracker.active() as u64).sum();
        let started = self.trackers.iter().map(|tracker| u64::from(tracker.started())).sum();
        self.counts.active.store(active, Ordering::Relaxed);
        self.counts.started.store(started, Ordering::Relaxed);
        let result = FrameResult { poses: &self.tracked, ..*result };
        put_all(&mut self.sinks, &result)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        // All of them, whatever becomes of the others.
        let finished: Vec<_> = self.sinks.iter_mut().map(|sink| sink.finish()).collect();
        finished.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::estimator::StageTimes;
    use crate::geometry::Size;
    use crate::pixels::{ImageView, PixelFormat};
    use crate::pose::{Keypoint, Pose};
    use crate::sink::{Live, RgbCache};
    use crate::source::Frame;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Poses>>>);

    impl Sink for Kept {
        fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
            self.0.lock().unwrap().push(result.poses.clone());
            Ok(())
        }
    }

    fn poses(x: f32) -> Poses {
        let keypoints = (0..5).map(|k| Keypoint { x: x + k as f32, y: 9.0 * k as f32, score: 0.5 }).collect();
        Poses { list: [Pose { keypoints, score: 0.5, ..Pose::default() }].into_iter().collect(), dropped: 7 }
    }

    /// The identities of poses at 100, 101, ... for frames with these names and cameras.
    fn ids(frames: &[(Option<&str>, Option<usize>)]) -> Vec<Option<u32>> {
        let kept = Kept::default();
        let counts = Arc::new(TrackCounts::default());
        let mut sink =
            Tracked::new(vec![Box::new(kept.clone())], &TrackOptions::default(), 2, Arc::clone(&counts)).unwrap();
        let image = ImageView::new(PixelFormat::Grey, Size::new(4, 3), 4, &[0; 12]).unwrap();
        for (sequence, &(name, camera)) in frames.iter().enumerate() {
            let poses = poses(100.0 + sequence as f32);
            let frame = Frame { image, sequence: sequence as u64, captured: None, instant: None, name };
            let live = camera.map(|camera| Live { age: None, camera });
            sink.put(&FrameResult {
                frame,
                poses: &poses,
                times: StageTimes::default(),
                live,
                rgb: &RgbCache::default(),
            })
            .unwrap();
        }
        sink.finish().unwrap();
        let kept = kept.0.lock().unwrap();
        let ids: Vec<_> =
            kept.iter().flat_map(|poses| &poses.list).map(|pose| pose.identity.map(|identity| identity.id)).collect();
        assert!(kept.iter().all(|poses| poses.dropped == 7));
        assert!(counts.started() <= 2 && counts.active() == counts.started());
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

    /// A sink whose reader has left.
    struct Left;

    impl Sink for Left {
        fn put(&mut self, _: &FrameResult<'_>) -> Result<(), SinkError> {
            Err(SinkError::Closed { target: "left".to_owned() })
        }
    }

    #[test]
    fn a_reader_that_leaves_takes_no_other_output_along() {
        let kept = Kept::default();
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Left), Box::new(kept.clone())];
        let mut sink = Tracked::new(sinks, &TrackOptions::default(), 1, Arc::default()).unwrap();
        let image = ImageView::new(PixelFormat::Grey, Size::new(4, 3), 4, &[0; 12]).unwrap();
        for sequence in 0..3 {
            let frame = Frame { image, sequence, captured: None, instant: None, name: None };
            let (times, rgb, poses) = (StageTimes::default(), RgbCache::default(), poses(1.0));
            sink.put(&FrameResult { frame, poses: &poses, times, live: None, rgb: &rgb }).unwrap();
        }
        assert_eq!(kept.0.lock().unwrap().len(), 3);
        let mut alone = Tracked::new(vec![Box::new(Left)], &TrackOptions::default(), 1, Arc::default()).unwrap();
        let frame = Frame { image, sequence: 0, captured: None, instant: None, name: None };
        let (times, rgb, poses) = (StageTimes::default(), RgbCache::default(), poses(1.0));
        let put = alone.put(&FrameResult { frame, poses: &poses, times, live: None, rgb: &rgb });
        assert!(matches!(put, Err(SinkError::Closed { .. })));
    }
}
