//! What this program needs of Sinew, as commit fa29438 calls it: benches/pipeline.py compiles this file there in place of now.rs.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use sinew::bundle::Bundle;
use sinew::engine::tensorrt::{Installation, Sidecar, sha256};
use sinew::engine::{Element, Environment, TensorSpec};
pub use sinew::engine::{Network, Signature};
use sinew::estimator::{self, Estimator, Options};
pub use sinew::geometry::Size;
use sinew::pixels::PictureView;
pub use sinew::pixels::PixelFormat;
use sinew::runtime::{Counts, LivePipeline, Observer, Skip, WholePicture};
pub use sinew::sink::jsonl::JsonLines;
use sinew::sink::{Answer, Description, Kind, Sink, SinkError};
use sinew::source::{Frame, LiveCounts, Source, SourceError};

use super::{Camera, Meter, SIZE};

/// The version that the double of the library is compiled as.
const VERSION: &str = "10.3.0";

pub fn is_index(spec: &TensorSpec) -> bool {
    spec.element == Element::I32
}

pub fn networks(bundle: &Bundle, image: Size) -> Result<Vec<Network>, Box<dyn Error>> {
    Ok(estimator::networks(bundle, image, None)?)
}

fn installation(library: &Path, driver: &Path, engines: &Path) -> Installation {
    let (library, driver) = (Some(library.to_owned()), Some(driver.to_owned()));
    Installation { library, driver, plans: engines.to_owned(), probe: None }
}

/// Writes a plan and its side-car.
pub fn write_plan(
    library: &Path,
    driver: &Path,
    folder: &Path,
    network: &Network,
    plan: &str,
) -> Result<(), Box<dyn Error>> {
    let path = installation(library, driver, folder).plan(&network.files, &network.signature);
    fs::write(&path, plan)?;
    let sidecar = Sidecar {
        schema: 1,
        label: network.files.label.clone(),
        trt_version: VERSION.to_owned(),
        compute_capability: (8, 7),
        sm_count: 8,
        device_name: "no GPU at all".to_owned(),
        board: None,
        l4t: None,
        cuda_driver_version: 12060,
        precision: "fp16".to_owned(),
        builder: Vec::new(),
        onnx_sha256: network.files.fp32.sha256.clone(),
        weights_sha256: network.files.fp32.sha256.clone(),
        engine_sha256: sha256(plan.as_bytes()),
        engine_bytes: plan.len() as u64,
        inputs: network.signature.inputs.iter().map(Into::into).collect(),
        outputs: network.signature.outputs.iter().map(Into::into).collect(),
        created: 0,
    };
    Ok(fs::write(Sidecar::path(&path), serde_json::to_string(&sidecar)?)?)
}

/// What estimates the poses of so many cameras.
pub fn estimators(
    cameras: usize,
    library: &Path,
    driver: &Path,
    folder: &Path,
    bundle: &Bundle,
    image: Size,
    format: PixelFormat,
) -> Result<Vec<Box<dyn Estimator>>, Box<dyn Error>> {
    let open = |_| {
        let environment = Environment::tensorrt(installation(library, driver, folder))?;
        Ok(estimator::open_in(environment, bundle, &Options::default(), image, format)?)
    };
    (0..cameras).map(open).collect()
}

pub fn schema(bundle: &Bundle) -> Description {
    let keypoints = bundle.keypoint_names().to_vec();
    Description {
        kinds: vec![Kind { name: "person".to_owned(), keypoints, ..Kind::default() }],
        poses: bundle.manifest().limits.poses,
        ..Description::default()
    }
}

impl Source for Camera {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        let (bytes, sequence, instant) = self.next();
        let picture = PictureView::new(PixelFormat::Yuyv, SIZE, 2 * SIZE.width, bytes).expect("its size fits");
        Ok(Some(Frame { picture, sequence, captured: None, instant: Some(instant), name: Some("camera") }))
    }

    fn live(&self) -> Option<LiveCounts> {
        Some(LiveCounts::default())
    }
}

impl Sink for Meter {
    fn put(&mut self, result: &Answer<'_>) -> Result<(), SinkError> {
        self.lines.put(result)?;
        self.count(result.poses.list.len(), result.frame.instant);
        Ok(())
    }
}

struct Silent;

impl Observer for Silent {
    fn skipped(&mut self, why: &Skip, _: &Counts) {
        eprintln!("{why}");
    }
}

pub fn run(
    cameras: Vec<Camera>,
    estimators: &mut [Box<dyn Estimator>],
    meter: Meter,
    stop: Arc<AtomicBool>,
) -> Result<(), Box<dyn Error>> {
    let cameras = cameras.into_iter().map(|camera| Box::new(camera) as Box<dyn Source>).collect();
    let sinks = vec![Box::new(meter) as Box<dyn Sink>];
    let (boxes, observer) = (&mut WholePicture, &mut Silent);
    LivePipeline { cameras, estimators, boxes, sinks, observer, deadline: None, stop }.run(&mut Counts::default())?;
    Ok(())
}
