//! What surrounds CapeFormer's networks against `tests/golden/capeformer`, which plain NumPy made (`models/reference/`).

mod arrays;

use std::path::{Path, PathBuf};

use arrays::{assert_close, numbers};
use sinew::decode::capeformer::{Crop, TOKENS, propose, support_weights, write_identity};
use sinew::geometry::{Rectangle, Size};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/capeformer/parts.npz")
}

#[test]
fn support_weights_agree() {
    let points = numbers(&golden(), "points");
    let weights: Vec<f32> =
        points.as_chunks::<2>().0.iter().flat_map(|&[x, y]| support_weights(x, y).unwrap()).collect();
    assert_close(&golden(), "weights", &weights, &numbers(&golden(), "weights"), 1e-6);
}

#[test]
fn proposals_agree() {
    let similarity = numbers(&golden(), "similarity");
    let maps = similarity.as_chunks::<TOKENS>().0;
    let found: Vec<f32> = maps.iter().map(|map| propose(map).unwrap()).flat_map(|place| [place.x, place.y]).collect();
    assert_close(&golden(), "proposals", &found, &numbers(&golden(), "proposals"), 1e-6);
}

#[test]
fn crops_agree() {
    let [width, height] = numbers(&golden(), "picture")[..] else { panic!("picture") };
    let image = Size::new(width as usize, height as usize);
    let found: Vec<f32> = numbers(&golden(), "boxes")
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&[x, y, width, height]| Crop::around(Rectangle { x, y, width, height }, image, 1.25).unwrap())
        .flat_map(|crop| [crop.x as f32, crop.y as f32, crop.side as f32])
        .collect();
    assert_close(&golden(), "crops", &found, &numbers(&golden(), "crops"), 1e-4);
}

#[test]
fn identifiers_agree() {
    let mut found = vec![0.0; 4 * 256];
    for (index, identity) in [0, 1, 16, 99].into_iter().zip(found.chunks_exact_mut(256)) {
        write_identity(index, identity).unwrap();
    }
    assert_close(&golden(), "identity", &found, &numbers(&golden(), "identity"), 1e-6);
}
