//! The options of the tracker, shared by `sinew run` and `sinew track`.

use clap::Args;
use clap::builder::BoolishValueParser;
use serde::{Deserialize, Serialize};

use crate::bundle::{SmoothSection, TrackSection};
use crate::cli::value;
use crate::sink::{NamedLine, NamedZone, ZoneSetup};
use crate::track::zones::{Anchor, Line, MAX_LINES, MAX_ZONES, Point, Zone};
use crate::track::{TrackOptionError, TrackOptions};

/// Longest name of a zone or line.
const LONGEST_NAME: usize = 40;

/// Options of the tracker, all optional.
#[derive(Debug, Clone, PartialEq, Default, Args, Deserialize, Serialize)]
#[serde(default)]
pub struct TrackerSettings {
    /// Give poses an identity, but leave their keypoints as they were detected
    #[arg(long, env = "SINEW_NO_SMOOTH", value_parser = BoolishValueParser::new())]
    pub no_smooth: bool,
    /// A keypoint that scores below this is not seen by the tracker [default: the bundle's]
    #[arg(long, value_name = "SCORE", value_parser = value::threshold, allow_negative_numbers = true, env = "SINEW_POSE_KPT_THR")]
    pub pose_kpt_thr: Option<f32>,
    /// A pose with fewer keypoints seen is not tracked [default: 3]
    #[arg(long, value_name = "N", env = "SINEW_POSE_MIN_KEYPOINTS")]
    pub pose_min_keypoints: Option<usize>,
    /// Least similarity of a pose and the track that it is given to, 0 to 1 [default: 0.02]
    #[arg(long, value_name = "SIMILARITY", env = "SINEW_TRACK_IOU_THR")]
    pub track_iou_thr: Option<f32>,
    /// A track without a pose in more processed frames in a row is forgotten [default: 30]
    #[arg(long, value_name = "FRAMES", env = "SINEW_TRACK_MAX_MISSING")]
    pub track_max_missing: Option<u32>,
    /// A track gets its identity with this many poses; 1 is at once [default: 2]
    #[arg(long, value_name = "N", env = "SINEW_TRACK_MIN_HITS")]
    pub track_min_hits: Option<u32>,
    /// Poses that score below this only continue tracks [default: half of what tracked poses score]
    #[arg(long, value_name = "SCORE", value_parser = value::threshold, allow_negative_numbers = true, env = "SINEW_TRACK_HIGH_THR")]
    pub track_high_thr: Option<f32>,
    /// The camera is static: do not estimate its motion
    #[arg(long, env = "SINEW_NO_TRACK_CAMERA_MOTION", value_parser = BoolishValueParser::new())]
    pub no_track_camera_motion: bool,
    /// How much less fast keypoints are smoothed
    #[arg(long, value_name = "NUMBER", env = "SINEW_SMOOTH_BETA")]
    pub smooth_beta: Option<f32>,
    /// How fast a keypoint at rest may follow, hertz: less is smoother
    #[arg(long, value_name = "HERTZ", env = "SINEW_SMOOTH_FC_MIN")]
    pub smooth_fc_min: Option<f32>,
    /// The same for a keypoint's speed
    #[arg(long, value_name = "HERTZ", env = "SINEW_SMOOTH_FC_DERIVATIVE")]
    pub smooth_fc_derivative: Option<f32>,
    /// Count people in this part of the image: the corners of a polygon, pixels; may be repeated
    #[arg(
        long,
        value_name = "NAME=X,Y,X,Y,X,Y,...",
        env = "SINEW_ZONE",
        value_delimiter = ' ',
        allow_hyphen_values = true
    )]
    pub zone: Vec<String>,
    /// Count people who cross this line, in both directions, pixels; may be repeated
    #[arg(long, value_name = "NAME=X,Y,X,Y", env = "SINEW_LINE", value_delimiter = ' ', allow_hyphen_values = true)]
    pub line: Vec<String>,
    /// The point of a person for zones and lines: feet (middle of the box's lower edge) or centre (of the box) [default: feet]
    #[arg(long, value_name = "POINT", value_parser = ["feet", "centre"], env = "SINEW_ZONE_POINT")]
    pub zone_point: Option<String>,
}

impl TrackerSettings {
    /// These settings, completed by `below`.
    pub fn over(self, below: Self) -> Self {
        Self {
            no_smooth: self.no_smooth || below.no_smooth,
            pose_kpt_thr: self.pose_kpt_thr.or(below.pose_kpt_thr),
            pose_min_keypoints: self.pose_min_keypoints.or(below.pose_min_keypoints),
            track_iou_thr: self.track_iou_thr.or(below.track_iou_thr),
            track_max_missing: self.track_max_missing.or(below.track_max_missing),
            track_min_hits: self.track_min_hits.or(below.track_min_hits),
            track_high_thr: self.track_high_thr.or(below.track_high_thr),
            no_track_camera_motion: self.no_track_camera_motion || below.no_track_camera_motion,
            smooth_beta: self.smooth_beta.or(below.smooth_beta),
            smooth_fc_min: self.smooth_fc_min.or(below.smooth_fc_min),
            smooth_fc_derivative: self.smooth_fc_derivative.or(below.smooth_fc_derivative),
            zone: if self.zone.is_empty() { below.zone } else { self.zone },
            line: if self.line.is_empty() { below.line } else { self.line },
            zone_point: self.zone_point.or(below.zone_point),
        }
    }

    /// The tracker's options: `from`, overridden by what is given here.
    ///
    /// # Errors
    /// Returns the first option that is out of range.
    pub fn options(&self, from: TrackOptions) -> Result<TrackOptions, TrackOptionError> {
        let mut options = from;
        let section = TrackSection {
            pose_kpt_thr: self.pose_kpt_thr,
            pose_min_keypoints: self.pose_min_keypoints,
            track_iou_thr: self.track_iou_thr,
            track_max_missing: self.track_max_missing,
            track_min_hits: self.track_min_hits,
            track_high_thr: self.track_high_thr,
            track_camera_motion: self.no_track_camera_motion.then_some(false),
            smooth_params: SmoothSection {
                beta: self.smooth_beta,
                fc_min: self.smooth_fc_min,
                fc_derivative: self.smooth_fc_derivative,
            },
        };
        section.apply(&mut options);
        options.check()?;
        if self.no_smooth {
            options.smooth_params = None;
        }
        Ok(options)
    }

    /// The zones and lines.
    ///
    /// # Errors
    /// Names the invalid one and what is wrong with it.
    pub fn zones(&self) -> anyhow::Result<ZoneSetup> {
        let mut names = Vec::new();
        let mut read = |option: &str, text: &str| {
            let wrong = |reason: &str| anyhow::anyhow!("--{option} {text}: {reason}");
            let (name, points) = parse(text).map_err(wrong)?;
            if names.contains(&name) {
                return Err(wrong("another zone or line has this name already"));
            }
            names.push(name.clone());
            Ok((name, points))
        };
        let mut setup = ZoneSetup {
            anchor: if self.zone_point.as_deref() == Some("centre") { Anchor::Centre } else { Anchor::Feet },
            ..ZoneSetup::default()
        };
        for text in &self.zone {
            let (name, corners) = read("zone", text)?;
            let zone = Zone::new(&corners).map_err(|reason| anyhow::anyhow!("--zone {text}: {reason}"))?;
            setup.zones.push(NamedZone { name, zone });
        }
        for text in &self.line {
            let (name, ends) = read("line", text)?;
            let &[from, to] = &ends[..] else { anyhow::bail!("--line {text}: a line has two points: NAME=X,Y,X,Y") };
            let line = Line::new(from, to).map_err(|reason| anyhow::anyhow!("--line {text}: {reason}"))?;
            setup.lines.push(NamedLine { name, line });
        }
        if setup.zones.len() > MAX_ZONES || setup.lines.len() > MAX_LINES {
            anyhow::bail!(
                "{} zones and {} lines: at most {MAX_ZONES} and {MAX_LINES}",
                setup.zones.len(),
                setup.lines.len()
            );
        }
        Ok(setup)
    }
}

/// A name and the points after it.
fn parse(text: &str) -> Result<(String, Vec<Point>), &'static str> {
    let (name, numbers) = text.split_once('=').ok_or("give NAME=X,Y,X,Y,...")?;
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
        return Err("a name has up to 40 letters, digits, _ and -");
    }
    let numbers = numbers.split(',').map(|number| number.trim().parse::<f32>());
    let numbers = numbers.collect::<Result<Vec<_>, _>>().map_err(|_| "the points are numbers: X,Y,X,Y,...")?;
    if numbers.len() % 2 != 0 {
        return Err("an odd number of coordinates: every point has two");
    }
    Ok((name.to_owned(), numbers.chunks_exact(2).map(|point| (point[0], point[1])).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(zone: &[&str], line: &[&str]) -> anyhow::Result<ZoneSetup> {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        TrackerSettings { zone: own(zone), line: own(line), ..TrackerSettings::default() }.zones()
    }

    #[test]
    fn zones_and_lines_are_read() {
        let setup = zones(&["door=0,0,10,0,10,20.5"], &["gate=-5,1,7,1"]).unwrap();
        assert_eq!((setup.zones[0].name.as_str(), setup.lines[0].name.as_str()), ("door", "gate"));
        assert_eq!(setup.zones[0].zone, Zone::new(&[(0.0, 0.0), (10.0, 0.0), (10.0, 20.5)]).unwrap());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (zone, line, needle) in [
            (&["door"][..], &[][..], "NAME=X,Y"),
            (&["=1,2,3,4,5,6"], &[], "a name has"),
            (&["a b=1,2,3,4,5,6"], &[], "a name has"),
            (&["a=1,2,3,4,5,x"], &[], "numbers"),
            (&["a=1,2,3,4,5"], &[], "odd number"),
            (&["a=1,2,3,4"], &[], "3 to 32 corners"),
            (&["a=1,2,3,4,5,inf"], &[], "finite"),
            (&[], &["a=1,2,3,4,5,6"], "two points"),
            (&[], &["a=1,2,1,2"], "differ"),
            (&["a=0,0,9,0,9,9"], &["a=1,2,3,4"], "this name already"),
        ] {
            let error = zones(zone, line).unwrap_err().to_string();
            assert!(error.contains(needle), "{zone:?} {line:?}: {error}");
        }
        let many: Vec<String> = (0..9).map(|index| format!("z{index}=0,0,9,0,9,9")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(zones(&many, &[]).unwrap_err().to_string().contains("at most 8"));
    }
}
