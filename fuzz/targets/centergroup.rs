//! Any tensors, NaN and infinities included, through CenterGroup's post-processing: finite poses inside the image,
//! indices inside the maps, in bounded time.
#![no_main]

mod values;

use libfuzzer_sys::fuzz_target;
use sinew::decode::Maps;
use sinew::decode::centergroup::{Config, Decoder, Mask, ScoreRule, TieRule, Workspace};
use sinew::geometry::{Affine, Size};
use sinew::pose::{MAX_POSES, Poses};
use values::Values;

const SIGMAS: [f32; 3] = [0.025, 0.079, 0.107];
/// Of the heatmaps, in cells; the network's input has twice as many pixels.
const LARGEST_HALF: usize = 24;
const MOST_TOKENS: usize = 8;

fn reference() -> Config {
    Config { max_tokens: MOST_TOKENS, ..Config::reference(&SIGMAS).unwrap() }
}

fn config(bytes: &[u8]) -> Config {
    let flags = bytes[0];
    Config {
        collapse_ties: flags & 1 != 0,
        attention_ties: if flags & 2 != 0 { TieRule::Highest } else { TieRule::Mean },
        score: if flags & 16 != 0 { ScoreRule::Evidence } else { ScoreRule::Visibility },
        nms_similarity: if flags & 4 != 0 { f32::from(bytes[1]) / 128.0 } else { 1.0 },
        keypoint_window_radius: usize::from(bytes[2] % 10),
        center_window_radius: usize::from(bytes[3] % 10),
        max_tokens: usize::from(bytes[4]) % (MOST_TOKENS + 1),
        least_tokens: usize::from(bytes[5] % 10),
        max_poses: usize::from(bytes[6] % 40),
        token_threshold: f32::from_le_bytes([bytes[6], bytes[7], bytes[8], bytes[9]]),
        ..reference()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = bytes.split_at_checked(16) else { return };
    if body.is_empty() {
        return;
    }
    // Bits of the first byte that the configuration leaves over choose how the rest is read.
    let config = if head[0] & 8 != 0 { config(head) } else { reference() };
    let Ok(decoder) = Decoder::new(&config) else { return };
    let half = Size::new(
        2 * (1 + usize::from(head[10]) % (LARGEST_HALF / 2)),
        2 * (1 + usize::from(head[11]) % (LARGEST_HALF / 2)),
    );
    let network = Size::new(2 * half.width, 2 * half.height);
    // Plausible are -8..8: heatmaps and logits.
    let mut values = Values { bytes: body, at: 0, raw: head[0] & 16 != 0, least: -8.0 };
    let heat_half = values.take(decoder.types() * half.width * half.height);
    let padding: Vec<u8> = (0..network.width * network.height).map(|_| values.byte() & head[12]).collect();
    let mask = if head[0] & 32 != 0 { Mask::new(&padding, network).unwrap() } else { Mask::all(network) };
    let maps = Maps::new("heat_half", &heat_half, [decoder.types(), half.height, half.width]).unwrap();
    let inputs = decoder.inputs(maps, mask).unwrap();

    let mut workspace = Box::new(Workspace::new());
    let mut poses = Poses::default();
    decoder.find_tokens(&inputs, &mut workspace);
    for tokens in workspace.tokens() {
        assert!(tokens.len() <= config.max_tokens);
        for token in tokens {
            assert!((token.x as usize) < network.width && (token.y as usize) < network.height);
            assert!(token.score.is_finite());
            assert!(!token.keep || mask.contains(token.x as usize, token.y as usize));
        }
    }
    let k = workspace.tokens_needed().max(1);
    let count = decoder.types() * k;
    let (mut index, mut weight, mut bias) = (vec![0; 4 * count], vec![0.0; 4 * count], vec![0.0; count]);
    decoder.write_index(&inputs, k, &workspace, &mut index).unwrap();
    decoder.write_weight(&inputs, k, &workspace, &mut weight).unwrap();
    decoder.write_bias(k, &workspace, &mut bias).unwrap();
    let rows = (half.width * half.height / 2) as i32;
    assert!(index.iter().all(|row| (0..rows).contains(row)));
    let attention = values.take((decoder.keypoints() * k) * (decoder.keypoints() * k));
    let visible = values.take(decoder.keypoints() * k);
    let center = values.take(k);
    let grouped = decoder.grouped(k, &attention, &visible, &center).unwrap();
    decoder.group(&inputs, Some(&grouped), &Affine::IDENTITY, &mut workspace, &mut poses);
    assert!(poses.list.len() <= config.max_poses.min(MAX_POSES));
    for pose in &poses.list {
        assert_eq!(pose.keypoints.len(), SIGMAS.len());
        assert!(pose.score.is_finite());
        for point in &pose.keypoints {
            assert!((0.0..network.width as f32 + 1.0).contains(&point.x));
            assert!((0.0..network.height as f32 + 1.0).contains(&point.y));
            assert!((0.0..=1.0).contains(&point.score));
        }
    }
});
