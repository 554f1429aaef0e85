//! How long it takes on one core to gather the features of one image's keypoints from the network's tokens.
//!
//!     cargo bench --bench enrol -- --scenes FOLDER [--json]
//!
//! `FOLDER/enrol.npz` holds `points [K, 2]` in crop pixels and `tokens [64, width]`; `benches/compare_enrol.py` makes it and
//! measures PyTorch on the same image.

mod arguments;

use std::error::Error;
use std::time::{Duration, Instant};

use arguments::Arguments;
use sinew::decode::capeformer::{pool, support_weights};
use sinew::npz::{Array, Npz};

/// Measured for this long.
const PATIENCE: Duration = Duration::from_millis(1500);

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { scenes, json } = Arguments::parse()?;
    let Some(folder) = scenes else {
        println!("no image to enrol: benches/compare_enrol.py makes one");
        return Ok(());
    };
    let mut file = Npz::open(&folder.join("enrol.npz"))?;
    let mut array = |name: &str| match file.array(name)? {
        Some(array) => Ok::<Array, Box<dyn Error>>(array),
        None => Err(format!("no array `{name}`").into()),
    };
    let (points, tokens) = (array("points")?.to_f32(), array("tokens")?);
    let width = *tokens.shape.last().ok_or("`tokens` needs 2 axes")?;
    let (points, tokens) = (points.as_chunks::<2>().0, tokens.to_f32());
    let mut features = vec![0.0; points.len() * width];
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.len() < 20 || begin.elapsed() < PATIENCE {
        let start = Instant::now();
        features.fill(0.0);
        for (&[x, y], features) in points.iter().zip(features.chunks_exact_mut(width)) {
            let weights = support_weights(x, y).ok_or("a point outside the crop")?;
            pool(&weights, &tokens, 1.0, features)?;
        }
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let (median, count) = (times[times.len() / 2], points.len());
    let checksum: f64 = features.iter().map(|&value| f64::from(value).abs()).sum();
    if json {
        println!(r#"{{"keypoints":{count},"checksum":{checksum},"median_ms":{median:.5}}}"#);
    } else {
        println!("{count} keypoints: {median:.5} ms");
    }
    Ok(())
}
