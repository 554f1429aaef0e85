//! Estimates the poses in an image: `cargo run --release --example estimate -- logocap-tiny photo.jpg`.

use std::error::Error;

use sinew::bundle::Bundle;
use sinew::engine::Backend;
use sinew::estimator::{self, Options, Request};
use sinew::pixels::{Limits, read_image};
use sinew::pose::Poses;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, path] = &arguments[..] else { return Err("give a bundle and an image".into()) };
    let bundle = Bundle::open(model)?;
    let image = read_image(path.as_ref(), &Limits::default())?;
    let options = Options::default();
    let mut estimator = estimator::open(&bundle, Backend::Auto, &options, image.size(), image.format())?;
    let mut poses = Poses::default();
    estimator.estimate(&Request::new(image.view()), &mut poses)?;
    for pose in &poses.list {
        println!("score {:.2}", pose.score);
        for (name, keypoint) in bundle.keypoint_names().iter().zip(&pose.keypoints) {
            println!("  {name:15} {:6.1} {:6.1}  {:.2}", keypoint.x, keypoint.y, keypoint.score);
        }
    }
    Ok(())
}
