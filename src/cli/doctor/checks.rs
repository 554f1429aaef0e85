//! The checks, one function each.

use std::path::Path;

use super::Finding;
use crate::bundle::{self, Bundle};
use crate::cli::config::Settings;
use crate::cli::machine::Machine;
#[cfg(any(feature = "tensorrt", test))]
use crate::engine::folder::SERVICE;
use crate::engine::{Backend, EngineError, Provider, Session};

/// Free space below this is reported, MiB: a few engines take as much.
#[cfg(feature = "tensorrt")]
const LEAST_SPACE: u64 = 500;
/// Free memory below this is reported, MiB.
const LEAST_MEMORY: u64 = 500;

/// All checks.
pub fn all(config: Option<&Path>) -> Vec<Finding> {
    let here = Machine::here();
    let mut findings = vec![machine(&here), memory(), configuration(config)];
    findings.extend(throttling(&here));
    findings.extend(bundles());
    findings.extend(backends());
    findings.extend(engines());
    findings.extend(cameras());
    findings.extend(programs());
    findings
}

fn machine(machine: &Machine) -> Finding {
    let mut found = machine.board.clone().unwrap_or_else(|| "an unnamed machine".to_owned());
    for (what, value) in [
        ("", machine.processor.clone()),
        ("Linux ", machine.kernel.clone()),
        ("L4T ", machine.l4t.clone()),
        ("power mode ", machine.power_mode.clone()),
        ("governor ", machine.governor.clone()),
    ] {
        found += &value.map_or_else(String::new, |value| format!(", {what}{value}"));
    }
    found += &format!(", {} cores", machine.cores);
    if let (Some(now), Some(limit)) = (machine.clock_mhz, machine.clock_limit_mhz) {
        found += &format!(", {now} of {limit} MHz");
    }
    Finding::ok("machine", found)
}

fn throttling(machine: &Machine) -> Option<Finding> {
    let celsius = machine.temperature_celsius?;
    Some(if machine.throttling.is_empty() {
        Finding::ok("temperature", format!("{celsius:.0} °C at most"))
    } else {
        let zones = machine.throttling.join(", ");
        Finding::warn(
            "temperature",
            format!("{celsius:.0} °C; the kernel lowers clocks for {zones}"),
            "cool the board, or choose a lower power mode with `nvpmodel -m`",
        )
    })
}

fn memory() -> Finding {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    match line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()) {
        None => Finding::warn("memory", "unknown", "none: /proc/meminfo lacks it"),
        Some(free) if free / 1024 < LEAST_MEMORY => Finding::warn(
            "memory",
            format!("{} MiB free", free / 1024),
            "end other programs; building engines takes more than running them",
        ),
        Some(free) => Finding::ok("memory", format!("{} MiB free", free / 1024)),
    }
}

fn configuration(given: Option<&Path>) -> Finding {
    match Settings::default().with_files(given) {
        Ok(settings) if settings == Settings::default() => Finding::ok("configuration", "nothing is configured"),
        Ok(_) => Finding::ok("configuration", "read; `sinew config show` prints it"),
        Err(error) => Finding::fail("configuration", format!("{error:#}"), "correct the file"),
    }
}

fn bundles() -> Vec<Finding> {
    let listed = bundle::list();
    if listed.is_empty() {
        return vec![Finding::fail(
            "bundles",
            "no bundle found",
            "start the program in the project's folder, install it with its models, or set SINEW_BUNDLES",
        )];
    }
    let check = |listed: bundle::Listed| {
        let what = format!("bundle {}", listed.folder.file_name().unwrap_or_default().display());
        match Bundle::open(&listed.folder) {
            Ok(bundle) => Finding::ok(what, format!("whole, {:.1} MB", bundle.bytes() as f64 / 1e6)),
            Err(error) => {
                let remedy = "copy the bundle again; `sinew models verify` runs its networks";
                Finding::fail(what, error.to_string(), remedy)
            }
        }
    };
    listed.into_iter().map(check).collect()
}

fn backends() -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut works = 0;
    for (backend, remedy) in [
        (Backend::TensorRt, "on a Jetson, install JetPack; elsewhere the CPU is used"),
        (
            Backend::OnnxRuntime(Provider::Cpu),
            "if you want it, install ONNX Runtime and set SINEW_ONNXRUNTIME_LIBRARY; tract needs no library",
        ),
        (Backend::Tract, "build the program with the cargo feature `tract`"),
    ] {
        let what = format!("backend {backend}");
        match Session::new(backend, 1).and_then(|_| describe(backend)) {
            Ok(found) => {
                works += 1;
                findings.push(Finding::ok(what, found));
            }
            Err(error) => findings.push(Finding::warn(what, error.to_string(), remedy)),
        }
    }
    findings.extend(providers());
    if works == 0 {
        findings.push(Finding::fail("backends", "none works", "fix one of those above"));
    }
    findings
}

/// The providers for GPUs that the installed ONNX Runtime was built with.
#[cfg(feature = "onnxruntime")]
fn providers() -> Vec<Finding> {
    // A missing library has been reported.
    let providers = crate::engine::gpu_providers().unwrap_or_default();
    let finding = |(provider, tried): (Provider, Result<(), String>)| {
        let what = format!("backend onnxruntime --provider {provider}");
        match tried {
            Ok(()) => Finding::ok(what, "its libraries are there"),
            Err(reason) => {
                Finding::warn(what, reason, "install what it names, or take --provider cpu, which is the default")
            }
        }
    };
    providers.into_iter().map(finding).collect()
}

#[cfg(not(feature = "onnxruntime"))]
fn providers() -> Vec<Finding> {
    Vec::new()
}

/// Describes a working backend. TensorRT works once its library could make a runtime.
#[cfg(feature = "tensorrt")]
fn describe(backend: Backend) -> Result<String, EngineError> {
    use crate::engine::tensorrt::Installation;

    if backend != Backend::TensorRt {
        return Ok("works".to_owned());
    }
    let machine = Installation::from_environment().machine()?;
    let (major, minor) = machine.device.compute_capability;
    Ok(format!("TensorRT {} on {}, compute capability {major}.{minor}", machine.version, machine.device.name))
}

#[cfg(not(feature = "tensorrt"))]
fn describe(_: Backend) -> Result<String, EngineError> {
    Ok("works".to_owned())
}

#[cfg(feature = "tensorrt")]
fn engines() -> Vec<Finding> {
    use crate::engine::folder::service_is_private;
    use crate::engine::tensorrt::Installation;

    let installation = Installation::from_environment();
    let mut findings: Vec<Finding> = Vec::new();
    // Without TensorRT nothing reads engines, and its absence has been reported.
    let Ok(machine) = installation.machine() else { return findings };
    findings.extend(space(&installation.engines));
    for (path, state) in crate::cli::engine::states(&installation, &machine) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        findings.push(match state {
            Ok(()) => Finding::ok(format!("engine {name}"), "fits this machine"),
            Err(error) => {
                Finding::warn(format!("engine {name}"), error.to_string(), "build it again with `sinew engine build`")
            }
        });
    }
    if findings.iter().all(|finding| !finding.what.starts_with("engine ")) {
        findings.push(no_engines(&installation.engines, service_is_private()));
    }
    findings
}

/// The finding that there are none in `folder`, and where the service's are if those are private.
#[cfg(any(feature = "tensorrt", test))]
fn no_engines(folder: &Path, service_is_private: bool) -> Finding {
    let remedy = if service_is_private {
        format!("those of the service are in {SERVICE}, which only root can read: use sudo")
    } else {
        "build some with `sinew engine build --model logocap-movenet`".to_owned()
    };
    Finding::warn("engines", format!("none in {}", folder.display()), remedy)
}

#[cfg(not(feature = "tensorrt"))]
fn engines() -> Vec<Finding> {
    Vec::new()
}

/// Free space where `folder` is or will be, as `df` says.
#[cfg(feature = "tensorrt")]
fn space(folder: &Path) -> Option<Finding> {
    let existing = folder.ancestors().find(|folder| folder.exists())?;
    let output = std::process::Command::new("df").arg("-Pk").arg(existing).output().ok()?;
    let free = free_mebibytes(&String::from_utf8_lossy(&output.stdout))?;
    let what = format!("space in {}", folder.display());
    let found = format!("{free} MiB");
    Some(if free < LEAST_SPACE {
        Finding::warn(what, found, "make room, or set SINEW_ENGINES to another folder")
    } else {
        Finding::ok(what, found)
    })
}

/// The fourth column of the second line.
#[cfg(any(feature = "tensorrt", test))]
fn free_mebibytes(df: &str) -> Option<u64> {
    let kibibytes: u64 = df.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kibibytes / 1024)
}

#[cfg(feature = "camera")]
fn cameras() -> Vec<Finding> {
    use crate::source::v4l2::{self, Device};

    let mut findings = Vec::new();
    for path in v4l2::nodes() {
        let what = format!("camera {}", path.display());
        match Device::open(&path) {
            Ok(device) => findings.push(match crate::cli::cameras::would_take(&device) {
                Ok(choice) => Finding::ok(what, choice),
                Err(reason) => Finding::warn(what, reason, "docs/cameras.md says how such cameras are read"),
            }),
            // Cameras also have nodes without frames; only missing permissions are worth reporting.
            Err(error) if is_forbidden(&path) => {
                let remedy = "add the user to the group `video`: sudo usermod -aG video $USER, then log in again";
                findings.push(Finding::fail(what, error.to_string(), remedy));
            }
            Err(error) => tracing::info!("{error}"),
        }
    }
    if findings.is_empty() {
        findings.push(Finding::warn("cameras", "none", "plug one in; it shows up as /dev/video0"));
    }
    findings
}

/// The programs that read videos and network cameras; each is tested with one frame.
#[cfg(feature = "camera")]
fn programs() -> Vec<Finding> {
    use crate::source::child::{Program, has_element, try_out};

    let mut findings = Vec::new();
    for (program, reads) in [
        (Program::Ffmpeg, "videos, rtsp:// and other addresses"),
        (Program::GStreamer, "gst: pipelines and csi:// sensors"),
    ] {
        let what = format!("program {}", program.command());
        let found = program.version().and_then(|version| try_out(program).map(|()| version));
        findings.push(match found {
            Ok(version) => Finding::ok(what, format!("{version}, gives frames; it reads {reads}")),
            Err(error) => {
                let remedy = format!("for {reads}: sudo apt install {}", program.packages());
                Finding::warn(what, error, remedy)
            }
        });
    }
    if has_element("nvarguscamerasrc") == Ok(true) {
        findings.push(Finding::ok("CSI sensors", "GStreamer has nvarguscamerasrc, which csi://0 uses"));
    }
    findings
}

#[cfg(not(feature = "camera"))]
fn programs() -> Vec<Finding> {
    Vec::new()
}

#[cfg(feature = "camera")]
fn is_forbidden(path: &Path) -> bool {
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(path);
    opened.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

#[cfg(not(feature = "camera"))]
fn cameras() -> Vec<Finding> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::State;

    #[test]
    fn what_df_says() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 264000 150000 2097152 59% /\n";
        assert_eq!(free_mebibytes(text), Some(2048));
        assert_eq!(free_mebibytes("df: no such file"), None);
    }

    #[test]
    fn a_hot_board_is_reported() {
        let machine = Machine { temperature_celsius: Some(97.0), ..Machine::default() };
        assert_eq!(throttling(&machine).unwrap().state, State::Ok);
        let machine = Machine { throttling: vec!["gpu".into()], ..machine };
        let finding = throttling(&machine).unwrap();
        assert!(finding.state == State::Warn && finding.found.contains("gpu"), "{finding:?}");
        assert_eq!(throttling(&Machine::default()), None);
    }

    #[test]
    fn the_engines_of_the_service_are_named_to_users_who_cannot_read_them() {
        let remedy = |private| no_engines(Path::new("/own"), private).remedy.unwrap();
        assert!(remedy(false).contains("sinew engine build"));
        assert!(remedy(true).contains(SERVICE) && remedy(true).contains("sudo"), "{}", remedy(true));
    }

    #[test]
    fn a_wrong_configuration_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "[run]\nmodle = \"x\"\n").unwrap();
        let finding = configuration(Some(&path));
        assert!(finding.state == State::Fail && finding.found.contains("modle"), "{finding:?}");
    }
}
