//! What the networks find: so many people on a grid, over faint noise.

use super::api::Signature;

/// A small generator of random numbers; the scenes are the same on every run.
struct Random(u64);

impl Random {
    /// Evenly from `low` to `high`.
    fn between(&mut self, low: f32, high: f32) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (high - low) * ((self.0 >> 40) as f32 / (1u64 << 24) as f32)
    }

    /// About normal.
    fn noise(&mut self) -> f32 {
        0.002 * (0..12).map(|_| self.between(-0.5, 0.5)).sum::<f32>()
    }
}

/// Where everybody is in maps of this size: centres, and how far apart.
fn places(width: usize, height: usize, people: usize) -> (Vec<(f32, f32)>, f32) {
    let (width, height) = (width as f32, height as f32);
    let columns = (people as f32 * width / height).sqrt().ceil().max(1.0);
    let rows = (people as f32 / columns).ceil().max(1.0);
    let place = |person: usize| {
        let (column, row) = (person as f32 % columns, (person as f32 / columns).floor());
        ((column + 0.5) * width / columns, (row + 0.5) * height / rows)
    };
    ((0..people).map(place).collect(), (width / columns).min(height / rows))
}

/// How far a keypoint is from its person's centre, as a fraction of the distance between people.
fn offset(keypoint: usize) -> (f32, f32) {
    (0.18 * (keypoint % 5) as f32 - 0.36, 0.2 * (keypoint / 5) as f32 - 0.3)
}

/// Maps of 17 keypoints and the centre.
fn heat(shape: &[usize], people: usize) -> Vec<f32> {
    let (height, width) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let ((centres, step), mut random) = (places(width, height, people), Random(1));
    let mut maps: Vec<f32> = (0..shape.iter().product()).map(|_| random.noise()).collect();
    for (channel, map) in maps.chunks_exact_mut(width * height).enumerate() {
        for (person, &(x, y)) in centres.iter().enumerate() {
            let (dx, dy) = if channel < 17 { offset(channel) } else { (0.0, 0.0) };
            let (x, y, sigma) = (x + dx * step, y + dy * step, (step / 12.0).clamp(0.8, 2.0));
            let reach = 3.0 * sigma;
            let range =
                |at: f32, end: usize| (at - reach).max(0.0) as usize..((at + reach).max(0.0) as usize + 1).min(end);
            for row in range(y, height) {
                for column in range(x, width) {
                    let squared = (column as f32 - x).powi(2) + (row as f32 - y).powi(2);
                    let value = &mut map[row * width + column];
                    *value = value.max((0.9 - 0.01 * person as f32) * (-squared / (2.0 * sigma * sigma)).exp());
                }
            }
        }
    }
    maps
}

/// From every cell to its person's keypoints.
fn offsets(shape: &[usize], people: usize) -> Vec<f32> {
    let (height, width) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let (centres, step) = places(width, height, people);
    let mut maps = vec![0.0; shape.iter().product()];
    for (channel, map) in maps.chunks_exact_mut(width * height).enumerate() {
        let (dx, dy) = offset(channel / 2);
        for (index, value) in map.iter_mut().enumerate() {
            let (column, row) = ((index % width) as f32, (index / width) as f32);
            let near = centres.iter().find(|(x, y)| (column - x).abs() < step / 2.0 && (row - y).abs() < step / 2.0);
            if let Some((x, y)) = near {
                *value = if channel % 2 == 0 { column - x - dx * step } else { row - y - dy * step };
            }
        }
    }
    maps
}

/// The values of a network's output.
pub fn values(name: &str, shape: &[usize], people: usize) -> Vec<f32> {
    let count: usize = shape.iter().product();
    match name {
        "heatmaps" | "heat_half" => heat(shape, people),
        "offsets" => offsets(shape, people),
        "kam" => {
            let bump = |index: usize| {
                let (dx, dy) = ((index % 11) as f32 - 5.0, (index / 11 % 11) as f32 - 5.0);
                (-(dx * dx + dy * dy) / 8.0).exp()
            };
            (0..count).map(bump).collect()
        }
        "attn" => {
            // Each token of a type belongs to the centre of the same rank.
            let (tokens, row) = (shape[1], shape[2]);
            let of_its_type = |index: usize| index / row == index % row;
            (0..count).map(|index| if of_its_type(index) && index / row < 17 * tokens { 4.0 } else { -2.0 }).collect()
        }
        "vis" | "center" => vec![2.0; count],
        _ => vec![0.0; count],
    }
}

/// How often the second network runs for a frame.
pub fn second_runs<'a>(signatures: impl Iterator<Item = &'a Signature>, people: usize) -> usize {
    let outputs = |signature: &Signature| signature.outputs.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>();
    let is_logocap = signatures.flat_map(outputs).any(|name| name == "kam");
    // LOGO-CAP's here takes one person at a time, CenterGroup's everybody.
    if is_logocap { people } else { people.min(1) }
}
