//! `sinew diff`: compares two files of results.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Verdict, output, value};
use crate::read::{BoundedLines, MAX_RESULT_LINE};
use crate::write::Patient;

/// Differences that are printed; all are counted.
const SHOWN: usize = 20;
/// Maximum memory for the poses of one file: an hour of video with three people.
const MAX_MEMORY: usize = 120 << 20;

/// Compare two files of results: exit code 1 if they differ by more than is allowed
#[derive(Debug, Args)]
#[command(after_help = "\
Frames are compared by camera and sequence, poses with the nearest ones. Track ids may be renumbered, but the mapping must be
one-to-one.

Example:
  sinew diff yesterday.jsonl today.jsonl --pixels 1")]
pub struct DiffArguments {
    /// Lines as `sinew run` writes them
    #[arg(value_name = "A.jsonl")]
    first: PathBuf,
    /// The same; one of the two may be - for standard input
    #[arg(value_name = "B.jsonl")]
    second: PathBuf,
    /// Largest distance between the same keypoints, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 0.5, value_parser = value::threshold)]
    pixels: f32,
    /// Largest difference between the same scores
    #[arg(long, value_name = "SCORE", default_value_t = 0.01, value_parser = value::threshold)]
    score: f32,
    /// Do not compare identities
    #[arg(long)]
    no_ids: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The parts of a line that are compared.
#[derive(Debug, Deserialize)]
struct Line {
    schema: Option<u32>,
    #[serde(default)]
    keypoints: Vec<String>,
    sequence: Option<u64>,
    #[serde(default)]
    camera: usize,
    image: Option<[f64; 2]>,
    #[serde(default)]
    poses: Vec<FoundPose>,
}

#[derive(Debug, Clone, Deserialize)]
struct FoundPose {
    score: Option<f32>,
    keypoints: Vec<Option<[f32; 3]>>,
    id: Option<u64>,
    template: Option<String>,
}

/// A camera's number and a frame's.
type Key = (usize, u64);

/// A file of results.
#[derive(Debug, Default)]
struct Results {
    names: Vec<String>,
    frames: BTreeMap<Key, FoundFrame>,
}

/// A frame of a file.
#[derive(Debug)]
struct FoundFrame {
    /// Width and height, if given.
    image: Option<[f64; 2]>,
    poses: Vec<FoundPose>,
}

/// Result of the comparison.
#[derive(Debug, Default, Serialize)]
struct Comparison {
    /// Frames that both have.
    frames: usize,
    /// Poses that both have.
    poses: usize,
    /// Number of differences.
    differences: usize,
    /// Largest distance of corresponding keypoints, in pixels.
    largest_distance: f32,
    /// Largest difference of two scores.
    largest_score_difference: f32,
    /// The first differences, in words.
    shown: Vec<String>,
}

impl DiffArguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Verdict> {
        let (first, second) = (Results::read(&self.first)?, Results::read(&self.second)?);
        if first.names != second.names {
            bail!(
                "{} and {} have different keypoints: only results of the same bundle or templates can be compared",
                self.first.display(),
                self.second.display()
            );
        }
        let comparison = self.compare(&first, &second);
        let Comparison { frames, poses, differences, largest_distance, largest_score_difference, ref shown } =
            comparison;
        if self.json {
            output::print_json(&comparison)?;
        } else {
            shown.iter().try_for_each(|text| output::print_line(format_args!("{text}")))?;
            if differences > shown.len() {
                output::print_line(format_args!("and {} more", differences - shown.len()))?;
            }
            output::print_line(format_args!(
                "{frames} frames and {poses} poses compared, {differences} differences; keypoints at most \
                 {largest_distance:.3} px apart, scores {largest_score_difference:.4}"
            ))?;
        }
        Ok(if differences == 0 { Verdict::Good } else { Verdict::Negative })
    }

    fn compare(&self, first: &Results, second: &Results) -> Comparison {
        let mut found = Comparison::default();
        let (mut onto, mut back) = (HashMap::new(), HashMap::new());
        let only = |found: &mut Comparison, key: &Key, path: &Path| {
            found.differ(key, &format!("only in {}", path.display()));
        };
        for (key, ours) in &first.frames {
            let Some(theirs) = second.frames.get(key) else {
                only(&mut found, key, &self.first);
                continue;
            };
            found.frames += 1;
            if let (Some([width, height]), Some([other_width, other_height])) = (ours.image, theirs.image)
                && (width, height) != (other_width, other_height)
            {
                found.differ(key, &format!("images of {width}x{height} and of {other_width}x{other_height}"));
            }
            let (ours, theirs) = (&ours.poses, &theirs.poses);
            if ours.len() != theirs.len() {
                found.differ(key, &format!("{} poses, and {}", ours.len(), theirs.len()));
            }
            for (number, pair) in pairs(ours, theirs).into_iter().enumerate() {
                self.compare_poses(&mut found, key, number, pair, &first.names);
                if let (false, (Some(ours), Some(theirs))) = (self.no_ids, (pair.0.id, pair.1.id)) {
                    let new = becomes(&mut onto, (key.0, ours), theirs) && becomes(&mut back, (key.0, theirs), ours);
                    if !new {
                        found.differ(
                            key,
                            &format!("pose {number}: identity {ours}, and {theirs}, which is another one"),
                        );
                    }
                } else if !self.no_ids && pair.0.id.is_some() != pair.1.id.is_some() {
                    found.differ(key, &format!("pose {number}: one has an identity, the other has none"));
                }
            }
        }
        second
            .frames
            .keys()
            .filter(|key| !first.frames.contains_key(key))
            .for_each(|key| only(&mut found, key, &self.second));
        found
    }

    fn compare_poses(
        &self,
        found: &mut Comparison,
        key: &Key,
        number: usize,
        (ours, theirs): (&FoundPose, &FoundPose),
        names: &[String],
    ) {
        found.poses += 1;
        if ours.template != theirs.template {
            return found.differ(key, &format!("pose {number}: of different templates"));
        }
        let mut scores = vec![(ours.score.unwrap_or(0.0), theirs.score.unwrap_or(0.0), None)];
        if ours.keypoints.len() != theirs.keypoints.len() {
            return found.differ(key, &format!("pose {number}: different numbers of keypoints"));
        }
        for (index, both) in ours.keypoints.iter().zip(&theirs.keypoints).enumerate() {
            let name = names.get(index).map_or_else(|| index.to_string(), String::clone);
            match both {
                (Some(ours), Some(theirs)) => {
                    let apart = (ours[0] - theirs[0]).hypot(ours[1] - theirs[1]);
                    found.largest_distance = found.largest_distance.max(apart);
                    // A NaN counts as a difference.
                    if !matches!(apart.partial_cmp(&self.pixels), Some(order) if order.is_le()) {
                        found.differ(key, &format!("pose {number}: {name} is {apart:.3} px apart"));
                    }
                    scores.push((ours[2], theirs[2], Some(name)));
                }
                (None, None) => {}
                _ => found.differ(key, &format!("pose {number}: {name} is in one only")),
            }
        }
        for (ours, theirs, name) in scores {
            let apart = (ours - theirs).abs();
            found.largest_score_difference = found.largest_score_difference.max(apart);
            if !matches!(apart.partial_cmp(&self.score), Some(order) if order.is_le()) {
                let what = name.unwrap_or_else(|| "the pose".to_owned());
                found.differ(key, &format!("pose {number}: {what} scores {ours}, and {theirs}"));
            }
        }
    }
}

/// Whether `from` has always been `to`.
fn becomes(map: &mut HashMap<(usize, u64), u64>, from: (usize, u64), to: u64) -> bool {
    match map.entry(from) {
        Entry::Occupied(known) => *known.get() == to,
        Entry::Vacant(free) => *free.insert(to) == to,
    }
}

/// Corresponding poses: each with the nearest one left.
fn pairs<'a>(ours: &'a [FoundPose], theirs: &'a [FoundPose]) -> Vec<(&'a FoundPose, &'a FoundPose)> {
    let mut left: Vec<_> = theirs.iter().collect();
    let mut pairs = Vec::new();
    for pose in ours {
        let apart = |other: &FoundPose| {
            let both = pose.keypoints.iter().zip(&other.keypoints).filter_map(|both| match both {
                (Some(a), Some(b)) => Some((a[0] - b[0]).hypot(a[1] - b[1])),
                _ => None,
            });
            both.sum::<f32>()
        };
        let nearest = left.iter().enumerate().min_by(|a, b| apart(a.1).total_cmp(&apart(b.1)));
        if let Some(index) = nearest.map(|(index, _)| index) {
            pairs.push((pose, left.remove(index)));
        }
    }
    pairs
}

impl Comparison {
    fn differ(&mut self, (camera, sequence): &Key, what: &str) {
        self.differences += 1;
        if self.shown.len() < SHOWN {
            let camera = if *camera > 0 { format!("camera {camera}, ") } else { String::new() };
            self.shown.push(format!("{camera}frame {sequence}: {what}"));
        }
    }
}

impl Results {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let input: Box<dyn Read> = if path == Path::new("-") {
            Box::new(Patient(std::io::stdin()))
        } else {
            Box::new(File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?)
        };
        let mut results = Self::default();
        let mut lines = BoundedLines::new(BufReader::new(input), MAX_RESULT_LINE);
        let mut memory = 0;
        for number in 1.. {
            let place = || format!("{}: line {number}", path.display());
            let Some(line) = lines.next_line().with_context(place)? else { break };
            if line.trim().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(line).with_context(|| format!("{} is not a result", place()))?;
            match (line.schema, line.sequence) {
                (Some(_), _) => results.names = line.keypoints,
                (None, Some(sequence)) => {
                    memory += size_of::<Key>() + size_of::<FoundFrame>();
                    memory += line.poses.iter().map(FoundPose::memory).sum::<usize>();
                    if memory > MAX_MEMORY {
                        bail!(
                            "{}: the results up to here take more than {} MB; compare shorter files",
                            place(),
                            MAX_MEMORY >> 20
                        );
                    }
                    let frame = FoundFrame { image: line.image, poses: line.poses };
                    if results.frames.insert((line.camera, sequence), frame).is_some() {
                        bail!("{}: a second result of frame {sequence}; compare one run at a time", place());
                    }
                }
                (None, None) => bail!("{} is neither a header nor a frame", place()),
            }
        }
        if results.frames.is_empty() {
            bail!("{}: no result in it", path.display());
        }
        Ok(results)
    }
}

impl FoundPose {
    /// Memory that it takes. Lists allocate more than they hold.
    fn memory(&self) -> usize {
        let template = self.template.as_ref().map_or(0, String::capacity);
        2 * size_of::<Self>() + self.keypoints.capacity() * size_of::<Option<[f32; 3]>>() + template
    }
}
