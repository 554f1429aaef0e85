//! Precision and recall over a whole set: COCO's ten figures.

use serde::Serialize;

use super::calibration::Outcomes;
use super::matching::{Person, THRESHOLDS, Verdict, match_image};
use super::{Detection, EvalError, GroundTruth, oks, variances};
use crate::coco::{FileError, Id};

/// Maximum number of detections per image, best scores first.
const MAX_DETECTIONS: usize = 20;
/// Recall is sampled at 0, 0.01 ... 1.
const RECALLS: usize = 101;
/// Least and greatest area in square pixels: all, medium, large.
const AREA_RANGES: [(f64, f64); 3] = [(0.0, 1e10), ((32 * 32) as f64, (96 * 96) as f64), ((96 * 96) as f64, 1e10)];

/// COCO's keypoint figures, each 0..=1; `None` (pycocotools: -1) where the set has no person of that size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Average precision, the mean over OKS thresholds 0.50, 0.55 ... 0.95.
    pub ap: Option<f64>,
    /// Average precision at OKS 0.50.
    pub ap50: Option<f64>,
    /// Average precision at OKS 0.75.
    pub ap75: Option<f64>,
    /// `ap` over people of 32^2 to 96^2 square pixels.
    pub ap_medium: Option<f64>,
    /// `ap` over people of more than 96^2 square pixels.
    pub ap_large: Option<f64>,
    /// Average recall with at most 20 detections per image.
    pub ar: Option<f64>,
    /// Recall at OKS 0.50.
    pub ar50: Option<f64>,
    /// Recall at OKS 0.75.
    pub ar75: Option<f64>,
    /// `ar` over people of 32^2 to 96^2 square pixels.
    pub ar_medium: Option<f64>,
    /// `ar` over people of more than 96^2 square pixels.
    pub ar_large: Option<f64>,
}

impl Figures {
    /// Every figure with its name, in pycocotools' order.
    pub fn named(&self) -> [(&'static str, Option<f64>); 10] {
        [
            ("AP", self.ap),
            ("AP50", self.ap50),
            ("AP75", self.ap75),
            ("AP_medium", self.ap_medium),
            ("AP_large", self.ap_large),
            ("AR", self.ar),
            ("AR50", self.ar50),
            ("AR75", self.ar75),
            ("AR_medium", self.ar_medium),
            ("AR_large", self.ar_large),
        ]
    }
}

/// One detection within one area range.
#[derive(Debug, Clone, Copy)]
struct Row {
    score: f64,
    image: usize,
    rank: usize,
    verdict: Verdict,
}

/// Collects the detections of a set image by image; keeps a few bytes of each, not the poses.
#[derive(Debug)]
pub struct Evaluation<'a> {
    truth: &'a GroundTruth,
    variances: Vec<f64>,
    seen: Vec<bool>,
    rows: [Vec<Row>; AREA_RANGES.len()],
    outcomes: Option<Outcomes>,
}

impl<'a> Evaluation<'a> {
    /// Starts with no detections. `sigmas` are COCO's, one per keypoint (the bundle's `[keypoints] sigmas`).
    ///
    /// # Errors
    /// If a sigma is unusable or an annotation has another number of keypoints.
    pub fn new(truth: &'a GroundTruth, sigmas: &[f64]) -> Result<Self, EvalError> {
        let variances = variances(sigmas)?;
        if let Some(odd) = truth.annotations().iter().flatten().find(|person| person.keypoints.len() != sigmas.len()) {
            let (found, expected) = (odd.keypoints.len(), sigmas.len());
            return Err(FileError::value(
                truth.path(),
                format!("annotations[{}].keypoints", odd.position),
                format!("{found} keypoints"),
                format!("{expected} as the model has"),
            )
            .into());
        }
        Ok(Self { truth, variances, seen: vec![false; truth.images().len()], rows: Default::default(), outcomes: None })
    }

    /// Keeps the score of every detection and whether it was right, for [`Evaluation::into_outcomes`].
    #[must_use]
    pub fn recording_outcomes(self) -> Self {
        Self { outcomes: Some(Outcomes::default()), ..self }
    }

    /// The scores and whether they were right; none unless they were recorded.
    pub fn into_outcomes(self) -> Outcomes {
        self.outcomes.unwrap_or_default()
    }

    /// Adds all detections of one image, in any order.
    ///
    /// # Errors
    /// If the image is unknown or was put before, or a detection has another number of keypoints than there are sigmas
    /// or is not finite; nothing is added then.
    pub fn put(&mut self, image: &Id, detections: &[Detection]) -> Result<(), EvalError> {
        let image_id = || image.clone();
        let unknown = || EvalError::UnknownImage { path: self.truth.path().into(), image_id: image_id() };
        let position = self.truth.position(image).ok_or_else(unknown)?;
        for (index, detection) in detections.iter().enumerate() {
            let (found, expected) = (detection.keypoints.len(), self.variances.len());
            if found != expected {
                return Err(EvalError::Keypoints { image_id: image_id(), index, found, expected });
            }
            if !detection.is_finite() {
                return Err(EvalError::NotFinite { image_id: image_id(), index });
            }
        }
        if std::mem::replace(&mut self.seen[position], true) {
            return Err(EvalError::ImageTwice { image_id: image_id() });
        }

        let mut ranked: Vec<&Detection> = detections.iter().collect();
        ranked.sort_by(|a, b| descending(a.score, b.score));
        ranked.truncate(MAX_DETECTIONS);
        let people = &self.truth.annotations()[position];
        let similarity: Vec<Vec<f64>> = ranked
            .iter()
            .map(|detection| people.iter().map(|person| oks(person, &detection.keypoints, &self.variances)).collect())
            .collect();
        for (index, (rows, range)) in self.rows.iter_mut().zip(AREA_RANGES).enumerate() {
            let seen_people: Vec<_> = people
                .iter()
                .map(|person| Person { crowd: person.crowd, ignored: person.ignored || outside(person.area, range) })
                .collect();
            let verdicts = match_image(
                ranked.len(),
                &seen_people,
                |detection, person| similarity[detection][person],
                |detection| outside(ranked[detection].area(), range),
            );
            // The first range holds all areas.
            if let (0, Some(outcomes)) = (index, &mut self.outcomes) {
                record(outcomes, &ranked, &verdicts, people);
            }
            let row = |(rank, (detection, verdict)): (usize, (&&Detection, Verdict))| Row {
                score: detection.score,
                image: position,
                rank,
                verdict,
            };
            rows.extend(ranked.iter().zip(verdicts).enumerate().map(row));
        }
        Ok(())
    }

    /// The figures over everything put so far; images without detections count as missed.
    pub fn figures(&self) -> Figures {
        let [all, medium, large] = [0, 1, 2].map(|range| self.curve(range));
        let mean = |curve: &Option<Curve>, value: fn(&Curve) -> &[f64; THRESHOLDS]| {
            curve.as_ref().map(|curve| value(curve).iter().sum::<f64>() / THRESHOLDS as f64)
        };
        let precision: fn(&Curve) -> &[f64; THRESHOLDS] = |curve| &curve.precision;
        let recall: fn(&Curve) -> &[f64; THRESHOLDS] = |curve| &curve.recall;
        Figures {
            ap: mean(&all, precision),
            ap50: all.as_ref().map(|curve| curve.precision[0]),
            ap75: all.as_ref().map(|curve| curve.precision[5]),
            ap_medium: mean(&medium, precision),
            ap_large: mean(&large, precision),
            ar: mean(&all, recall),
            ar50: all.as_ref().map(|curve| curve.recall[0]),
            ar75: all.as_ref().map(|curve| curve.recall[5]),
            ar_medium: mean(&medium, recall),
            ar_large: mean(&large, recall),
        }
    }

    /// Average precision and recall at every threshold within one area range; `None` if no person counts.
    fn curve(&self, range: usize) -> Option<Curve> {
        let to_find = |person: &&super::Annotation| !person.ignored && !outside(person.area, AREA_RANGES[range]);
        let positives = self.truth.annotations().iter().flatten().filter(to_find).count();
        if positives == 0 {
            return None;
        }
        let mut rows = self.rows[range].clone();
        // Among equal scores pycocotools keeps the order of the image ids, then that within the image.
        rows.sort_by(|a, b| descending(a.score, b.score).then((a.image, a.rank).cmp(&(b.image, b.rank))));
        let mut curve = Curve { precision: [0.0; THRESHOLDS], recall: [0.0; THRESHOLDS] };
        for index in 0..THRESHOLDS {
            let bit = 1 << index;
            let counted = rows.iter().filter(|row| row.verdict.ignored & bit == 0);
            let hits: Vec<bool> = counted.map(|row| row.verdict.matched & bit != 0).collect();
            (curve.precision[index], curve.recall[index]) = average_precision(&hits, positives);
        }
        Some(curve)
    }
}

/// Adds the detections of an image to `outcomes`, as matched at an OKS of 0.5.
fn record(outcomes: &mut Outcomes, ranked: &[&Detection], verdicts: &[Verdict], people: &[super::Annotation]) {
    for (detection, verdict) in ranked.iter().zip(verdicts).filter(|(_, verdict)| verdict.ignored & 1 == 0) {
        outcomes.poses.push((detection.score, verdict.person.is_some()));
        if let Some(person) = verdict.person {
            outcomes.add_keypoints(&people[person as usize], &detection.keypoints, &detection.keypoint_scores);
        }
    }
}

struct Curve {
    precision: [f64; THRESHOLDS],
    recall: [f64; THRESHOLDS],
}

/// Interpolated average precision over 101 recalls, and the recall reached, of detections ranked best first.
///
/// `hits` tells which of them match one of the `positives` people (`positives` above 0).
fn average_precision(hits: &[bool], positives: usize) -> (f64, f64) {
    let (mut found, mut missed) = (0_usize, 0_usize);
    let (mut recall, mut precision) = (Vec::with_capacity(hits.len()), Vec::with_capacity(hits.len()));
    for &hit in hits {
        if hit {
            found += 1;
        } else {
            missed += 1;
        }
        recall.push(found as f64 / positives as f64);
        precision.push(found as f64 / ((found + missed) as f64 + f64::EPSILON));
    }
    for i in (1..precision.len()).rev() {
        precision[i - 1] = precision[i - 1].max(precision[i]);
    }
    let at = |sample: usize| {
        let wanted = if sample + 1 == RECALLS { 1.0 } else { sample as f64 * 0.01 };
        precision.get(recall.partition_point(|&reached| reached < wanted)).copied().unwrap_or(0.0)
    };
    ((0..RECALLS).map(at).sum::<f64>() / RECALLS as f64, recall.last().copied().unwrap_or(0.0))
}

fn outside(area: f64, (least, greatest): (f64, f64)) -> bool {
    area < least || area > greatest
}

/// Scores are finite here, so this is a total order in which -0 equals 0, as in numpy.
fn descending(a: f64, b: f64) -> std::cmp::Ordering {
    b.partial_cmp(&a).unwrap_or(std::cmp::Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_found_in_order_is_1() {
        let (precision, recall) = average_precision(&[true, true, true], 3);
        assert!((precision - 1.0).abs() < 1e-12 && recall == 1.0);
    }

    #[test]
    fn nothing_detected_is_0() {
        assert_eq!(average_precision(&[], 3), (0.0, 0.0));
        assert_eq!(average_precision(&[false, false], 3), (0.0, 0.0));
    }

    #[test]
    fn half_found_after_a_miss() {
        // Precision 1/2 up to recall 1/2, so at 51 of 101 recalls.
        let (precision, recall) = average_precision(&[false, true], 2);
        assert!((precision - 0.5 * 51.0 / 101.0).abs() < 1e-12);
        assert_eq!(recall, 0.5);
    }
}
