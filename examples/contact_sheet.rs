//! Lays images out on one sheet: `cargo run --example contact_sheet -- OUT.png IMAGE...`. Of a video the middle frame
//! is taken.

use std::fs::File;
use std::io::BufWriter;

use anyhow::{Context, bail};
use sinew::geometry::Size;
use sinew::pixels::to_rgb;
use sinew::source;

/// Pixels per side of an image's place on the sheet.
const CELL: usize = 256;
const GAP: usize = 6;
const BACKGROUND: u8 = 24;

/// The image, or the video's middle frame, in RGB.
fn read(uri: &str) -> anyhow::Result<(Size, Vec<u8>)> {
    let mut frames = 0_usize;
    let mut video = source::open(uri)?;
    while video.next_frame()?.is_some() {
        frames += 1;
    }
    let mut video = source::open(uri)?;
    for _ in 0..frames / 2 {
        video.next_frame()?;
    }
    let frame = video.next_frame()?.with_context(|| format!("{uri}: no frame"))?;
    let mut rgb = Vec::new();
    to_rgb(frame.image, &mut rgb);
    Ok((frame.image.size(), rgb))
}

/// Draws an image into the square cell at `(left, top)`, as large as fits; a shrunk pixel is the mean of those it covers.
fn draw(sheet: &mut [u8], width: usize, (left, top): (usize, usize), size: Size, rgb: &[u8]) {
    let scale = size.width.max(size.height) as f64 / CELL as f64;
    let drawn = Size::new((size.width as f64 / scale) as usize, (size.height as f64 / scale) as usize);
    let (left, top) = (left + (CELL - drawn.width) / 2, top + (CELL - drawn.height) / 2);
    let covered = |at: usize, most: usize| {
        let start = ((at as f64 * scale) as usize).min(most - 1);
        start..(((at + 1) as f64 * scale) as usize).clamp(start + 1, most)
    };
    for y in 0..drawn.height {
        for x in 0..drawn.width {
            let (rows, columns) = (covered(y, size.height), covered(x, size.width));
            let count = (rows.len() * columns.len()) as u32;
            let to = 3 * ((top + y) * width + left + x);
            for channel in 0..3 {
                let pixels = rows.clone().flat_map(|row| columns.clone().map(move |column| row * size.width + column));
                let sum: u32 = pixels.map(|pixel| u32::from(rgb[3 * pixel + channel])).sum();
                sheet[to + channel] = ((sum + count / 2) / count) as u8;
            }
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, images @ ..] = arguments.as_slice() else { bail!("usage: contact_sheet OUT.png IMAGE...") };
    if images.is_empty() {
        bail!("no image to lay out");
    }
    // Not higher than wide, at most twice as wide as high, and as few places empty as can be.
    let square = (images.len() as f64).sqrt().ceil() as usize;
    let widest = (2.0 * images.len() as f64).sqrt().ceil() as usize;
    let empty = |columns: &usize| images.len().div_ceil(*columns) * columns - images.len();
    let columns = (square..=widest).min_by_key(empty).unwrap_or(square);
    let rows = images.len().div_ceil(columns);
    let (width, height) = (columns * (CELL + GAP) + GAP, rows * (CELL + GAP) + GAP);
    let mut sheet = vec![BACKGROUND; 3 * width * height];
    for (index, image) in images.iter().enumerate() {
        let (size, rgb) = read(image)?;
        let place = (GAP + index % columns * (CELL + GAP), GAP + index / columns * (CELL + GAP));
        draw(&mut sheet, width, place, size, &rgb);
    }

    let file = File::create(target).with_context(|| format!("cannot write {target}"))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width.try_into()?, height.try_into()?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&sheet)?;
    writer.finish()?;
    Ok(())
}
