//! How hot the machine is, and whether the kernel lowers clocks for it.

use std::fs;
use std::path::Path;

/// Where Linux keeps thermal zones, below the root.
pub const FOLDER: &str = "sys/class/thermal";

/// A part of the machine with a thermometer.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// As the kernel calls it, such as `gpu-thermal`.
    pub name: String,
    /// Degrees Celsius.
    pub celsius: f32,
    /// Whether a passive trip point is reached: there the kernel lowers clocks.
    pub throttles: bool,
}

/// The zones in `folder`, by name, without those that cannot be read.
pub fn zones(folder: &Path) -> Vec<Zone> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut zones: Vec<Zone> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("thermal_zone"))
        .filter_map(|entry| zone(&entry.path()))
        .collect();
    zones.sort_by(|a, b| a.name.cmp(&b.name));
    zones
}

/// The highest temperature, degrees Celsius.
pub fn hottest(zones: &[Zone]) -> Option<f32> {
    zones.iter().map(|zone| zone.celsius).reduce(f32::max)
}

fn zone(folder: &Path) -> Option<Zone> {
    let milli: f32 = text(&folder.join("temp"))?.parse().ok()?;
    let name = text(&folder.join("type")).unwrap_or_else(|| folder.display().to_string());
    let is_passive =
        |trip: u32| text(&folder.join(format!("trip_point_{trip}_type"))).is_some_and(|kind| kind == "passive");
    let reached = |trip: u32| {
        let limit = text(&folder.join(format!("trip_point_{trip}_temp")))?.parse::<f32>().ok()?;
        Some(limit > 0.0 && milli >= limit)
    };
    let throttles = (0..16).any(|trip| is_passive(trip) && reached(trip) == Some(true));
    Some(Zone { name, celsius: milli / 1000.0, throttles })
}

/// A short file's text without the blanks and zeros around it; `None` where there is none.
pub fn text(path: &Path) -> Option<String> {
    let text = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}
