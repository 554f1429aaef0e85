//! Poses on a screen, simulated by a file and a made-up sysfs.

mod counting;
mod sinks_support;

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use counting::allocations;
use sinew::geometry::Size;
use sinew::pixels::{Image, PixelFormat};
use sinew::pose::Poses;
use sinew::sink::{self, Sink, SinkError, framebuffer, overlay};
use sinks_support::{Shown, grey, noise, poses, schema};
use tempfile::TempDir;

/// What the device holds before anything is written.
const UNTOUCHED: u8 = 0xa5;

/// A simulated screen.
struct Screen {
    folder: TempDir,
    stride: usize,
}

impl Screen {
    /// A screen of `memory` pixels whose rows have `stride` bytes; sysfs says `modes`.
    fn new(memory: Size, bits: usize, stride: usize, modes: &str) -> Self {
        let screen = Self { folder: tempfile::tempdir().unwrap(), stride };
        fs::write(screen.device(), vec![UNTOUCHED; stride * memory.height]).unwrap();
        fs::create_dir_all(screen.sysfs().join("fb0")).unwrap();
        screen.says("virtual_size", &format!("{},{}\n", memory.width, memory.height));
        screen.says("bits_per_pixel", &format!("{bits}\n"));
        screen.says("stride", &format!("{stride}\n"));
        screen.says("mode", "");
        screen.says("modes", modes);
        screen.says("pan", "0,0\n");
        screen
    }

    fn device(&self) -> PathBuf {
        self.folder.path().join("fb0")
    }

    fn sysfs(&self) -> PathBuf {
        self.folder.path().join("sys")
    }

    fn says(&self, name: &str, text: &str) {
        fs::write(self.sysfs().join("fb0").join(name), text).unwrap();
    }

    fn open(&self, options: &str) -> Result<Box<dyn Sink>, SinkError> {
        let uri = format!("{}{options}", self.device().display());
        framebuffer::open(&uri, &self.sysfs(), &schema(), &sink::Options::default())
    }

    /// What it says when it cannot be opened, and why.
    #[track_caller]
    fn refusal(&self, options: &str) -> String {
        let error = self.open(options).err().expect("the screen is refused");
        error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    }

    /// Shows one image and gives the rows of the device.
    fn shown(&self, options: &str, image: &Image, poses: &Poses) -> Vec<Vec<u8>> {
        let mut sink = self.open(options).unwrap();
        Shown { image, poses, ..Shown::default() }.put(sink.as_mut(), 0);
        sink.finish().unwrap();
        let bytes = fs::read(self.device()).unwrap();
        bytes.chunks(self.stride).map(<[u8]>::to_vec).collect()
    }
}

/// The bytes of a pixel in 32 bits.
fn xrgb8888(rgb: &[u8]) -> Vec<u8> {
    vec![rgb[2], rgb[1], rgb[0], 255]
}

fn rgb565(rgb: &[u8]) -> Vec<u8> {
    let [r, g, b] = [0, 1, 2].map(|channel| u16::from(rgb[channel]));
    ((r / 8) * 2048 + (g / 4) * 32 + b / 8).to_le_bytes().to_vec()
}

fn rgb555(rgb: &[u8]) -> Vec<u8> {
    let [r, g, b] = [0, 1, 2].map(|channel| u16::from(rgb[channel]));
    ((r / 8) * 1024 + (g / 8) * 32 + b / 8).to_le_bytes().to_vec()
}

/// The rows of a device that shows `rgb`; what the screen has beside its pixels stays untouched.
fn rows(rgb: &[u8], width: usize, stride: usize, pixel: fn(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let row = |row: &[u8]| {
        let mut bytes: Vec<u8> = row.chunks(3).flat_map(pixel).collect();
        bytes.resize(stride, UNTOUCHED);
        bytes
    };
    rgb.chunks(3 * width).map(row).collect()
}

const SIZE: Size = Size::new(40, 24);
const MODE: &str = "U:40x24p-0\n";

#[test]
fn a_image_of_the_screens_size_is_exact() {
    let image = noise(SIZE, 7);
    let rgb = image.view().data();
    for (bits, stride, options, pixel) in [
        (32, 4 * 40 + 32, "", xrgb8888 as fn(&[u8]) -> Vec<u8>),
        (32, 4 * 40, "?format=xrgb8888", xrgb8888),
        (16, 2 * 40 + 6, "", rgb565),
        (16, 2 * 40 + 6, "?format=rgb565", rgb565),
        (16, 2 * 40 + 6, "?format=rgb555", rgb555),
    ] {
        let screen = Screen::new(SIZE, bits, stride, MODE);
        assert_eq!(screen.shown(options, &image, &Poses::default()), rows(rgb, 40, stride, pixel), "{bits}{options}");
    }
}

#[test]
fn poses_are_drawn() {
    let (image, people) = (grey(SIZE, 90), poses(2));
    let drawn = tempfile::tempdir().unwrap();
    let path = drawn.path().join("drawn.png");
    overlay::write(&path, &schema(), 0.0, image.view(), &people.list).unwrap();
    let drawn = sinew::pixels::file::decode(&fs::read(path).unwrap(), &sinew::pixels::Limits::default()).unwrap();
    let screen = Screen::new(SIZE, 32, 4 * 40 + 8, MODE);
    let expected = rows(drawn.view().data(), 40, 4 * 40 + 8, xrgb8888);
    assert_eq!(screen.shown("", &image, &people), expected, "as in drawn images");
    assert_ne!(screen.shown("", &image, &Poses::default()), expected);
}

#[test]
fn other_sizes_are_scaled_with_black_beside_them() {
    let black = xrgb8888(&[0; 3]);
    let pixel = |rows: &[Vec<u8>], x: usize, y: usize| rows[y][4 * x..4 * x + 4].to_vec();

    // Twice as large: 24x24 with 8 black columns on either side.
    let screen = Screen::new(SIZE, 32, 4 * 40, MODE);
    let image = noise(Size::new(12, 12), 3);
    let shown = screen.shown("", &image, &Poses::default());
    for y in 0..24 {
        for x in 0..40 {
            let expected = if (8..32).contains(&x) {
                let start = 3 * (y / 2 * 12 + (x - 8) / 2);
                xrgb8888(&image.view().data()[start..start + 3])
            } else {
                black.clone()
            };
            assert_eq!(pixel(&shown, x, y), expected, "{x},{y}");
        }
    }

    // Half as large: 40x10 with 7 black rows on either side. Each pixel is the average of four.
    let values = [[10, 20], [30, 41]];
    let data = (0..20).flat_map(|y| (0..80).map(move |x| values[y % 2][x % 2])).collect();
    let image = Image::new(PixelFormat::Grey, Size::new(80, 20), data).unwrap();
    let shown = screen.shown("", &image, &Poses::default());
    for y in 0..24 {
        let expected = if (7..17).contains(&y) { xrgb8888(&[25; 3]) } else { black.clone() };
        for x in 0..40 {
            assert_eq!(pixel(&shown, x, y), expected, "{x},{y}");
        }
    }
}

#[test]
fn poses_go_with_the_image() {
    // The same pose on an image twice as large, shown in half its size, is where it is on the smaller one.
    let screen = Screen::new(SIZE, 32, 4 * 40, MODE);
    let mut people = poses(1);
    let small = screen.shown("", &grey(SIZE, 90), &people);
    for keypoint in people.list.iter_mut().flat_map(|pose| &mut pose.keypoints) {
        (keypoint.x, keypoint.y) = (2.0 * keypoint.x + 0.5, 2.0 * keypoint.y + 0.5);
    }
    assert_eq!(screen.shown("", &grey(Size::new(80, 48), 90), &people), small);
}

#[test]
fn images_of_changing_size_leave_nothing_behind() {
    let screen = Screen::new(SIZE, 16, 80, MODE);
    let mut sink = screen.open("").unwrap();
    for (number, size) in [SIZE, Size::new(12, 24), Size::new(40, 4)].into_iter().enumerate() {
        Shown { image: &grey(size, 255), ..Shown::default() }.put(sink.as_mut(), number as u64);
    }
    let rows: Vec<Vec<u8>> = fs::read(screen.device()).unwrap().chunks(80).map(<[u8]>::to_vec).collect();
    for (y, row) in rows.iter().enumerate() {
        let expected = if (10..14).contains(&y) { 0xff } else { 0 };
        assert!(row.iter().all(|&byte| byte == expected), "row {y}");
    }
}

#[test]
fn only_what_can_be_seen_is_written() {
    let image = noise(SIZE, 5);
    let stride = 4 * 48;
    let expected = rows(image.view().data(), 40, stride, xrgb8888);
    let memory = Size::new(48, 60);
    let untouched = vec![UNTOUCHED; stride];

    // The driver does not say which mode is set.
    let screen = Screen::new(memory, 32, stride, "D:1920x1080p-60\nU:40x24p-0\nD:32x20p-60\n");
    let shown = screen.shown("", &image, &Poses::default());
    assert_eq!(shown[..24], expected);
    assert!(shown[24..].iter().all(|row| *row == untouched));

    // It says so, and the screen shows a later part of its memory.
    let screen = Screen::new(memory, 32, stride, "D:48x60p-60\n");
    screen.says("mode", "U:40x24p-0\n");
    screen.says("pan", "0,30\n");
    let shown = screen.shown("", &image, &Poses::default());
    assert_eq!(shown[30..54], expected);
    assert!(shown[..30].iter().chain(&shown[54..]).all(|row| *row == untouched));

    // It says nothing: all of it.
    let screen = Screen::new(SIZE, 32, stride, "");
    assert_eq!(screen.shown("", &image, &Poses::default()), expected);
}

#[test]
fn a_link_to_the_device_will_do() {
    let screen = Screen::new(SIZE, 32, 4 * 40, MODE);
    let link = screen.folder.path().join("screen");
    std::os::unix::fs::symlink(screen.device(), &link).unwrap();
    let uri = link.display().to_string();
    assert!(framebuffer::open(&uri, &screen.sysfs(), &schema(), &sink::Options::default()).is_ok());
}

#[test]
fn nothing_is_allocated_after_the_first_frame() {
    let screen = Screen::new(SIZE, 16, 80, MODE);
    let people = poses(20);
    for size in [SIZE, Size::new(80, 60)] {
        let mut sink = screen.open("").unwrap();
        let image = noise(size, 1);
        let shown = Shown { image: &image, poses: &people, ..Shown::default() };
        shown.put(sink.as_mut(), 0);
        assert_eq!(allocations(|| (1..20).for_each(|number| shown.put(sink.as_mut(), number))), 0, "{size}");
    }
}

#[track_caller]
fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[test]
fn screens_of_another_kind_are_refused() {
    for bits in [8, 24] {
        let screen = Screen::new(SIZE, bits, 160, MODE);
        contains(&screen.refusal(""), &["fb0", &format!("{bits} bits"), "rgb565", "rgb555", "xrgb8888"]);
        contains(&screen.refusal("?format=rgb565"), &[&format!("{bits} bits")]);
    }
    let screen = Screen::new(SIZE, 32, 160, MODE);
    contains(&screen.refusal("?format=rgb565"), &["format=rgb565 has 16 bits", "the screen has 32", "use xrgb8888"]);
    let screen = Screen::new(SIZE, 16, 80, MODE);
    contains(&screen.refusal("?format=xrgb8888"), &["has 32 bits", "the screen has 16", "rgb565 or rgb555"]);
    assert_eq!(fs::read(screen.device()).unwrap(), vec![UNTOUCHED; 80 * 24], "nothing was written");
}

#[test]
fn options_that_are_not_there_are_refused() {
    let screen = Screen::new(SIZE, 32, 160, MODE);
    contains(&screen.refusal("?format=bgr"), &["rgb565, rgb555 or xrgb8888"]);
    contains(&screen.refusal("?size=40x24"), &["`size`", "use format"]);
}

#[test]
fn what_sysfs_does_not_say_is_named() {
    let screen = Screen::new(SIZE, 32, 160, MODE);
    screen.says("stride", "100\n");
    contains(&screen.refusal(""), &["100 bytes", "stride"]);
    screen.says("stride", "much\n");
    contains(&screen.refusal(""), &["`much`", "stride"]);
    screen.says("stride", "160\n");
    screen.says("virtual_size", "40\n");
    contains(&screen.refusal(""), &["`40`", "virtual_size"]);
    screen.says("virtual_size", "40,24\n");
    screen.says("pan", "0,1\n");
    contains(&screen.refusal(""), &["40x24 pixels behind 0,1", "not as expected"]);
    fs::remove_dir_all(screen.sysfs()).unwrap();
    contains(&screen.refusal(""), &["fb0: ", "virtual_size is missing", "No such file"]);
}

#[test]
fn devices_that_cannot_be_written_are_refused() {
    let screen = Screen::new(SIZE, 32, 160, MODE);
    fs::create_dir(screen.sysfs().join("fb1")).unwrap();
    fs::create_dir(screen.sysfs().join("fbcon")).unwrap();
    fs::remove_file(screen.device()).unwrap();
    let said = screen.refusal("");
    contains(&said, &["fb0: there is no such device", "this machine has /dev/fb0, /dev/fb1: "]);
    assert!(!screen.device().exists(), "it is not made");
    fs::remove_dir_all(screen.sysfs()).unwrap();
    contains(&screen.refusal(""), &["has no framebuffer", "driver"]);

    let screen = Screen::new(SIZE, 32, 160, MODE);
    fs::set_permissions(screen.device(), fs::Permissions::from_mode(0o400)).unwrap();
    // The superuser may.
    if screen.open("").is_err() {
        contains(&screen.refusal(""), &["may not write", "`video`"]);
    }
}

#[test]
fn a_screen_that_is_gone_is_an_error() {
    let screen = Screen::new(SIZE, 32, 160, MODE);
    let full = screen.folder.path().join("full");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    fs::rename(screen.sysfs().join("fb0"), screen.sysfs().join("full")).unwrap();
    let uri = full.display().to_string();
    let mut sink = framebuffer::open(&uri, &screen.sysfs(), &schema(), &sink::Options::default()).unwrap();
    let image = grey(SIZE, 0);
    let frame = sinew::source::Frame { image: image.view(), sequence: 0, captured: None, instant: None, name: None };
    let no_poses = Poses::default();
    let result = sink::FrameResult {
        frame,
        poses: &no_poses,
        times: Default::default(),
        live: None,
        zones: None,
        rgb: &Default::default(),
    };
    let error = sink.put(&result).unwrap_err();
    assert!(matches!(&error, SinkError::Write { target, .. } if *target == uri), "{error}");
}

#[test]
fn other_uris_say_that_there_are_screens() {
    for uri in ["fb:", "screen:/dev/fb0"] {
        let error = sink::open(uri, &schema(), &sink::Options::default()).err().unwrap();
        contains(&error.to_string(), &["fb:/dev/fb0"]);
    }
}
