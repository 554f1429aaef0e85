//! Temperatures of the machine, and whether the kernel lowers clocks because of them.

use std::fs;
use std::path::Path;

/// Where Linux keeps thermal zones, below the root.
pub const FOLDER: &str = "sys/class/thermal";

/// A thermal zone of the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// The kernel's name for it, such as `gpu-thermal`.
    pub name: String,
    /// Degrees Celsius.
    pub celsius: f32,
    /// Whether a passive trip point is reached: there the kernel lowers clocks.
    pub throttles: bool,
}

/// Zones that are not real sensors: constants (the PMIC of Jetsons reports 100 °C whatever happens) and estimates for the fan.
const NO_THERMOMETERS: [&str; 2] = ["pmic-die", "thermal-fan-est"];
/// Plausible temperatures of a running machine, degrees Celsius. Unpowered sensors report -256 or the like.
const PLAUSIBLE: std::ops::Range<f32> = -55.0..150.0;

/// The zones in `folder`, by name. Zones that cannot be read, are disabled, or are not real sensors are omitted.
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
    let is_disabled = text(&folder.join("mode")).is_some_and(|mode| mode == "disabled");
    let is_constant = NO_THERMOMETERS.iter().any(|other| name.eq_ignore_ascii_case(other));
    if is_disabled || is_constant || !PLAUSIBLE.contains(&(milli / 1000.0)) {
        return None;
    }
    let is_passive =
        |trip: u32| text(&folder.join(format!("trip_point_{trip}_type"))).is_some_and(|kind| kind == "passive");
    let reached = |trip: u32| {
        let limit = text(&folder.join(format!("trip_point_{trip}_temp")))?.parse::<f32>().ok()?;
        Some(limit > 0.0 && milli >= limit)
    };
    let throttles = (0..16).any(|trip| is_passive(trip) && reached(trip) == Some(true));
    Some(Zone { name, celsius: milli / 1000.0, throttles })
}

/// A short file's text without the blanks and zeros around it; `None` if there is none.
pub fn text(path: &Path) -> Option<String> {
    let text = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with zones of these types, millidegrees and modes.
    fn folder(zones: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (number, (kind, temperature, mode)) in zones.iter().enumerate() {
            let zone = folder.path().join(format!("thermal_zone{number}"));
            fs::create_dir(&zone).unwrap();
            for (name, text) in [("type", kind), ("temp", temperature), ("mode", mode)] {
                fs::write(zone.join(name), format!("{text}\n")).unwrap();
            }
        }
        folder
    }

    fn names(zones: &[(&str, &str, &str)]) -> Vec<String> {
        self::zones(folder(zones).path()).into_iter().map(|zone| zone.name).collect()
    }

    #[test]
    fn constants_of_jetsons_are_no_temperatures() {
        let nano = [
            ("AO-therm", "41000", "enabled"),
            ("CPU-therm", "36500", "enabled"),
            ("PMIC-Die", "100000", "enabled"),
            ("thermal-fan-est", "36000", "enabled"),
        ];
        assert_eq!(names(&nano), ["AO-therm", "CPU-therm"]);
        assert_eq!(hottest(&self::zones(folder(&nano).path())), Some(41.0));
    }

    #[test]
    fn sensors_without_power_are_no_temperatures() {
        let orin = [
            ("cpu-thermal", "48000", "enabled"),
            ("cv0-thermal", "-256000", "enabled"),
            ("soc-thermal", "2147483647", "enabled"),
            ("gpu-thermal", "47000", "disabled"),
            ("tj-thermal", "", "enabled"),
        ];
        assert_eq!(names(&orin), ["cpu-thermal"]);
    }

    #[test]
    fn a_board_at_a_hundred_degrees_is_believed() {
        assert_eq!(names(&[("cpu-thermal", "100000", "enabled")]), ["cpu-thermal"]);
        assert!(names(&[("PMIC-Die", "100000", "enabled")]).is_empty());
        assert_eq!(hottest(&[]), None);
    }
}
