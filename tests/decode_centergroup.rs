//! CenterGroup's post-processing against `tests/golden/centergroup`, which plain NumPy made (`models/reference/`), and
//! against arrays that the reference implementation computed. The latter are not part of the project: the environment
//! variable `SINEW_FIXTURES` names the folder, and without it they are not compared.

mod arrays;
mod common;

use std::path::{Path, PathBuf};

use arrays::{SIGMAS, array, assert_close, maps, numbers};
use sinew::decode::centergroup::{
    Config, Decoder, Inputs, Mask, ScoreRule, Token, Workspace, write_mask, write_positions,
};
use sinew::decode::heatmap::Double;
use sinew::decode::{Map, Maps};
use sinew::geometry::{Centre, ShortSideLayout, Size};
use sinew::npz::Npz;
use sinew::pose::Poses;

const TOKENS: usize = 30;
const TYPES: usize = 18;

fn decoder() -> Decoder {
    Decoder::new(&Config::reference(&SIGMAS).unwrap()).unwrap()
}

fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/centergroup");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 6, "golden arrays are missing: {} found", files.len());
    files
}

/// The folder of the reference arrays, and the cases in it.
fn fixtures() -> Option<(PathBuf, [&'static str; 3])> {
    let Some(root) = std::env::var_os("SINEW_FIXTURES") else {
        common::skip("SINEW_FIXTURES does not name the folder of the reference arrays");
        return None;
    };
    Some((Path::new(&root).join("centergroup"), ["c1_one", "c5", "missing"]))
}

fn has(path: &Path, name: &str) -> bool {
    Npz::open(path).unwrap().array(name).unwrap().is_some()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|&value| value as u8).collect()
}

/// `tokens` of all types as x and y, score, and whether they count.
fn flat(workspace: &Workspace) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let all = || workspace.tokens().flatten();
    let place = |token: &Token| [token.x as f32, token.y as f32];
    (
        all().flat_map(place).collect(),
        all().map(|token| token.score).collect(),
        all().map(|token| f32::from(u8::from(token.keep))).collect(),
    )
}

fn layout(image: &[f32], network: Size) -> ShortSideLayout {
    let image = Size::new(image[0] as usize, image[1] as usize);
    ShortSideLayout::with_network(image, network, Centre::RoundedToEven).unwrap()
}

/// Everything after the grouping network: poses as x, y and visibility, and scores.
fn people(
    decoder: &Decoder,
    inputs: &Inputs<'_>,
    [attention, visible, center]: [&[f32]; 3],
    layout: &ShortSideLayout,
    workspace: &mut Workspace,
) -> (Vec<f32>, Vec<f32>) {
    let grouped = decoder.grouped(TOKENS, attention, visible, center).unwrap();
    let mut poses = Poses::default();
    decoder.group(inputs, Some(&grouped), &layout.image_from_network, workspace, &mut poses);
    assert_eq!(poses.dropped, 0);
    let points = poses.list.iter().flat_map(|pose| &pose.keypoints);
    (points.flat_map(|p| [p.x, p.y, p.score]).collect(), poses.list.iter().map(|pose| pose.score).collect())
}

#[test]
fn golden_arrays_agree() {
    let decoder = decoder();
    let evidence = Decoder::new(&Config { score: ScoreRule::Evidence, ..Config::reference(&SIGMAS).unwrap() }).unwrap();
    // One workspace for all, so that nothing of one frame may leak into the next.
    let mut workspace = Box::new(Workspace::new());
    for path in golden() {
        let heat_half = array(&path, "heat_half");
        let values = heat_half.to_f32();
        let network = Size::new(2 * heat_half.shape[2], 2 * heat_half.shape[1]);
        let layout = layout(&numbers(&path, "image_size"), network);

        let mut mask = vec![7; network.area().unwrap()];
        let size = numbers(&path, "image_size");
        let image = Size::new(size[0] as usize, size[1] as usize);
        write_mask(image, &layout.image_from_network, network, &mut mask).unwrap();
        let expected =
            if has(&path, "mask") { bytes(&numbers(&path, "mask")) } else { vec![1; network.area().unwrap()] };
        assert!(mask == expected, "{}: mask", path.display());

        let inputs =
            decoder.inputs(maps("heat_half", &heat_half, &values), Mask::new(&mask, network).unwrap()).unwrap();
        decoder.find_all_tokens(&inputs, &mut workspace);
        let (places, scores, keep) = flat(&workspace);
        assert_close(&path, "peaks_xy", &places, &numbers(&path, "peaks_xy"), 0.0);
        assert_close(&path, "peaks_score", &scores, &numbers(&path, "peaks_score"), 0.0);
        assert_close(&path, "peaks_keep", &keep, &numbers(&path, "peaks_keep"), 0.0);

        let count = TYPES * TOKENS;
        let (mut index, mut weight, mut bias) = (vec![0; 4 * count], vec![0.0; 4 * count], vec![0.0; count]);
        decoder.write_index(&inputs, TOKENS, &workspace, &mut index).unwrap();
        decoder.write_weight(&inputs, TOKENS, &workspace, &mut weight).unwrap();
        decoder.write_bias(TOKENS, &workspace, &mut bias).unwrap();
        let index: Vec<f32> = index.iter().map(|&index| index as f32).collect();
        assert_close(&path, "idx", &index, &numbers(&path, "idx"), 0.0);
        assert_close(&path, "wgt", &weight, &numbers(&path, "wgt"), 0.0);
        assert_close(&path, "bias", &bias, &numbers(&path, "bias"), 0.0);

        let [attention, visible, center] = ["attn", "vis", "center"].map(|name| numbers(&path, name));
        let result = [&attention[..], &visible, &center];
        let (poses, scores) = people(&decoder, &inputs, result, &layout, &mut workspace);
        let expected: Vec<f32> =
            numbers(&path, "poses").as_chunks::<4>().0.iter().flat_map(|&[x, y, visible, _]| [x, y, visible]).collect();
        assert_close(&path, "poses", &poses, &expected, 1e-5);
        assert_close(&path, "scores", &scores, &numbers(&path, "scores"), 1e-6);
        // Our own score, everything else as in the reference.
        let (_, scores) = people(&evidence, &inputs, result, &layout, &mut workspace);
        assert_close(&path, "evidence", &scores, &numbers(&path, "evidence"), 1e-5);
    }
}

/// The heatmaps of a case: given, or the mean of both outputs.
fn heat_half(folder: &Path, case: &str) -> (Vec<f32>, [usize; 3]) {
    let half = folder.join(format!("{case}_half.npz"));
    let peaks = folder.join(format!("{case}_peaks.npz"));
    let fine = array(&peaks, "out1");
    let shape = [fine.shape[1], fine.shape[2], fine.shape[3]];
    if half.exists() {
        return (numbers(&half, "heat_half"), shape);
    }
    let (coarse, mut values) = (numbers(&peaks, "out0"), fine.to_f32());
    let area = shape[1] * shape[2];
    for (coarse, values) in coarse.chunks_exact(area / 4).zip(values.chunks_exact_mut(area)) {
        let double = Double::new(Map::new("out0", coarse, [shape[1] / 2, shape[2] / 2]).unwrap());
        for (index, value) in values.iter_mut().enumerate() {
            *value = (double.at(index % shape[2], index / shape[2]) + *value) / 2.0;
        }
    }
    (values, shape)
}

/// Both types of tokens of a case, as one list.
fn both(path: &Path, part: &str) -> Vec<f32> {
    [format!("kp_{part}"), format!("center_{part}")].iter().flat_map(|name| numbers(path, name)).collect()
}

#[test]
fn the_reference_implementation_agrees() {
    let Some((folder, cases)) = fixtures() else { return };
    let decoder = decoder();
    let mut workspace = Box::new(Workspace::new());
    for case in cases {
        let path = folder.join(format!("{case}_peaks.npz"));
        let (values, shape) = heat_half(&folder, case);
        let network = Size::new(2 * shape[2], 2 * shape[1]);
        let mask = bytes(&numbers(&path, "pad_mask_full"));
        let inputs = decoder
            .inputs(Maps::new("heat_half", &values, shape).unwrap(), Mask::new(&mask, network).unwrap())
            .unwrap();
        decoder.find_all_tokens(&inputs, &mut workspace);
        let (places, scores, keep) = flat(&workspace);
        let expected = [both(&path, "xy"), both(&path, "score"), both(&path, "keep")];
        assert_close(&path, "score", &scores, &expected[1], 1.2e-7);
        let mut untied = 0;
        for kind in 0..TYPES {
            let row = &expected[1][kind * TOKENS..][..TOKENS];
            for (rank, &value) in row.iter().enumerate() {
                // The last one may tie with a pixel that was cut off; those at 0 lie anywhere.
                let single = row.iter().filter(|&&other| other == value).count() == 1;
                if value > row[TOKENS - 1] && single {
                    untied += 1;
                    let slot = kind * TOKENS + rank;
                    assert_eq!(places[2 * slot..2 * slot + 2], expected[0][2 * slot..2 * slot + 2], "{case} {slot}");
                    assert_eq!(keep[slot], expected[2][slot], "{case} {slot}");
                }
            }
        }
        assert!(untied >= TYPES, "{case}: only {untied} places can be compared");

        // The rest depends on the order of equal tokens, so it is compared where ours is the reference's.
        let (group, result) = (folder.join(format!("{case}_group.npz")), folder.join(format!("{case}_poses.npz")));
        let logits = numbers(&group, "attn_logits");
        let row = (TYPES - 1) * TOKENS;
        let mut attention = vec![0.0; logits.len()];
        let mut visible = vec![0.0; row];
        let given = numbers(&group, "vis_logit");
        // Centre-major there, type-major here; and the tokens in our order.
        let order = token_order(&workspace, &expected[0], &expected[1]);
        for center in 0..TOKENS {
            let their_center = order[row + center] - row;
            for kind in 0..TYPES - 1 {
                visible[kind * TOKENS + center] = given[their_center * (TYPES - 1) + kind];
                let from = &logits[(their_center * (TYPES - 1) + kind) * row..][..row];
                let to = &mut attention[(kind * TOKENS + center) * row..][..row];
                for (to, &theirs) in to.iter_mut().zip(&order) {
                    *to = from[theirs];
                }
            }
        }
        let presence = numbers(&group, "center_logit");
        let center: Vec<f32> = order[row..].iter().map(|&theirs| presence[theirs - row]).collect();
        let [height, width] = numbers(&result, "image_hw")[..] else { panic!("image_hw") };
        let layout = layout(&[width, height], network);
        let (poses, scores) = people(&decoder, &inputs, [&attention, &visible, &center], &layout, &mut workspace);

        let [image, net] = ["poses_image", "poses_net"].map(|name| numbers(&result, name));
        let expected: Vec<f32> = image
            .chunks(image.len() / (net.len() / 3))
            .zip(net.chunks(3))
            .flat_map(|(p, n)| [p[0], p[1], n[2]])
            .collect();
        // People in the order of their centres' scores; those whose centre lies at 0 are anywhere.
        let sure = workspace.tokens().last().unwrap().iter().filter(|token| token.keep && token.score > 0.0).count();
        assert!(sure > 0);
        let length = 3 * (TYPES - 1);
        assert_close(&result, "poses_image", &poses[..sure * length], &expected[..sure * length], 1e-3);
        assert_close(&result, "scores", &scores[..sure], &numbers(&result, "scores")[..sure], 1e-5);
        println!("{case}: {untied} places and {sure} people agree");
    }
}

/// For each of our tokens the reference's slot for it. Tokens of value 0 stay where they are.
fn token_order(workspace: &Workspace, places: &[f32], scores: &[f32]) -> Vec<usize> {
    let mut order = Vec::new();
    for (kind, tokens) in workspace.tokens().enumerate() {
        for (rank, token) in tokens.iter().enumerate() {
            let slots = kind * TOKENS..(kind + 1) * TOKENS;
            let same = |&slot: &usize| {
                scores[slot] > 0.0 && places[2 * slot..2 * slot + 2] == [token.x as f32, token.y as f32]
            };
            order.push(slots.clone().find(same).unwrap_or(slots.start + rank));
        }
    }
    order
}

#[test]
fn masks_and_positions_agree_with_the_reference() {
    let Some((folder, cases)) = fixtures() else { return };
    let path = folder.join("preprocess.npz");
    for number in 0..4 {
        let rgb = array(&path, &format!("img{number}_rgb"));
        let image = Size::new(rgb.shape[1], rgb.shape[0]);
        for part in ["quarter", "half", "full"] {
            let name = format!("img{number}_pad_{part}");
            let expected = array(&path, &name);
            let size = Size::new(expected.shape[1], expected.shape[0]);
            let layout = ShortSideLayout::with_network(image, size, Centre::RoundedToEven).unwrap();
            let mut mask = vec![7; size.area().unwrap()];
            write_mask(image, &layout.image_from_network, size, &mut mask).unwrap();
            assert!(mask == bytes(&expected.to_f32()), "{name}");
        }
    }
    for case in cases {
        let (peaks, tokens) = (folder.join(format!("{case}_peaks.npz")), folder.join(format!("{case}_tokens.npz")));
        let quarter = array(&peaks, "pad_mask_quarter");
        let size = Size::new(quarter.shape[1], quarter.shape[0]);
        let mask = bytes(&quarter.to_f32());
        let mut rows = vec![0.0; 128 * mask.len()];
        write_positions(Mask::new(&mask, size).unwrap(), 128, &mut rows).unwrap();
        let places = numbers(&peaks, "kp_xy");
        let expected = numbers(&tokens, "kp_pos");
        let decoder = decoder();
        let (values, shape) = heat_half(&folder, case);
        let full = bytes(&numbers(&peaks, "pad_mask_full"));
        let network = Size::new(2 * shape[2], 2 * shape[1]);
        let inputs = decoder
            .inputs(Maps::new("heat_half", &values, shape).unwrap(), Mask::new(&full, network).unwrap())
            .unwrap();
        let mut workspace = Box::new(Workspace::new());
        decoder.find_all_tokens(&inputs, &mut workspace);
        let count = TYPES * TOKENS;
        let (mut index, mut weight) = (vec![0; 4 * count], vec![0.0; 4 * count]);
        decoder.write_index(&inputs, TOKENS, &workspace, &mut index).unwrap();
        decoder.write_weight(&inputs, TOKENS, &workspace, &mut weight).unwrap();
        let mut compared = 0;
        for (slot, token) in workspace.tokens().take(TYPES - 1).flatten().enumerate() {
            if places[2 * slot..2 * slot + 2] != [token.x as f32, token.y as f32] {
                continue;
            }
            compared += 1;
            let read: Vec<f32> = (0..128)
                .map(|channel| {
                    let taps = index[4 * slot..4 * slot + 4].iter().zip(&weight[4 * slot..]);
                    taps.map(|(&cell, weight)| rows[128 * cell as usize + channel] * weight).sum()
                })
                .collect();
            assert_close(&tokens, "kp_pos", &read, &expected[128 * slot..][..128], 4e-6);
        }
        assert!(compared >= TYPES, "{case}: only {compared} tokens can be compared");
    }
}

/// Against `tests/golden/centergroup-masks.txt`, what OpenCV 4 makes of a white image, by count and by checksum.
#[test]
fn masks_are_those_of_the_official_warp() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/centergroup-masks.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 200, "{} masks", lines.len());
    for line in lines {
        let numbers: Vec<usize> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [width, height, short_side, divisor, valid, checksum] = numbers[..] else { panic!("{line}") };
        let image = Size::new(width, height);
        let network = ShortSideLayout::new(image, short_side, 64, Centre::RoundedToEven).unwrap().network;
        let size = Size::new(network.width / divisor, network.height / divisor);
        let layout = ShortSideLayout::with_network(image, size, Centre::RoundedToEven).unwrap();
        let mut mask = vec![9; size.width * size.height];
        write_mask(image, &layout.image_from_network, size, &mut mask).unwrap();
        let indices = || mask.iter().enumerate().filter(|&(_, &byte)| byte == 1).map(|(index, _)| index as u64);
        let squares = indices().fold(0_u64, |sum, index| sum.wrapping_add(index * index));
        assert_eq!((indices().count(), squares % (1 << 32)), (valid, checksum as u64), "{line}");
    }
}
