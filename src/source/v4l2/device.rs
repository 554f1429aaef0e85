//! An open camera: what it is, what it offers, and how it is set.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::choose::{self, CaptureMode, choose, is_raw_sensor};
use super::error::CameraError;
use super::four_cc::{FourCc, FrameEncoding};
use super::request::{CaptureRequest, control_name};
use super::sys;
use crate::geometry::Size;

/// Maximum entries of any list, in case a driver's list never ends.
const MOST: u32 = 256;
/// `ENOTTY`: the file is not a video device.
const ENOTTY: i32 = 25;

/// An open camera.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    file: File,
    /// The kind of its buffers: with one plane, or with several.
    kind: u32,
}

/// A camera's description of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The driver's name.
    pub driver: String,
    /// The product's name.
    pub card: String,
    /// The port that it is plugged into.
    pub bus: String,
}

/// The format of frames, as the driver has set it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CaptureFormat {
    /// Pixel format.
    pub four_cc: FourCc,
    /// Pixels of a frame.
    pub size: Size,
    /// Bytes from one row to the next; 0 if rows have no length.
    pub stride: usize,
    /// Frames a second, if the driver reports it.
    pub rate: Option<f64>,
}

/// A control of a camera, such as its gain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Its name as it is typed, such as `gain`.
    pub name: String,
    /// Least value.
    pub minimum: i32,
    /// Largest value.
    pub maximum: i32,
    /// The driver's own value.
    pub default: i32,
    id: u32,
}

/// A format, common to both kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameFormat {
    pub four_cc: FourCc,
    pub size: Size,
    /// Buffers of a frame.
    pub planes: usize,
    /// Bytes from one row to the next in each of them.
    pub strides: [usize; sys::MAX_PLANES],
}

impl FrameFormat {
    fn of(format: &sys::Format) -> Self {
        let mut strides = [0; sys::MAX_PLANES];
        strides[0] = format.bytes_per_line as usize;
        let size = Size::new(format.width as usize, format.height as usize);
        Self { four_cc: FourCc(format.pixel_format), size, planes: 1, strides }
    }

    fn of_planes(format: &sys::FormatOfPlanes) -> Self {
        let size = Size::new(format.width as usize, format.height as usize);
        let strides = format.planes.map(|plane| plane.bytes_per_line as usize);
        let planes = usize::from(format.count).clamp(1, sys::MAX_PLANES);
        Self { four_cc: FourCc(format.pixel_format), size, planes, strides }
    }
}

impl Device {
    /// Opens a video device that captures frames.
    ///
    /// # Errors
    /// If there is none, it cannot be opened, or none of its formats is supported.
    pub fn open(path: &Path) -> Result<Self, CameraError> {
        let fail = |source| CameraError::Call { path: path.to_owned(), what: "opening it", source };
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(fail)?;
        let mut device = Self { path: path.to_owned(), file, kind: sys::CAPTURE };
        let capability = device.capability()?;
        let able = match capability.capabilities & sys::CAP_DEVICE_CAPS {
            0 => capability.capabilities,
            _ => capability.device_caps,
        };
        let refuse = |reason: &str| CameraError::Unsupported { path: path.to_owned(), reason: reason.to_owned() };
        if able & sys::CAP_CAPTURE == 0 {
            if able & sys::CAP_CAPTURE_MPLANE == 0 {
                return Err(refuse(
                    "it captures no frames: another device of the same camera may, see `sinew cameras`",
                ));
            }
            device.kind = sys::CAPTURE_PLANES;
        }
        if able & sys::CAP_STREAMING == 0 {
            return Err(refuse("its driver cannot stream"));
        }
        Ok(device)
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kind of its buffers.
    pub(super) fn kind(&self) -> u32 {
        self.kind
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// A failed call, as an error. The path is copied only where there is one: this is called with every frame.
    pub(super) fn failed(&self, what: &'static str) -> impl FnOnce(io::Error) -> CameraError + '_ {
        move |source| CameraError::Call { path: self.path.clone(), what, source }
    }

    fn capability(&self) -> Result<sys::Capability, CameraError> {
        let mut capability: sys::Capability = sys::zeroed();
        match sys::query_capability(self.descriptor(), &mut capability) {
            Ok(()) => Ok(capability),
            Err(error) if error.raw_os_error() == Some(ENOTTY) => {
                Err(CameraError::Unsupported { path: self.path.clone(), reason: "it is not a video device".to_owned() })
            }
            Err(error) => Err(self.failed("querying it")(error)),
        }
    }

    /// Its description of itself.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn about(&self) -> Result<About, CameraError> {
        let found = self.capability()?;
        Ok(About { driver: sys::text(&found.driver), card: sys::text(&found.card), bus: sys::text(&found.bus_info) })
    }

    /// Formats that it offers; none if the driver does not list any, which is not an error.
    pub fn formats(&self) -> Vec<FourCc> {
        let ask = |index| {
            let mut description = sys::FormatDescription { index, kind: self.kind, ..sys::zeroed() };
            sys::enumerate_format(self.descriptor(), &mut description).ok()?;
            Some(FourCc(description.pixel_format))
        };
        (0..MOST).map_while(ask).collect()
    }

    /// Modes that it offers, as far as the driver lists them; of a range of sizes the one nearest to `wanted`.
    pub fn offers(&self, wanted: Size) -> Vec<CaptureMode> {
        let mut offers = Vec::new();
        for format in self.formats() {
            for size in self.sizes(format, wanted) {
                offers.push(CaptureMode { format, size, rates: self.rates(format, size) });
            }
        }
        offers
    }

    fn sizes(&self, format: FourCc, wanted: Size) -> Vec<Size> {
        let mut sizes = Vec::new();
        for index in 0..MOST {
            let mut entry = sys::FrameSize { index, pixel_format: format.0, ..sys::zeroed() };
            if sys::enumerate_size(self.descriptor(), &mut entry).is_err() {
                break;
            }
            let [a, b, c, d, e, f] = entry.values;
            if entry.kind != sys::DISCRETE {
                sizes
                    .push(Size::new(choose::within([a, b, c], wanted.width), choose::within([d, e, f], wanted.height)));
                break;
            }
            sizes.push(Size::new(a as usize, b as usize));
        }
        sizes
    }

    fn rates(&self, format: FourCc, size: Size) -> Vec<f64> {
        let mut rates = Vec::new();
        for index in 0..MOST {
            let mut entry = sys::FrameInterval {
                index,
                pixel_format: format.0,
                width: size.width as u32,
                height: size.height as u32,
                ..sys::zeroed()
            };
            if sys::enumerate_interval(self.descriptor(), &mut entry).is_err() {
                break;
            }
            let [a, b, c, d, ..] = entry.values;
            rates.extend(rate([a, b]));
            if entry.kind != sys::DISCRETE {
                // The longest interval is the slowest rate.
                rates.extend(rate([c, d]));
                break;
            }
        }
        rates
    }

    /// Its controls, as far as the driver lists them.
    pub fn controls(&self) -> Vec<Control> {
        let mut controls = Vec::new();
        let mut id = sys::NEXT_CONTROL;
        for _ in 0..MOST {
            let mut query = sys::QueryControl { id, ..sys::zeroed() };
            if sys::query_control(self.descriptor(), &mut query).is_err() {
                break;
            }
            if query.flags & sys::CONTROL_DISABLED == 0 {
                controls.push(Control {
                    name: control_name(&sys::text(&query.name)),
                    minimum: query.minimum,
                    maximum: query.maximum,
                    default: query.default,
                    id: query.id,
                });
            }
            id = query.id | sys::NEXT_CONTROL;
        }
        controls
    }

    /// Sets a control.
    ///
    /// # Errors
    /// If there is none of that name, or the driver refuses.
    pub fn set_control(&self, name: &str, value: i32) -> Result<(), CameraError> {
        let unsupported = |reason| CameraError::Unsupported { path: self.path.clone(), reason };
        let controls = self.controls();
        let Some(control) = controls.iter().find(|control| control.name == name) else {
            let names: Vec<_> = controls.iter().map(|control| control.name.as_str()).collect();
            return Err(unsupported(format!("it has no control `{name}`; it has {}", names.join(", "))));
        };
        let mut setting = sys::Control { id: control.id, value };
        sys::set_control(self.descriptor(), &mut setting).map_err(|error| {
            let (least, most) = (control.minimum, control.maximum);
            unsupported(format!("control `{name}` cannot be {value}: {error}; it takes {least} to {most}"))
        })
    }

    /// Sets the camera as requested and returns the format that the driver gives: it may be another one, and many drivers
    /// say so only here.
    ///
    /// # Errors
    /// If the driver refuses, or gives another format than the one requested by name, or one that is not supported.
    pub fn set(&self, wanted: &CaptureRequest) -> Result<CaptureFormat, CameraError> {
        let formats = self.formats();
        let unsupported = |reason| CameraError::Unsupported { path: self.path.clone(), reason };
        if is_raw_sensor(&formats) {
            return Err(unsupported(raw_sensor(&formats)));
        }
        let size = wanted.size.unwrap_or(choose::SIZE);
        let offers = self.offers(size);
        let mut format = self.format().map_err(self.failed("getting its format"))?;
        match choose(&offers, wanted) {
            Some(offer) => {
                format.size = offer.size;
                format.four_cc = offer.format;
            }
            // A driver that lists nothing may still do what is requested.
            None => {
                format.size = wanted.size.unwrap_or(format.size);
                format.four_cc = wanted.format.unwrap_or(format.four_cc);
            }
        }
        let format = self.set_format(format).map_err(self.failed("setting its format"))?;
        let given = format.four_cc;
        let listed = || formats.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if wanted.format.is_some_and(|wanted| wanted != given) {
            return Err(unsupported(format!(
                "it gives {given} instead of {}; it offers {}",
                wanted.format.unwrap_or(given),
                listed()
            )));
        }
        match given.encoding() {
            FrameEncoding::Pixels(_) | FrameEncoding::Bgr | FrameEncoding::Jpeg => {}
            FrameEncoding::Bayer => return Err(unsupported(raw_sensor(&[given]))),
            FrameEncoding::Unknown => {
                return Err(unsupported(format!("its format {given} is not supported; it offers {}", listed())));
            }
        }
        let rate = self.set_rate(wanted.rate.unwrap_or(choose::RATE));
        for (name, value) in &wanted.controls {
            self.set_control(name, *value)?;
        }
        Ok(CaptureFormat { four_cc: given, size: format.size, stride: format.strides[0], rate })
    }

    /// The current format.
    pub(super) fn format(&self) -> io::Result<FrameFormat> {
        if self.kind == sys::CAPTURE {
            let mut format = sys::Format { kind: self.kind, ..sys::zeroed() };
            sys::get_format(self.descriptor(), &mut format)?;
            return Ok(FrameFormat::of(&format));
        }
        let mut format = sys::FormatOfPlanes { kind: self.kind, ..sys::zeroed() };
        sys::get_format_of_planes(self.descriptor(), &mut format)?;
        Ok(FrameFormat::of_planes(&format))
    }

    /// Sets size and pixel format; returns what the driver chose.
    fn set_format(&self, wanted: FrameFormat) -> io::Result<FrameFormat> {
        let (width, height) = (wanted.size.width as u32, wanted.size.height as u32);
        let pixel_format = wanted.four_cc.0;
        if self.kind == sys::CAPTURE {
            let mut format = sys::Format { kind: self.kind, ..sys::zeroed() };
            sys::get_format(self.descriptor(), &mut format)?;
            format = sys::Format { width, height, pixel_format, field: sys::FIELD_ANY, bytes_per_line: 0, ..format };
            sys::set_format(self.descriptor(), &mut format)?;
            return Ok(FrameFormat::of(&format));
        }
        let mut format = sys::FormatOfPlanes { kind: self.kind, ..sys::zeroed() };
        sys::get_format_of_planes(self.descriptor(), &mut format)?;
        let (planes, count) = (sys::zeroed::<sys::FormatOfPlanes>().planes, 0);
        format = sys::FormatOfPlanes { width, height, pixel_format, field: sys::FIELD_ANY, planes, count, ..format };
        sys::set_format_of_planes(self.descriptor(), &mut format)?;
        Ok(FrameFormat::of_planes(&format))
    }

    /// Requests a rate; returns the one that the driver reports, if any.
    fn set_rate(&self, wanted: f64) -> Option<f64> {
        let mut parameters = sys::StreamParameters { kind: self.kind, ..sys::zeroed() };
        sys::get_parameters(self.descriptor(), &mut parameters).ok()?;
        if parameters.capability & sys::CAP_TIME_PER_FRAME != 0 {
            parameters.interval = [1000, (1000.0 * wanted).round() as u32];
            // Not all drivers take one; those that do may take another.
            let _ = sys::set_parameters(self.descriptor(), &mut parameters);
            sys::get_parameters(self.descriptor(), &mut parameters).ok()?;
        }
        rate(parameters.interval)
    }
}

/// Frames a second of seconds per frame.
fn rate([numerator, denominator]: [u32; 2]) -> Option<f64> {
    (numerator > 0 && denominator > 0).then(|| f64::from(denominator) / f64::from(numerator))
}

fn raw_sensor(formats: &[FourCc]) -> String {
    let names: Vec<_> = formats.iter().map(ToString::to_string).collect();
    format!(
        "it gives a sensor's raw values ({}): on a Jetson, use csi://0, which reads the sensor \
         through nvarguscamerasrc (docs/cameras.md)",
        names.join(", ")
    )
}
