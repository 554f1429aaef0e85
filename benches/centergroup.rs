//! How long CenterGroup's post-processing takes on one core, by people in the frame, without its grouping network.
//!
//!     cargo bench --bench centergroup -- --scenes FOLDER [--json]
//!
//! Frames are read from `FOLDER/<people>.npz` with the arrays `heat_half`, `attn`, `vis` and `center`.
//! `benches/compare_centergroup.py` makes such files and measures PyTorch on the same ones.

mod arguments;

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use arguments::Arguments;
use sinew::decode::Maps;
use sinew::decode::centergroup::{Config, Decoder, Mask, Workspace};
use sinew::geometry::{Centre, ShortSideLayout, Size};
use sinew::npz::{Array, Npz};
use sinew::pose::Poses;

const SIGMAS: [f32; 17] = [
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089,
];
const PEOPLE: [usize; 5] = [0, 1, 5, 20, 30];
const TOKENS: usize = 30;
/// Every scene is decoded for this long.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What was measured on one scene; times are medians in milliseconds.
struct Measured {
    tokens: u32,
    poses: usize,
    /// Sum of all coordinates.
    checksum: f64,
    whole: f64,
    /// Finding tokens, writing them, gathering people.
    stages: [f64; 3],
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(path: &Path) -> Result<Measured, Box<dyn Error>> {
    let mut file = Npz::open(path)?;
    let mut array = |name: &str| match file.array(name)? {
        Some(array) => Ok::<Array, Box<dyn Error>>(array),
        None => Err(format!("{}: no array `{name}`", path.display()).into()),
    };
    let heat_half = array("heat_half")?;
    let [channels, height, width] = heat_half.shape[..] else { return Err("`heat_half` needs 3 axes".into()) };
    let (values, attention) = (heat_half.to_f32(), array("attn")?.to_f32());
    let (visible, center) = (array("vis")?.to_f32(), array("center")?.to_f32());
    let decoder = Decoder::new(&Config::reference(&SIGMAS)?)?;
    let network = Size::new(2 * width, 2 * height);
    let layout = ShortSideLayout::with_network(network, network, Centre::RoundedToEven).ok_or("an empty network")?;
    let valid = vec![1; network.width * network.height];

    let count = decoder.types() * TOKENS;
    let (mut index, mut weight, mut bias) = (vec![0; 4 * count], vec![0.0; 4 * count], vec![0.0; count]);
    let mut workspace = Box::new(Workspace::new());
    let mut poses = Poses::default();
    let mut times: [Vec<f64>; 4] = Default::default();
    let begin = Instant::now();
    while times[0].len() < 20 || begin.elapsed() < PATIENCE {
        let mut marks = [Instant::now(); 4];
        let maps = Maps::new("heat_half", &values, [channels, height, width])?;
        let inputs = decoder.inputs(maps, Mask::new(&valid, network)?)?;
        decoder.find_tokens(&inputs, &mut workspace);
        marks[1] = Instant::now();
        decoder.write_index(&inputs, TOKENS, &workspace, &mut index)?;
        decoder.write_weight(&inputs, TOKENS, &workspace, &mut weight)?;
        decoder.write_bias(TOKENS, &workspace, &mut bias)?;
        marks[2] = Instant::now();
        let grouped = decoder.grouped(TOKENS, &attention, &visible, &center)?;
        decoder.group(&inputs, Some(&grouped), &layout.image_from_network, &mut workspace, &mut poses);
        marks[3] = Instant::now();
        for stage in 0..3 {
            times[stage].push(1e3 * (marks[stage + 1] - marks[stage]).as_secs_f64());
        }
        times[3].push(1e3 * (marks[3] - marks[0]).as_secs_f64());
    }
    let points = poses.list.iter().flat_map(|pose| &pose.keypoints);
    Ok(Measured {
        tokens: workspace.report().tokens,
        poses: poses.list.len(),
        checksum: points.map(|point| f64::from(point.x) + f64::from(point.y)).sum(),
        whole: median(&mut times[3]),
        stages: std::array::from_fn(|stage| median(&mut times[stage])),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { scenes, json } = Arguments::parse()?;
    let Some(folder) = scenes else {
        println!("no frames to decode: benches/compare_centergroup.py makes some");
        return Ok(());
    };
    if !json {
        println!("people  tokens  poses   median ms      find     write     group");
    }
    for people in PEOPLE {
        let Measured { tokens, poses, checksum, whole, stages } = measure(&folder.join(format!("{people}.npz")))?;
        let [find, write, group] = stages;
        if json {
            println!(
                r#"{{"people":{people},"tokens":{tokens},"poses":{poses},"checksum":{checksum},"median_ms":{whole:.4},"find_ms":{find:.4},"write_ms":{write:.4},"group_ms":{group:.4}}}"#
            );
        } else {
            println!("{people:6}  {tokens:6}  {poses:5}  {whole:10.4}  {find:8.4}  {write:8.4}  {group:8.4}");
        }
    }
    Ok(())
}
