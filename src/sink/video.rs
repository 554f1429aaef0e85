//! `y4m:PATH`: the frames themselves, without anything drawn on them, as a video. What a camera has seen can be processed again.
//!
//! Layouts of cameras lose nothing: 4:2:0 stays 4:2:0, YUYV and UYVY become planes of 4:2:2, grey stays grey. RGB, which is also
//! what JPEGs are decoded to, becomes 4:2:0 as in every video. Times are not kept: cameras deliver frames at uneven intervals.

use std::io::BufWriter;
use std::path::Path;

use super::y4m::{VideoOutput, to_planes};
use super::{FrameResult, Sink, SinkError};
use crate::geometry::Size;
use crate::pixels::{Colour, ColourMatrix, ColourRange, ImageView, PixelFormat, copy_planes};
use crate::write::Replacement;

/// Writes frames to `output`.
#[derive(Debug)]
struct Recording<W> {
    output: W,
    target: String,
    /// Size, layout and colours of every frame, as soon as there was one.
    shape: Option<Shape>,
    planes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    size: Size,
    layout: &'static str,
    colour: Colour,
}

/// A video at `path`.
///
/// # Errors
/// If the file cannot be made, or another program writes it.
pub fn open(path: &str) -> Result<Box<dyn Sink>, SinkError> {
    let path = if path == "-" { "/dev/stdout" } else { path };
    let file = Replacement::open(Path::new(path)).map_err(|source| SinkError::from_open(Path::new(path), source))?;
    Ok(Box::new(Recording::new(BufWriter::new(file), path)))
}

impl<W: VideoOutput> Recording<W> {
    fn new(output: W, target: &str) -> Self {
        Self { output, target: target.to_owned(), shape: None, planes: Vec::new() }
    }

    fn write(&mut self, image: ImageView<'_>) -> std::io::Result<()> {
        let shape = Shape::of(image);
        if self.output.renewed()? || self.shape.is_none() {
            self.shape = Some(shape);
            let Size { width, height } = shape.size;
            let range = if shape.colour.range == ColourRange::Full { "FULL" } else { "LIMITED" };
            // The format has no tag for the matrix; this one is our own.
            let matrix = if shape.colour.matrix == ColourMatrix::Bt709 { "BT709" } else { "BT601" };
            writeln!(
                self.output,
                "YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C{} XCOLORRANGE={range} XMATRIX={matrix}",
                shape.layout
            )?;
        }
        copy(image, &mut self.planes);
        self.output.write_all(b"FRAME\n")?;
        self.output.write_all(&self.planes)
    }
}

impl Shape {
    fn of(image: ImageView<'_>) -> Self {
        let size = image.size();
        let (layout, colour) = match image.format() {
            PixelFormat::Grey => ("mono", image.colour()),
            PixelFormat::Yuyv | PixelFormat::Uyvy => ("422", image.colour()),
            PixelFormat::Nv12 | PixelFormat::I420 => ("420jpeg", image.colour()),
            PixelFormat::Rgb => ("420jpeg", Colour::usual_for_video(size)),
        };
        Self { size, layout, colour }
    }
}

/// The planes of an image, rows without gaps.
fn copy(image: ImageView<'_>, planes: &mut Vec<u8>) {
    if copy_planes(image, planes) {
        return;
    }
    let (data, stride, Size { width, height }) = (image.data(), image.stride(), image.size());
    planes.resize(width * height + 2 * width.div_ceil(2) * height.div_ceil(2), 0);
    if stride == 3 * width {
        return to_planes(data, image.size(), planes);
    }
    let mut rows = Vec::with_capacity(3 * width * height);
    (0..height).for_each(|row| rows.extend_from_slice(&data[row * stride..][..3 * width]));
    to_planes(&rows, image.size(), planes);
}

impl<W: VideoOutput + Send> Sink for Recording<W> {
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        let image = result.frame.image;
        if let Some(expected) = self.shape.filter(|shape| *shape != Shape::of(image)) {
            return Err(SinkError::Size {
                target: self.target.clone(),
                sequence: result.frame.sequence,
                found: image.size(),
                expected: expected.size,
            });
        }
        self.write(image).map_err(|error| SinkError::from_write(&self.target, error))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.output.flush().map_err(|error| SinkError::from_write(&self.target, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::rgb::to_rgb;
    use crate::source::{Source, Y4m};

    #[test]
    fn a_recording_is_what_was_seen() {
        let formats = [PixelFormat::Grey, PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::I420];
        for (width, height, gap) in [(6, 4, 0), (5, 3, 0), (8, 2, 6), (1282, 2, 0)] {
            let size = Size::new(width, height);
            for format in formats {
                let stride = format.row_bytes(width).unwrap() + gap;
                let bytes = format.image_bytes(size, stride).unwrap();
                let frames: Vec<Vec<u8>> = (1..4)
                    .map(|frame| (0..bytes).map(|index| (index * index * 7 + index * 31 * frame) as u8).collect())
                    .collect();
                let mut video = Vec::new();
                let mut recording = Recording::new(&mut video, "played");
                let view = |frame| ImageView::new(format, size, stride, frame).unwrap();
                frames.iter().for_each(|frame| recording.write(view(frame)).unwrap());
                let mut again = Y4m::new(&video[..], "played").unwrap();
                for frame in &frames {
                    let (mut expected, mut found) = (Vec::new(), Vec::new());
                    to_rgb(view(frame), &mut expected);
                    to_rgb(again.next_frame().unwrap().unwrap().image, &mut found);
                    assert!(expected == found, "{format} {size}, {gap} bytes between rows");
                }
                assert!(again.next_frame().unwrap().is_none());
            }
        }
    }

    #[test]
    fn packed_pixels_are_read_back_byte_for_byte() {
        let size = Size::new(4, 2);
        let frame: Vec<u8> = (0..16).map(|index| index * 15).collect();
        let mut video = Vec::new();
        let view = ImageView::new(PixelFormat::Yuyv, size, 8, &frame).unwrap();
        Recording::new(&mut video, "played").write(view).unwrap();
        let mut again = Y4m::new(&video[..], "played").unwrap();
        let again = again.next_frame().unwrap().unwrap().image;
        assert_eq!((again.format(), again.data()), (PixelFormat::Yuyv, &frame[..]));
    }

    #[test]
    fn colours_are_recorded_as_those_of_a_video() {
        let mut video = Vec::new();
        let white = [255; 3 * 4 + 2];
        let view = ImageView::new(PixelFormat::Rgb, Size::new(2, 2), 7, &white[..13]).unwrap();
        Recording::new(&mut video, "played").write(view).unwrap();
        assert_eq!(video.split_last_chunk::<6>().unwrap().1, &[235, 235, 235, 235, 128, 128]);
    }
}
