//! Facts about the machine for measurements, read from Linux's and JetPack's files.
//!
//! Nothing is changed: power modes and clocks are only reported.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::hash;
use crate::thermal::{self, text};

/// The machine, as far as known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The board's name, or the computer's.
    pub board: Option<String>,
    /// The processor's name.
    pub processor: Option<String>,
    /// Cores that this program may use.
    pub cores: usize,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// Release of NVIDIA's Linux for Tegra, such as `36.4.3`.
    pub l4t: Option<String>,
    /// Number of the power mode, as in `nvpmodel -q`.
    pub power_mode: Option<String>,
    /// Governor of the first core's clock.
    pub governor: Option<String>,
    /// Clock of the first core now, MHz.
    pub clock_mhz: Option<u32>,
    /// Maximum clock of the first core, MHz.
    pub clock_limit_mhz: Option<u32>,
    /// The hottest thermal zone, degrees Celsius.
    pub temperature_celsius: Option<f32>,
    /// Zones in which a passive trip point is reached: there the kernel lowers clocks.
    pub throttling: Vec<String>,
}

impl Machine {
    /// This machine, now.
    pub fn here() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, Into::into);
        Self { cores, ..Self::at(Path::new("/")) }
    }

    /// The machine described by the files under `root`.
    fn at(root: &Path) -> Self {
        let read = |path: &str| text(&root.join(path));
        let cpu = |name: &str| read(&format!("sys/devices/system/cpu/cpu0/cpufreq/{name}"));
        let megahertz = |name| cpu(name).and_then(|text| text.parse::<u32>().ok()).map(|kilohertz| kilohertz / 1000);
        let zones = thermal::zones(&root.join(thermal::FOLDER));
        let product = || read("sys/devices/virtual/dmi/id/product_name");
        Self {
            board: read("proc/device-tree/model").or_else(product),
            processor: read("proc/cpuinfo").as_deref().and_then(processor),
            cores: 0,
            kernel: read("proc/sys/kernel/osrelease"),
            l4t: read("etc/nv_tegra_release").as_deref().and_then(l4t),
            power_mode: read("var/lib/nvpmodel/status").map(|text| text.trim_start_matches("pmode:").to_owned()),
            governor: cpu("scaling_governor"),
            clock_mhz: megahertz("scaling_cur_freq"),
            clock_limit_mhz: megahertz("scaling_max_freq"),
            temperature_celsius: thermal::hottest(&zones),
            throttling: zones.into_iter().filter(|zone| zone.throttles).map(|zone| zone.name).collect(),
        }
    }
}

/// The machine's name, and an identifier that is unique even if names are not: the board's serial number, or a digest of the
/// system's identifier, which itself must stay private.
pub fn identity() -> (Option<String>, Option<String>) {
    identity_at(Path::new("/"))
}

fn identity_at(root: &Path) -> (Option<String>, Option<String>) {
    let read = |path: &str| text(&root.join(path));
    let digest = || read("etc/machine-id").map(|id| hash::of_bytes(format!("sinew {id}").as_bytes())[..16].to_owned());
    (read("proc/sys/kernel/hostname"), read("proc/device-tree/serial-number").or_else(digest))
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// `# R36 (release), REVISION: 4.3, ...` is 36.4.3.
fn l4t(release: &str) -> Option<String> {
    let rest = release.trim_start_matches(['#', ' ']).strip_prefix('R')?;
    let (major, rest) = rest.split_once(' ')?;
    let revision = rest.split_once("REVISION: ")?.1.split(',').next()?.trim();
    Some(format!("{major}.{revision}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_board_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0");
        write(root, "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n");
        write(root, "var/lib/nvpmodel/status", "pmode:0002\n");
        write(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1510400\n");
        write(root, "sys/class/thermal/thermal_zone0/temp", "51250\n");
        write(root, "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
        write(root, "sys/class/thermal/thermal_zone1/temp", "99500\n");
        write(root, "sys/class/thermal/thermal_zone1/type", "gpu-thermal\n");
        write(root, "sys/class/thermal/thermal_zone1/trip_point_0_type", "passive\n");
        write(root, "sys/class/thermal/thermal_zone1/trip_point_0_temp", "99000\n");
        let machine = Machine::at(root);
        assert_eq!(machine.board.as_deref(), Some("NVIDIA Jetson Orin Nano Developer Kit"));
        assert_eq!(machine.l4t.as_deref(), Some("36.4.3"));
        assert_eq!(machine.power_mode.as_deref(), Some("0002"));
        assert_eq!(machine.clock_mhz, Some(1510));
        assert_eq!(machine.temperature_celsius, Some(99.5));
        assert_eq!(machine.throttling, ["gpu-thermal"]);
        assert_eq!(machine.governor, None);
    }

    #[test]
    fn machines_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(identity_at(root), (None, None));
        write(root, "proc/sys/kernel/hostname", "gate-3\n");
        write(root, "etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        let (host, device) = identity_at(root);
        let device = device.unwrap();
        assert_eq!((host.as_deref(), device.len()), (Some("gate-3"), 16));
        assert!(!"0123456789abcdef0123456789abcdef".contains(&device), "the system's own identifier stays here");
        write(root, "proc/device-tree/serial-number", "1421622012345\0");
        assert_eq!(identity_at(root).1.as_deref(), Some("1421622012345"));
    }

    #[test]
    fn a_machine_that_says_nothing_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Machine::at(folder.path()), Machine::default());
        write(folder.path(), "etc/nv_tegra_release", "nonsense");
        write(folder.path(), "sys/class/thermal/thermal_zone0/temp", "hot");
        assert_eq!(Machine::at(folder.path()), Machine::default());
    }
}
