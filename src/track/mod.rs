//! Assigns persistent identities and smooths keypoints: no operating system, no allocator, no `unsafe`, no panic.
//!
//! A [`Tracker`] takes the poses of one frame after the other with the time of each, and assigns identities. Per frame it
//!
//! 1. predicts every track: a Kalman filter of place and size per person, constant velocity (`motion`);
//! 2. subtracts the camera's own motion, the shift that most tracks have in common (`camera`);
//! 3. matches confident poses with all tracks, then faint poses with those that are left (ByteTrack, Zhang et al., ECCV
//!    2022), each time by the assignment of least total cost (`assignment`). What a pair costs is the likelihood of the
//!    shift and of the change of size under the filter, and the OKS of the two poses once both are removed (`body`).
//!    The cost of leaving a pose unmatched depends on how often new or false poses appear: where they are rare, matches
//!    farther from the prediction are accepted;
//! 4. corrects the matched tracks; one that was missing is first led along a straight line from where it was seen last,
//!    so that its speed is that of the way it went (OC-SORT, Cao et al., CVPR 2023);
//! 5. starts tracks with confident poses that are left, and forgets those that are missing for too long;
//! 6. smooths keypoints (`smooth`).
//!
//! Identities count from 1; a tracker never reuses one. A track belongs to one template.

mod assignment;
mod body;
mod camera;
mod lifetime;
mod motion;
mod options;
mod smooth;
pub mod zones;

use core::time::Duration;

use heapless::Vec;

pub use options::{DEFAULT_SIGMA, SmoothParams, TrackOptionError, TrackOptions};

use crate::pose::{MAX_POSES, Poses};
use assignment::{Costs, assign};
use body::{Comparison, Sighting};
use camera::{Camera, Voter, Voters};
use lifetime::Track;
use motion::{Adaptation, square};

/// Maximum number of tracks at a time, including missing ones and those without an identity yet.
pub const MAX_TRACKS: usize = 64;

/// Keeps costs positive: minus the logarithm of the least variance of a place, squared pixels.
const COST_BASE: f32 = 20.0;
/// What an unmatched pose costs in addition to the logarithm of how rare new poses are: a pair that costs more is not matched.
const UNMATCHED_COST: f32 = 0.4;
/// Rate of poses without a track per frame: its first estimate, and its limits. The upper limit keeps tracks that begin badly
/// from making it harder for each other.
const NEW_POSE_RATE_START: f32 = 0.3;
const NEW_POSE_RATE_MIN: f32 = 0.05;
const NEW_POSE_RATE_MAX: f32 = 2.0;
/// How fast the estimate follows the observed rate.
const NEW_POSE_RATE_GAIN: f32 = 0.015;
/// Minimum area in which people are assumed to appear, in squared sizes.
const LEAST_AREA: f32 = 10.0;
/// Faint poses only match tracks that were seen within this many frames.
const FAINT_MISSING: u32 = 30;
/// OKS with a tracked pose from which on a pose is a duplicate and starts no track.
const DUPLICATE_OKS: f32 = 0.6;
/// A pose is confident from this fraction of the usual score on.
const CONFIDENT: f32 = 0.5;
/// How fast the usual score follows the scores.
const SCORE_GAIN: f32 = 0.05;
/// Largest camera shift that is searched for, in sizes.
const CAMERA_REACH: f32 = 0.6;
/// Longest time to predict over, seconds.
const LONGEST_STEP: f32 = 2.0;
/// A source has stalled if a frame comes later than this many times what a track may be missing.
const STALL: f32 = 1.5;
/// Tracks the poses of one camera.
#[derive(Debug, Clone)]
pub struct Tracker {
    options: TrackOptions,
    tracks: Vec<Track, MAX_TRACKS>,
    /// Identities given so far.
    started: u32,
    time: Option<Duration>,
    /// Usual seconds between two frames; 0 before the second.
    interval: f32,
    /// What tracked poses usually score.
    usual_score: Option<f32>,
    adaptation: Adaptation,
    /// Usual number of poses per frame without a track.
    new: f32,
    /// Where poses were so far: left, top, right, bottom, pixels.
    extent: Option<[f32; 4]>,
    camera: Camera,
    costs: Costs,
}

impl Tracker {
    /// A tracker that has seen nothing.
    ///
    /// # Errors
    /// Returns the first option that is out of range.
    pub fn new(options: &TrackOptions) -> Result<Self, TrackOptionError> {
        options.check()?;
        Ok(Self {
            options: options.clone(),
            tracks: Vec::new(),
            started: 0,
            time: None,
            interval: 0.0,
            usual_score: None,
            adaptation: Adaptation::default(),
            new: NEW_POSE_RATE_START,
            extent: None,
            camera: Camera::default(),
            costs: [[f32::INFINITY; MAX_TRACKS]; MAX_POSES],
        })
    }

    /// Identities given so far.
    pub fn started(&self) -> u32 {
        self.started
    }

    /// Gives no identity up to `last`.
    pub fn continue_after(&mut self, last: u32) {
        self.started = self.started.max(last);
    }

    /// Current tracks with an identity, including missing ones.
    pub fn active(&self) -> usize {
        self.tracks.iter().filter(|track| track.id.is_some()).count()
    }

    /// Whether the track with this identity is still followed, including while it is unmatched.
    pub fn is_followed(&self, id: u32) -> bool {
        self.tracks.iter().any(|track| track.id == Some(id))
    }

    /// Forgets all tracks, but not which identities were given.
    pub fn clear(&mut self) {
        self.tracks.clear();
        self.time = None;
    }

    /// Processes the poses of the next frame, `time` after some fixed moment, and writes them into `tracked` in the same
    /// order with their identities and smoothed keypoints. A pose that has no identity yet, or cannot be tracked, is
    /// unchanged.
    ///
    /// A timestamp that does not advance is treated as unchanged.
    pub fn update(&mut self, time: Duration, found: &Poses, tracked: &mut Poses) {
        self.predict(time);
        let mut sightings: [Option<Sighting<'_>>; MAX_POSES] = [None; MAX_POSES];
        for (sighting, pose) in sightings.iter_mut().zip(&found.list) {
            *sighting = Sighting::of(pose, &self.options);
        }
        if self.options.track_camera_motion {
            let (x, y) = self.camera_shift(&sightings);
            self.tracks.iter_mut().for_each(|track| track.shift(x, y));
        }
        for sighting in sightings.iter().flatten() {
            let (x, y) = sighting.centre;
            let [left, top, right, bottom] = self.extent.unwrap_or([x, y, x, y]);
            self.extent = Some([left.min(x), top.min(y), right.max(x), bottom.max(y)]);
        }
        let threshold = self.confident_score();
        let mut track_of = [None; MAX_POSES];
        let mut free = [true; MAX_TRACKS];
        self.match_poses(&sightings, &mut track_of, &mut free, |sighting, _| sighting.score >= threshold);
        self.match_poses(&sightings, &mut track_of, &mut free, |sighting, track| {
            sighting.score < threshold && track.missing <= FAINT_MISSING
        });

        let alone =
            sightings.iter().zip(&track_of).filter(|(sighting, place)| sighting.is_some() && place.is_none()).count();
        self.new =
            (self.new + NEW_POSE_RATE_GAIN * (alone as f32 - self.new)).clamp(NEW_POSE_RATE_MIN, NEW_POSE_RATE_MAX);
        self.correct(&sightings, &track_of);
        self.start_tracks(time, &sightings, &mut track_of, threshold);
        self.write(time, found, &track_of, tracked);
        let most = self.options.track_max_missing;
        self.tracks.retain(|track| !track.is_lost(most));
    }

    /// Moves all tracks to `time`.
    fn predict(&mut self, time: Duration) {
        let passed = self.time.map_or(Duration::ZERO, |before| time.saturating_sub(before));
        let seconds = passed.as_secs_f32();
        self.time = Some(self.time.map_or(time, |before| before.max(time)));
        let most = self.options.track_max_missing;
        if self.interval > 0.0 && seconds > STALL * self.interval * most.saturating_add(1) as f32 {
            // A source that stalled for so long would have given more frames than a track may be missing in.
            self.tracks.clear();
        } else if seconds > 0.0 {
            self.interval += (seconds - self.interval) * if self.interval > 0.0 { 0.1 } else { 1.0 };
        }
        for track in &mut self.tracks {
            track.predict(seconds.min(LONGEST_STEP), self.adaptation.agility);
        }
    }

    /// The cost of leaving a pose unmatched: minus the logarithm of the density of such poses, per squared pixel.
    fn alone(&self) -> f32 {
        let largest = self.tracks.iter().map(|track| track.size).fold(1.0, f32::max);
        let [left, top, right, bottom] = self.extent.unwrap_or_default();
        let area = ((right - left) * (bottom - top)).max(LEAST_AREA * square(largest));
        COST_BASE + UNMATCHED_COST + libm::logf(area / self.new)
    }

    fn camera_shift(&mut self, sightings: &[Option<Sighting<'_>>; MAX_POSES]) -> (f32, f32) {
        let mut voters = Voters::new();
        for track in self.tracks.iter().filter(|track| track.id.is_some() && track.missing <= 2) {
            let mut voter = Voter::new(track.variance(self.adaptation.unrest));
            for sighting in sightings.iter().flatten() {
                let near = CAMERA_REACH * track.size;
                let likely = |found: &Comparison| {
                    found.growth_surprise < 9.0 && found.shift.0.abs().max(found.shift.1.abs()) < 2.0 * near
                };
                if let Some(comparison) = track.compare(sighting, &self.options, self.adaptation.unrest, near, likely)
                    && comparison.shape > 0.3
                {
                    voter.add(comparison.shift);
                }
            }
            if voters.push(voter).is_err() {
                break;
            }
        }
        self.camera.shift(&voters)
    }

    /// The score from which on a pose is confident.
    fn confident_score(&self) -> f32 {
        let usual = || self.usual_score.map_or(f32::NEG_INFINITY, |score| CONFIDENT * score);
        self.options.track_high_thr.unwrap_or_else(usual)
    }

    /// Matches poses and tracks that are free and `allowed` at the least total cost.
    fn match_poses(
        &mut self,
        sightings: &[Option<Sighting<'_>>; MAX_POSES],
        track_of: &mut [Option<usize>; MAX_POSES],
        free: &mut [bool; MAX_TRACKS],
        allowed: impl Fn(&Sighting<'_>, &Track) -> bool,
    ) {
        let mut any = false;
        for ((costs, sighting), taken) in self.costs.iter_mut().zip(sightings).zip(&*track_of) {
            costs.fill(f32::INFINITY);
            let Some(sighting) = sighting.as_ref().filter(|_| taken.is_none()) else { continue };
            for ((cost, track), free) in costs.iter_mut().zip(&self.tracks).zip(&*free) {
                if *free && allowed(sighting, track) {
                    *cost = (COST_BASE + track.cost(sighting, &self.options, self.adaptation.unrest)).max(0.0);
                    any |= *cost < f32::INFINITY;
                }
            }
        }
        if !any {
            return;
        }
        let alone = self.alone();
        let columns = assign(&self.costs, MAX_POSES, self.tracks.len(), alone);
        for (pairing, column) in track_of.iter_mut().zip(columns) {
            let Some(column) = column.filter(|_| pairing.is_none()) else { continue };
            *pairing = Some(column);
            if let Some(free) = free.get_mut(column) {
                *free = false;
            }
        }
    }

    /// Updates the tracks with their matched poses.
    fn correct(&mut self, sightings: &[Option<Sighting<'_>>; MAX_POSES], track_of: &[Option<usize>; MAX_POSES]) {
        for (pairing, sighting) in track_of.iter().zip(sightings) {
            let (Some(pairing), Some(sighting)) = (pairing, sighting) else { continue };
            let Some(track) = self.tracks.get_mut(*pairing) else { continue };
            let Some(comparison) = track.compare(sighting, &self.options, self.adaptation.unrest, 0.0, |_| true) else {
                continue;
            };
            if track.missing == 1 && track.hits > 2 {
                self.adaptation.learn(comparison.deviations(), track.deviations);
            }
            let usual = self.usual_score.unwrap_or(sighting.score);
            self.usual_score = Some(usual + SCORE_GAIN * (sighting.score - usual));
            track.correct(&comparison, sighting, &self.options, &self.adaptation);
            if track.id.is_none() && track.hits >= self.options.track_min_hits {
                track.id = next_identity(&mut self.started);
            }
        }
    }

    /// Starts tracks with the confident poses that no track took.
    fn start_tracks(
        &mut self,
        time: Duration,
        sightings: &[Option<Sighting<'_>>; MAX_POSES],
        track_of: &mut [Option<usize>; MAX_POSES],
        threshold: f32,
    ) {
        for (index, sighting) in sightings.iter().enumerate() {
            let Some(sighting) = sighting.as_ref().filter(|_| track_of[index].is_none()) else { continue };
            let doubled = |(other, pairing): (&Option<Sighting<'_>>, &Option<usize>)| match (other, pairing) {
                (Some(other), Some(_)) => sighting.coincides(other, &self.options) > DUPLICATE_OKS,
                _ => false,
            };
            if sighting.score < threshold || sightings.iter().zip(&*track_of).any(doubled) {
                continue;
            }
            let mut track = Track::new(time, sighting, &self.options);
            if track.hits >= self.options.track_min_hits {
                track.id = next_identity(&mut self.started);
            }
            let place = self.tracks.len();
            track_of[index] = match self.tracks.push(track) {
                Ok(()) => Some(place),
                Err(track) => self.replace(track),
            };
        }
    }

    /// Puts a track in the place of another: one without an identity before one with, then the one missing for longest.
    /// There is always one that is missing, as there are more places than poses.
    fn replace(&mut self, track: Track) -> Option<usize> {
        let missing = self.tracks.iter_mut().enumerate().filter(|(_, other)| other.missing > 0);
        let (place, other) = missing.max_by_key(|(_, other)| (other.id.is_none(), other.missing))?;
        *other = track;
        Some(place)
    }

    /// Writes the poses with their identities.
    fn write(&mut self, time: Duration, found: &Poses, track_of: &[Option<usize>; MAX_POSES], tracked: &mut Poses) {
        tracked.clear();
        tracked.dropped = found.dropped;
        for (pose, place) in found.list.iter().zip(track_of) {
            let mut written = pose.clone();
            written.identity = None;
            if let Some(track) = place.and_then(|place| self.tracks.get_mut(place)) {
                written.identity = track.identity(time);
                track.smooth(pose, &self.options, &mut written);
            }
            // There are as many places as poses.
            let _ = tracked.list.push(written);
        }
    }
}

fn next_identity(started: &mut u32) -> Option<u32> {
    *started = started.checked_add(1)?;
    Some(*started)
}
