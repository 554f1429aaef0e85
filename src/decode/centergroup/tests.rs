//! The decoder as a whole: made-up frames in, poses out.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Cells of the heatmaps on a side: the network's input has 32 pixels, the feature maps have 8 cells.
const HALF: usize = 16;
const NETWORK: Size = Size::new(2 * HALF, 2 * HALF);
const MASKLESS: Mask<'static> = Mask::all(NETWORK);

/// Two keypoints, four tokens, the reference's behaviour.
fn config() -> Config {
    Config { max_tokens: 4, least_tokens: 1, ..Config::reference(&[0.05, 0.05]).unwrap() }
}

fn decoder(config: &Config) -> Decoder {
    Decoder::new(config).unwrap()
}

/// Heatmaps of two keypoints and the centre, single cells raised.
fn maps(peaks: &[(usize, usize, usize, f32)]) -> Vec<f32> {
    let mut values = vec![0.0; 3 * HALF * HALF];
    for &(kind, column, row, value) in peaks {
        values[(kind * HALF + row) * HALF + column] = value;
    }
    values
}

/// Logits of `k` tokens that point nowhere, are sure of visibility and of the person.
struct FrameResult {
    k: usize,
    attention: Vec<f32>,
    visible: Vec<f32>,
    center: Vec<f32>,
}

impl FrameResult {
    fn new(k: usize) -> Self {
        Self { k, attention: vec![-9.0; 4 * k * k], visible: vec![2.0; 2 * k], center: vec![2.0; k] }
    }

    /// Keypoint `keypoint` of centre `rank` is token number `token` of type `kind`.
    fn choose(&mut self, keypoint: usize, rank: usize, kind: usize, token: usize) {
        self.attention[(keypoint * self.k + rank) * 2 * self.k + kind * self.k + token] = 3.0;
    }
}

struct Frame {
    workspace: Box<Workspace>,
    poses: Poses,
}

fn run(decoder: &Decoder, values: &[f32], mask: Mask<'_>, grouped: &FrameResult) -> Frame {
    let mut workspace = Box::new(Workspace::new());
    let mut poses = Poses::default();
    let maps = Maps::new("heat_half", values, [3, HALF, HALF]).unwrap();
    let inputs = decoder.inputs(maps, mask).unwrap();
    decoder.find_tokens(&inputs, &mut workspace);
    let outputs = decoder.grouped(grouped.k, &grouped.attention, &grouped.visible, &grouped.center).unwrap();
    decoder.group(&inputs, Some(&outputs), &Affine::IDENTITY, &mut workspace, &mut poses);
    Frame { workspace, poses }
}

fn places(poses: &Poses) -> Vec<Vec<(f32, f32)>> {
    poses.list.iter().map(|pose| pose.keypoints.iter().map(|point| (point.x, point.y)).collect()).collect()
}

/// A keypoint of each type and a centre. A cell alone has its first pixel at twice its place, and all four are equal.
fn one_person() -> Vec<f32> {
    maps(&[(0, 3, 4, 0.9), (1, 10, 11, 0.8), (2, 6, 7, 0.7)])
}

#[test]
fn keypoints_are_gathered_and_shifted() {
    let mut grouped = FrameResult::new(4);
    grouped.choose(0, 0, 0, 0);
    grouped.choose(1, 0, 1, 0);
    let own = Config { collapse_ties: true, least_tokens: 0, ..config() };
    let Frame { workspace, poses } = run(&decoder(&own), &one_person(), MASKLESS, &grouped);
    let tokens: Vec<_> = workspace.tokens().map(|tokens| (tokens.len(), tokens[0].x, tokens[0].y)).collect();
    assert_eq!(tokens, [(1, 6, 8), (1, 20, 22), (1, 12, 14)]);
    assert_eq!((workspace.tokens_needed(), workspace.report().tokens, workspace.report().centers), (1, 3, 1));
    // The neighbours to the right and below belong to the same cell and are higher than those on the other side.
    assert_eq!(places(&poses), [[(6.75, 8.75), (20.75, 22.75)]]);
    let sure = crate::decode::sigmoid(2.0);
    assert_eq!((poses.list[0].score, poses.list[0].keypoints[1].score), (sure, sure));
}

#[test]
fn plateaus_make_several_people_as_in_the_reference() {
    let mut grouped = FrameResult::new(4);
    for rank in 0..4 {
        grouped.choose(0, rank, 0, 0);
        grouped.choose(1, rank, 1, 0);
    }
    let Frame { workspace, poses } = run(&decoder(&config()), &one_person(), MASKLESS, &grouped);
    assert_eq!((workspace.report().centers, poses.list.len()), (4, 4));
    let nms = Config { nms_similarity: 0.9, ..config() };
    let Frame { workspace, poses } = run(&decoder(&nms), &one_person(), MASKLESS, &grouped);
    assert_eq!((workspace.report().suppressed, poses.list.len()), (3, 1));
}

#[test]
fn equal_attention_is_averaged_or_the_highest_wins() {
    let values = maps(&[(0, 3, 4, 0.9), (0, 11, 4, 0.95), (1, 10, 11, 0.8), (2, 6, 7, 0.7)]);
    let own = Config { collapse_ties: true, least_tokens: 0, ..config() };
    let mut grouped = FrameResult::new(2);
    // Token 0 lies at (22, 8), token 1 at (6, 8).
    grouped.choose(0, 0, 0, 0);
    grouped.choose(0, 0, 0, 1);
    grouped.choose(1, 0, 1, 0);
    let x = |rule| {
        let config = Config { attention_ties: rule, ..own.clone() };
        places(&run(&decoder(&config), &values, MASKLESS, &grouped).poses)[0][0].0
    };
    assert_eq!(x(TieRule::Mean), 14.0 - 0.25 + 0.5);
    assert_eq!(x(TieRule::Highest), 22.75);
}

/// Heights and attention worked out by hand.
#[test]
fn evidence_is_height_times_attention_near() {
    // Two left keypoints: one where the person is, one far away; the right one has a single peak.
    let values = maps(&[(0, 3, 4, 0.9), (0, 11, 4, 0.5), (1, 10, 11, 0.8), (2, 6, 7, 0.7)]);
    let own = Config { collapse_ties: true, least_tokens: 0, score: ScoreRule::Evidence, ..config() };
    let mut grouped = FrameResult::new(2);
    grouped.choose(0, 0, 0, 0);
    grouped.choose(1, 0, 1, 0);
    let (sure, other) = (grouped.attention[0], grouped.attention[1]);
    assert!(sure > other);
    // How much goes to the chosen token: the others have the same logit, and two of the four stand for no token or a place
    // far away.
    let share = 1.0 / (1.0 + 3.0 * libm::expf(other - sure));
    // A cell alone is at its own pixels three quarters as high on either axis.
    let expected = 0.5625 * (0.9 * share + 0.8 * share) / 2.0;
    let found = run(&decoder(&own), &values, MASKLESS, &grouped).poses.list[0].score;
    assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    // Where attention is torn between two places, the score halves.
    grouped.choose(0, 0, 0, 1);
    let torn = run(&decoder(&own), &values, MASKLESS, &grouped).poses.list[0].score;
    assert!(torn < 0.75 * expected, "{torn} {expected}");
}

#[test]
fn the_score_is_that_of_the_visible_keypoints_or_of_the_centre() {
    let own = Config { collapse_ties: true, least_tokens: 0, scored_keypoints: 1, ..config() };
    let mut grouped = FrameResult::new(4);
    grouped.choose(0, 0, 0, 0);
    grouped.choose(1, 0, 1, 0);
    let score = |visible: [f32; 2], center: f32, config: &Config| {
        let mut grouped = FrameResult { attention: grouped.attention.clone(), ..FrameResult::new(4) };
        (grouped.visible[0], grouped.visible[4], grouped.center[0]) = (visible[0], visible[1], center);
        run(&decoder(config), &one_person(), MASKLESS, &grouped).poses.list.first().map(|pose| pose.score)
    };
    let s = crate::decode::sigmoid;
    assert_eq!(score([1.0, -1.0], 2.0, &own), Some(s(1.0)));
    assert_eq!(score([-1.5, -1.0], 2.0, &own), Some(s(-1.0)));
    assert_eq!(score([1.0, 1.0], -0.5, &own), Some(s(-0.5)));
    let both = Config { scored_keypoints: 5, ..own.clone() };
    assert_eq!(score([1.0, -1.0], 2.0, &both), Some((s(1.0) + s(-1.0)) / 2.0));
    assert_eq!(score([1.0, 1.0], -2.0, &Config { score_threshold: 0.2, ..own }), None);
}

#[test]
fn numbers_that_are_not_finite_are_dropped_and_counted() {
    let own = Config { collapse_ties: true, least_tokens: 0, ..config() };
    let decoder = decoder(&own);
    let good = || {
        let mut grouped = FrameResult::new(4);
        grouped.choose(0, 0, 0, 0);
        grouped.choose(1, 0, 1, 0);
        grouped
    };
    let dropped = |poison: &dyn Fn(&mut FrameResult)| {
        let mut grouped = good();
        poison(&mut grouped);
        let Frame { workspace, poses } = run(&decoder, &one_person(), MASKLESS, &grouped);
        (poses.list.len(), poses.dropped, workspace.report().non_finite)
    };
    assert_eq!(dropped(&|_| ()), (1, 0, 0));
    assert_eq!(dropped(&|grouped| grouped.attention[1] = f32::NAN), (0, 1, 1));
    assert_eq!(dropped(&|grouped| grouped.attention[7] = f32::INFINITY), (0, 1, 1));
    assert_eq!(dropped(&|grouped| grouped.attention[7] = f32::NEG_INFINITY), (1, 0, 0));
    assert_eq!(dropped(&|grouped| grouped.attention.fill(f32::NEG_INFINITY)), (0, 1, 1));
    assert_eq!(dropped(&|grouped| grouped.visible[4] = f32::NAN), (0, 1, 1));
    assert_eq!(dropped(&|grouped| grouped.center[0] = f32::NAN), (0, 1, 1));
    // Token 3 of type 0 does not exist.
    assert_eq!(dropped(&|grouped| grouped.attention[3] = 9.0), (0, 1, 1));
    let mut values = one_person();
    values[0] = f32::NAN;
    let Frame { workspace, poses } = run(&decoder, &values, MASKLESS, &good());
    assert_eq!((poses.list.len(), poses.dropped, workspace.report().non_finite_cells), (1, 1, 1));
}

#[test]
fn padding_has_no_people() {
    let padding = [0; 4 * HALF * HALF];
    let mask = Mask::new(&padding, NETWORK).unwrap();
    let Frame { workspace, poses } = run(&decoder(&config()), &one_person(), mask, &FrameResult::new(4));
    assert_eq!((workspace.report().tokens, poses.list.len(), poses.dropped), (0, 0, 0));
    assert!(!workspace.has_people());
    assert_eq!(workspace.tokens_needed(), 0);
}

#[test]
fn tokens_are_written_for_any_room() {
    let decoder = decoder(&config());
    let values = one_person();
    let maps = Maps::new("heat_half", &values, [3, HALF, HALF]).unwrap();
    let inputs = decoder.inputs(maps, MASKLESS).unwrap();
    let mut workspace = Box::new(Workspace::new());
    decoder.find_tokens(&inputs, &mut workspace);
    for k in [1, 4, 6] {
        let (mut index, mut weight, mut bias) = (vec![-1; 12 * k], vec![-1.0; 12 * k], vec![-1.0; 3 * k]);
        decoder.write_index(&inputs, k, &workspace, &mut index).unwrap();
        decoder.write_weight(&inputs, k, &workspace, &mut weight).unwrap();
        decoder.write_bias(k, &workspace, &mut bias).unwrap();
        // The centre at (12, 14) reads the second map.
        assert_eq!(index[8 * k..8 * k + 4], [64 + 26, 64 + 27, 64 + 34, 64 + 35]);
        assert_eq!(weight[8 * k..8 * k + 4].iter().sum::<f32>(), 1.0);
        assert!(index.iter().all(|cell| (0..128).contains(cell)));
        assert_eq!(bias.iter().filter(|&&bias| bias == 0.0).count(), 3 * k.min(4));
    }
    assert_eq!(decoder.write_weight(&inputs, 2, &workspace, &mut [0.0; 23]).unwrap_err().tensor, "wgt");
    assert_eq!(decoder.write_bias(2, &workspace, &mut [0.0; 7]).unwrap_err().tensor, "bias");
    assert_eq!(decoder.grouped(2, &[0.0; 16], &[0.0; 4], &[0.0; 3]).unwrap_err().tensor, "center");
}

#[test]
fn shapes_are_checked() {
    let decoder = decoder(&config());
    let values = [0.0; 4 * 6 * 6];
    let maps = |shape: [usize; 3]| Maps::new("heat_half", &values[..shape.iter().product()], shape).unwrap();
    let error = |shape, mask| std::format!("{}", decoder.inputs(maps(shape), Mask::all(mask)).unwrap_err());
    assert!(error([4, 6, 6], Size::new(12, 12)).contains("4 channels, expected 3"));
    assert!(error([3, 6, 6], Size::new(11, 12)).contains("`mask` has 11 columns, expected 12"));
    assert!(error([3, 6, 5], Size::new(10, 12)).contains("5 columns, expected a multiple of 2"));
}

proptest! {
    /// Also for more tokens than a decoder lists: `decode` takes what a network was asked for.
    #[test]
    fn attention_near_a_place_is_a_part_of_the_softmax(
        k in prop_oneof![1usize..70, Just(1600)],
        logits in prop::collection::vec(-30.0f32..10.0, 1..80),
        places in prop::collection::vec((0u32..40, 0u32..40), 2 * MAX_TOKENS),
        extent in 12.0f32..200.0,
    ) {
        let logits: Vec<f32> = logits.into_iter().cycle().take(2 * k).collect();
        let mut tokens: people::Tokens = [const { heapless::Vec::new() }; MAX_TYPES];
        for (index, &(x, y)) in places.iter().enumerate() {
            let token = Token { x, y, score: 1.0, keep: true };
            tokens[index / MAX_TOKENS].push(token).unwrap();
        }
        let place = [20.0, 20.0];
        let found = people::attention_near(&logits, k, &tokens, place, extent);
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |logit: f32| if largest - logit < 20.0 { f64::from(logit - largest).exp() } else { 0.0 };
        let is_near = |token: &Token| {
            (token.x as f32 - place[0]).powi(2) + (token.y as f32 - place[1]).powi(2) < (0.08 * extent).powi(2)
        };
        let of = |index: usize| tokens[index / k].get(index % k).is_some_and(is_near);
        let near: f64 = (0..2 * k).filter(|&index| of(index)).map(|index| weight(logits[index])).sum();
        let all: f64 = logits.iter().map(|&logit| weight(logit)).sum();
        prop_assert!((f64::from(found) - near / all).abs() < 1e-4, "{found}, plainly {}", near / all);
    }

    #[test]
    fn arbitrary_numbers_neither_panic_nor_escape(
        values in prop::collection::vec(wild(), 3 * 36),
        attention in prop::collection::vec(wild(), 64),
        visible in prop::collection::vec(wild(), 8),
        center in prop::collection::vec(wild(), 4),
        padding in any::<u64>(),
        collapse_ties: bool,
        nms_similarity in prop_oneof![Just(0.5f32), Just(1.0)],
    ) {
        let config = Config { collapse_ties, nms_similarity, ..config() };
        let decoder = decoder(&config);
        let bytes: Vec<u8> = (0..144).map(|index| u8::from(padding.rotate_left(index) % 4 != 0)).collect();
        let mask = Mask::new(&bytes, Size::new(12, 12)).unwrap();
        let maps = Maps::new("heat_half", &values, [3, 6, 6]).unwrap();
        let inputs = decoder.inputs(maps, mask).unwrap();
        let mut workspace = Box::new(Workspace::new());
        let mut poses = Poses::default();
        decoder.find_tokens(&inputs, &mut workspace);
        let grouped = decoder.grouped(4, &attention, &visible, &center).unwrap();
        decoder.group(&inputs, Some(&grouped), &Affine::IDENTITY, &mut workspace, &mut poses);
        for pose in &poses.list {
            prop_assert!(pose.score.is_finite());
            prop_assert!(pose.keypoints.iter().all(|point| (0.0..13.0).contains(&point.x) && point.score.is_finite()));
        }
    }
}

/// Ordinary numbers, and occasionally a NaN or infinity.
fn wild() -> impl Strategy<Value = f32> {
    prop_oneof![20 => -1.0f32..1.0, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY), 1 => Just(f32::NEG_INFINITY), 1 => Just(1e38)]
}
