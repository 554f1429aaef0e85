//! How long LOGO-CAP's post-processing takes on one core, by people in the frame.
//!
//!     cargo bench --bench decode [-- --json] [--scenes FOLDER]
//!
//! Frames are made up: people on a grid in a network input of 512x512, or read from `FOLDER/<people>.npz` with the
//! arrays `heatmaps`, `offsets` and `kam`. `benches/compare_decode.py` makes such files and measures PyTorch on the same ones.

mod arguments;

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use arguments::Arguments;
use sinew::decode::Maps;
use sinew::decode::logocap::{Config, Decoder, Workspace};
use sinew::geometry::{Centre, ShortSideLayout, Size};
use sinew::npz::{Array, Npz};
use sinew::pose::Poses;

const SIGMAS: [f32; 17] = [
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089,
];
const PEOPLE: [usize; 5] = [0, 1, 5, 20, 30];
/// Cells on a side of the made-up maps.
const CELLS: usize = 128;
/// Every scene is decoded for this long.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The networks' outputs for one frame.
struct Scene {
    heatmaps: Array,
    offsets: Array,
    kam: Array,
}

/// A small generator of random numbers; the scenes are the same on every run.
struct Random(u64);

impl Random {
    /// Evenly from `low` to `high`.
    fn between(&mut self, low: f32, high: f32) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (high - low) * ((self.0 >> 40) as f32 / (1u64 << 24) as f32)
    }

    /// About normal, with this deviation.
    fn noise(&mut self, deviation: f32) -> f32 {
        (0..12).map(|_| self.between(-0.5, 0.5)).sum::<f32>() * deviation
    }
}

impl Scene {
    fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let mut file = Npz::open(path)?;
        let mut array = |name: &str| match file.array(name)? {
            Some(array) => Ok::<_, Box<dyn Error>>(array),
            None => Err(format!("{}: no array `{name}`", path.display()).into()),
        };
        Ok(Self { heatmaps: array("heatmaps")?, offsets: array("offsets")?, kam: array("kam")? })
    }

    /// `people` on a grid, every keypoint a blob over faint noise, offsets off by some pixels, attraction maps a bump.
    fn made_up(people: usize) -> Self {
        let mut random = Random(1);
        let area = CELLS * CELLS;
        let mut heatmaps: Vec<f32> = (0..18 * area).map(|_| random.noise(0.002)).collect();
        let mut offsets = vec![0.0f32; 34 * area];
        // Below zero, so that noise makes no candidate.
        heatmaps[17 * area..].iter_mut().for_each(|value| *value = -value.abs());
        let columns = (people as f32).sqrt().ceil().max(1.0);
        let step = CELLS as f32 / columns;
        for person in 0..people {
            let place = |index: f32| (index + 0.5) * step;
            let center_x = place(person as f32 % columns) + random.between(-0.4, 0.4);
            let center_y = place((person as f32 / columns).floor()) + random.between(-0.4, 0.4);
            for keypoint in 0..18 {
                let (x, y, sigma) = if keypoint == 17 {
                    (center_x, center_y, (step / 6.0).min(4.0))
                } else {
                    let reach = 0.45 * step;
                    let (dx, dy) = (random.between(-reach, reach), random.between(-reach, reach));
                    (center_x + dx, center_y + dy, (step / 6.0).min(2.0))
                };
                let (error_x, error_y) = (random.noise(0.5), random.noise(0.5));
                for index in 0..area {
                    let (column, row) = ((index % CELLS) as f32, (index / CELLS) as f32);
                    let squared = (column - x).powi(2) + (row - y).powi(2);
                    let bell = (-squared / (2.0 * sigma * sigma)).exp();
                    if bell > 0.1 {
                        let value = &mut heatmaps[keypoint * area + index];
                        *value = value.max((0.9 - 0.01 * person as f32) * bell);
                    }
                    let near = (column - center_x).abs() < step / 2.0 && (row - center_y).abs() < step / 2.0;
                    if keypoint < 17 && near {
                        offsets[2 * keypoint * area + index] = column - x + error_x;
                        offsets[(2 * keypoint + 1) * area + index] = row - y + error_y;
                    }
                }
            }
        }
        let kam: Vec<f32> = (0..30 * 17 * 121)
            .map(|index| {
                let (dx, dy) = ((index % 11) as f32 - 5.0, (index / 11 % 11) as f32 - 5.0);
                (-(dx * dx + dy * dy) / 8.0).exp() + random.noise(0.03)
            })
            .collect();
        let array = |shape: &[usize], values| Array::from_f32(shape, values).expect("the shape fits");
        Self {
            heatmaps: array(&[18, CELLS, CELLS], heatmaps),
            offsets: array(&[34, CELLS, CELLS], offsets),
            kam: array(&[30, 17, 11, 11], kam),
        }
    }
}

/// What was measured on one scene, milliseconds.
struct Measured {
    people: usize,
    candidates: usize,
    poses: usize,
    median: f64,
    least: f64,
    /// Medians: centres and initial poses, sampling grid, refinement, the rest.
    stages: [f64; 4],
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(people: usize, scene: &Scene) -> Result<Measured, Box<dyn Error>> {
    let decoder = Decoder::new(&Config::reference(&SIGMAS)?)?;
    let (heatmaps, offsets, kam) = (scene.heatmaps.to_f32(), scene.offsets.to_f32(), scene.kam.to_f32());
    let maps = |name, array: &Array, values| match array.shape[..] {
        [channels, height, width] => Maps::new(name, values, [channels, height, width]).map_err(Box::<dyn Error>::from),
        _ => Err(format!("`{name}` has {} axes, expected 3", array.shape.len()).into()),
    };
    let heatmaps = maps("heatmaps", &scene.heatmaps, heatmaps.as_slice())?;
    let offsets = maps("offsets", &scene.offsets, offsets.as_slice())?;
    let network = Size::new(4 * heatmaps.size().width, 4 * heatmaps.size().height);
    let layout = ShortSideLayout::with_network(network, network, Centre::RoundedUp).ok_or("an empty network")?;

    let mut workspace = Box::new(Workspace::new());
    let mut poses = Poses::default();
    let mut grid = vec![0.0; decoder.grid_len(30)];
    let mut times: [Vec<f64>; 5] = Default::default();
    let begin = Instant::now();
    while times[0].len() < 20 || begin.elapsed() < PATIENCE {
        let mut marks = [Instant::now(); 5];
        let inputs = decoder.inputs(heatmaps, offsets)?;
        decoder.find_centers(&inputs, &mut workspace);
        decoder.initial_poses(&inputs, &mut workspace);
        marks[1] = Instant::now();
        let candidates = 0..workspace.centers().len();
        decoder.write_grid(&inputs, candidates.clone(), &workspace, &mut grid[..decoder.grid_len(candidates.len())])?;
        marks[2] = Instant::now();
        decoder.refine(&inputs, candidates, &kam, &mut workspace)?;
        marks[3] = Instant::now();
        decoder.finish(&layout.image_from_network, &mut workspace, &mut poses);
        marks[4] = Instant::now();
        for stage in 0..4 {
            times[stage].push(1e3 * (marks[stage + 1] - marks[stage]).as_secs_f64());
        }
        times[4].push(1e3 * (marks[4] - marks[0]).as_secs_f64());
    }
    let [.., whole] = &mut times;
    let middle = median(whole);
    let least = whole[0];
    Ok(Measured {
        people,
        candidates: workspace.centers().len(),
        poses: poses.list.len(),
        median: middle,
        least,
        stages: std::array::from_fn(|stage| median(&mut times[stage])),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { scenes, json } = Arguments::parse()?;
    if !json {
        println!("people  candidates  poses   median ms   least ms   centres      grid    refine    finish");
    }
    for people in PEOPLE {
        let scene = match &scenes {
            Some(folder) => Scene::read(&folder.join(format!("{people}.npz")))?,
            None => Scene::made_up(people),
        };
        let Measured { people, candidates, poses, median, least, stages } = measure(people, &scene)?;
        let [centers, grid, refine, finish] = stages;
        if json {
            println!(
                r#"{{"people":{people},"candidates":{candidates},"poses":{poses},"median_ms":{median:.4},"min_ms":{least:.4},"centers_ms":{centers:.4},"grid_ms":{grid:.4},"refine_ms":{refine:.4},"finish_ms":{finish:.4}}}"#
            );
        } else {
            println!(
                "{people:6}  {candidates:10}  {poses:5}  {median:10.4}  {least:9.4}  {centers:8.4}  {grid:8.4}  {refine:8.4}  {finish:8.4}"
            );
        }
    }
    Ok(())
}
