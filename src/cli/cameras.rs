//! `sinew cameras`: lists cameras and their modes.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{Verdict, output};
use crate::geometry::Size;
use crate::source::v4l2::{self, CaptureMode, CaptureRequest, Device, FourCc, FrameEncoding, choose, is_raw_sensor};

/// List cameras and their modes
#[derive(Debug, Args)]
pub struct CamerasArguments {
    /// Only this one, with all modes and controls
    #[arg(value_name = "DEVICE")]
    device: Option<PathBuf>,
    /// Set a control of it, by its name as it is listed; may be repeated, also while the camera is in use
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting, requires = "device")]
    set: Vec<(String, i32)>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// One device node.
struct Found {
    path: PathBuf,
    /// Names that it keeps when it is plugged in again.
    lasting: Vec<PathBuf>,
    card: String,
    driver: String,
    bus: String,
    formats: Vec<FourCc>,
    offers: Vec<CaptureMode>,
    controls: Vec<v4l2::Control>,
    /// The mode that `sinew run` would use, or why there is none.
    choice: String,
}

impl CamerasArguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Verdict> {
        if let (Some(path), false) = (&self.device, self.set.is_empty()) {
            let device = Device::open(path)?;
            for (name, value) in &self.set {
                device.set_control(name, *value)?;
            }
            return Ok(Verdict::Good);
        }
        let mut cameras = Vec::new();
        for path in self.device.clone().map_or_else(v4l2::nodes, |device| vec![device]) {
            match Device::open(&path) {
                Ok(device) => cameras.push(look(&device)?),
                // Cameras have nodes without frames too; one that was named is an error.
                Err(error) if self.device.is_some() => return Err(error.into()),
                Err(error) => tracing::info!("{error}"),
            }
        }
        if self.json {
            output::print_json(&cameras.iter().map(object).collect::<Vec<_>>())?;
        } else if cameras.is_empty() {
            tracing::warn!("no camera found; one that is plugged in shows up as /dev/video0");
        } else if self.device.is_some() {
            details(&cameras[0])?;
        } else {
            let rows = cameras.iter().map(|camera| {
                let formats: Vec<_> = camera.formats.iter().map(ToString::to_string).collect();
                [camera.path.display().to_string(), camera.card.clone(), formats.join(" "), camera.choice.clone()]
            });
            output::print_table(["DEVICE", "CAMERA", "LAYOUTS", "WOULD TAKE"], &rows.collect::<Vec<_>>())?;
        }
        Ok(if cameras.is_empty() { Verdict::Negative } else { Verdict::Good })
    }
}

/// `gain=20`
fn setting(text: &str) -> Result<(String, i32), String> {
    let (name, value) = text.split_once('=').ok_or("give a name and a value, such as gain=20")?;
    Ok((name.to_owned(), value.parse().map_err(|_| format!("{value} is not a whole number"))?))
}

fn look(device: &Device) -> anyhow::Result<Found> {
    let about = device.about()?;
    let formats = device.formats();
    let offers = device.offers(Size::new(1280, 720));
    let choice = would_take(device).unwrap_or_else(|reason| reason);
    Ok(Found {
        path: device.path().to_owned(),
        lasting: lasting_names(device.path()),
        card: about.card,
        driver: about.driver,
        bus: about.bus,
        formats,
        offers,
        controls: device.controls(),
        choice,
    })
}

/// The mode that `sinew run` uses of a camera by default, or why there is none.
pub fn would_take(device: &Device) -> Result<String, String> {
    match choose(&device.offers(Size::new(1280, 720)), &CaptureRequest::of(device.path())) {
        Some(offer) => Ok(describe(offer)),
        None if is_raw_sensor(&device.formats()) => Err("nothing: a raw sensor (docs/cameras.md)".to_owned()),
        None => Ok("what the driver gives".to_owned()),
    }
}

fn describe(offer: &CaptureMode) -> String {
    let fastest = offer.rates.iter().copied().fold(0.0, f64::max);
    let rate = if fastest > 0.0 { format!(" at {}", round(fastest)) } else { String::new() };
    format!("{} {}{rate}", offer.format, offer.size)
}

/// A rate with two decimals.
fn round(rate: f64) -> f64 {
    (100.0 * rate).round() / 100.0
}

/// Links below `/dev/v4l` that lead to a node.
fn lasting_names(node: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    for folder in ["/dev/v4l/by-path", "/dev/v4l/by-id"] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        names.extend(entries.filter(|link| std::fs::canonicalize(link).is_ok_and(|target| target == node)));
    }
    names.sort();
    names
}

fn details(camera: &Found) -> anyhow::Result<()> {
    let mut rows = vec![
        ["camera".to_owned(), format!("{} ({}, {})", camera.card, camera.driver, camera.bus)],
        ["would take".to_owned(), camera.choice.clone()],
    ];
    rows.extend(camera.lasting.iter().map(|name| ["lasting name".to_owned(), name.display().to_string()]));
    for offer in &camera.offers {
        let rates: Vec<_> = offer.rates.iter().map(|&rate| round(rate).to_string()).collect();
        let note = match offer.format.encoding() {
            FrameEncoding::Bayer => " (raw, not read)",
            FrameEncoding::Unknown => " (not read)",
            _ => "",
        };
        rows.push([format!("{}{note}", offer.format), format!("{} at {}", offer.size, rates.join(", "))]);
    }
    for control in &camera.controls {
        let range = format!("{} to {}, normally {}", control.minimum, control.maximum, control.default);
        rows.push([format!("control.{}", control.name), range]);
    }
    output::print_table(["WHAT", "VALUE"], &rows)
}

fn object(camera: &Found) -> Value {
    let offers = camera.offers.iter().map(|offer| {
        let size = [offer.size.width, offer.size.height];
        json!({"format": offer.format.to_string(), "size": size, "rates": offer.rates,
            "read": !matches!(offer.format.encoding(), FrameEncoding::Bayer | FrameEncoding::Unknown)})
    });
    let controls = camera.controls.iter().map(|control| {
        json!({"name": control.name, "minimum": control.minimum, "maximum": control.maximum, "default": control.default})
    });
    json!({
        "device": camera.path, "lasting": camera.lasting, "card": camera.card, "driver": camera.driver,
        "bus": camera.bus, "would_take": camera.choice, "offers": offers.collect::<Vec<_>>(),
        "controls": controls.collect::<Vec<_>>(),
    })
}
