//! Makes a short video out of one image, by moving a window over it: `cargo run --example pan -- IMAGE OUT.y4m`.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, bail};
use sinew::geometry::Size;
use sinew::pixels::{Limits, read_image, to_rgb};

const FRAMES: usize = 36;
const FRAMES_PER_SECOND: usize = 12;
const VIDEO: Size = Size::new(320, 240);
/// The window's width at the start and at the end, as a part of the widest that fits.
const ZOOM: (f32, f32) = (1.0, 0.8);

/// An image in RGB.
struct Rgb {
    size: Size,
    bytes: Vec<u8>,
}

impl Rgb {
    /// The bilinear value at a point within the image.
    fn at(&self, x: f32, y: f32) -> [f32; 3] {
        let (left, top) = (x.floor(), y.floor());
        let (right_part, bottom_part) = (x - left, y - top);
        let (left, top) = (left as usize, top as usize);
        let (right, bottom) = ((left + 1).min(self.size.width - 1), (top + 1).min(self.size.height - 1));
        std::array::from_fn(|channel| {
            let value = |x: usize, y: usize| f32::from(self.bytes[3 * (y * self.size.width + x) + channel]);
            let row = |y| value(left, y) * (1.0 - right_part) + value(right, y) * right_part;
            row(top) * (1.0 - bottom_part) + row(bottom) * bottom_part
        })
    }
}

/// One frame as the window sees the image at `time`, 0 to 1: from the top left to the bottom right while zooming in.
fn frame(image: &Rgb, time: f32) -> Vec<[f32; 3]> {
    let (width, height) = (VIDEO.width as f32, VIDEO.height as f32);
    let (across, down) = ((image.size.width - 1) as f32, (image.size.height - 1) as f32);
    let widest = (across / (width - 1.0)).min(down / (height - 1.0));
    let scale = widest * (ZOOM.0 + (ZOOM.1 - ZOOM.0) * time);
    // Slow at both ends.
    let way = time * time * (3.0 - 2.0 * time);
    let (left, top) = ((across - scale * (width - 1.0)) * way, (down - scale * (height - 1.0)) * way);
    let points = (0..VIDEO.height).flat_map(|y| (0..VIDEO.width).map(move |x| (x, y)));
    points
        .map(|(x, y)| image.at((left + scale * x as f32).clamp(0.0, across), (top + scale * y as f32).clamp(0.0, down)))
        .collect()
}

/// Writes a frame with BT.601 colours in limited range, chroma halved on both axes.
fn write_frame(output: &mut impl Write, pixels: &[[f32; 3]]) -> std::io::Result<()> {
    output.write_all(b"FRAME\n")?;
    let luma = |[r, g, b]: [f32; 3]| 16.0 + 0.256_788 * r + 0.504_129 * g + 0.097_906 * b;
    let blue = |[r, g, b]: [f32; 3]| 128.0 - 0.148_223 * r - 0.290_993 * g + 0.439_216 * b;
    let red = |[r, g, b]: [f32; 3]| 128.0 + 0.439_216 * r - 0.367_788 * g - 0.071_427 * b;
    let byte = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    output.write_all(&pixels.iter().map(|&pixel| byte(luma(pixel))).collect::<Vec<_>>())?;
    for chroma in [&blue as &dyn Fn([f32; 3]) -> f32, &red] {
        let mean = |row: usize, column: usize| {
            let corner = 2 * row * VIDEO.width + 2 * column;
            [0, 1, VIDEO.width, VIDEO.width + 1].iter().map(|step| chroma(pixels[corner + step])).sum::<f32>() / 4.0
        };
        let cells = (0..VIDEO.height / 2).flat_map(|row| (0..VIDEO.width / 2).map(move |column| (row, column)));
        output.write_all(&cells.map(|(row, column)| byte(mean(row, column))).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target] = arguments.as_slice() else { bail!("usage: pan IMAGE OUT.y4m") };
    let read = read_image(source.as_ref(), &Limits::default())?;
    let mut image = Rgb { size: read.size(), bytes: Vec::new() };
    to_rgb(read.view(), &mut image.bytes);

    let file = File::create(target).with_context(|| format!("cannot write {target}"))?;
    let mut output = BufWriter::new(file);
    writeln!(output, "YUV4MPEG2 W{} H{} F{FRAMES_PER_SECOND}:1 Ip A1:1 C420jpeg", VIDEO.width, VIDEO.height)?;
    for index in 0..FRAMES {
        write_frame(&mut output, &frame(&image, index as f32 / (FRAMES - 1) as f32))?;
    }
    output.flush()?;
    Ok(())
}
