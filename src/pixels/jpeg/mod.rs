//! JPEG of files and cameras, decoded to libjpeg-turbo's bytes or refused by name.
//!
//! Sequential and progressive Huffman-coded frames of 8 bits, grey or of three components, with any scans, restarts and
//! whole sampling ratios. Huffman tables that a file omits are the standard's, as MJPEG cameras expect. What libjpeg
//! decodes with a warning, because data are missing or do not fit, is an error here: the rest of such an image would be grey.
//! A missing end marker after complete data is not an error.

mod frame;
mod huffman;
mod idct;
mod scan;
mod standard;
mod upsample;

use std::fmt;

use super::{DecodeError, Image, Limits, Orientation, PixelFormat};
use crate::geometry::Size;
use frame::{ColourNotes, Frame, Process, Scan};
use huffman::{Bits, Table};
use scan::{Tables, Target, ZIGZAG};

/// Why a JPEG cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It contradicts the format.
    Broken(&'static str),
    /// Data end within a scan.
    EndsEarly,
    /// The end marker is missing.
    Cut,
    /// It is valid, but of an unsupported kind.
    Unsupported(&'static str),
    /// It has four components.
    Cmyk,
    /// A side is 0, or there are more pixels than allowed.
    Size(Size),
}

/// A decoder. It keeps its memory from one image to the next, so that frames of a camera allocate nothing.
#[derive(Default)]
pub struct JpegDecoder {
    /// Samples of each component, whole blocks.
    planes: [Vec<u8>; 3],
    /// Coefficients of progressive frames.
    coefficients: [Vec<i16>; 3],
    lines: upsample::Lines,
    state: Box<State>,
}

impl fmt::Debug for JpegDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JpegDecoder").finish_non_exhaustive()
    }
}

/// State set by a JPEG's segments.
#[derive(Debug, Default)]
struct State {
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    quantisation: [Option<Quantisation>; 4],
    restart_interval: usize,
    notes: ColourNotes,
    orientation: Option<Orientation>,
}

type Quantisation = [u16; 64];

/// What is known of each component, and of each of its coefficients: the lowest bit that was sent.
struct Progress {
    quantisation: [Quantisation; 3],
    is_begun: [bool; 3],
    lowest_bits: [[u8; 64]; 3],
}

/// Maximum coefficients of a component whose memory is kept for the next image: those of 4K.
const MOST_KEPT: usize = 16 << 20;
/// Marks coefficients of which nothing was sent.
const NOTHING: u8 = u8::MAX;

impl Progress {
    /// Whether every bit of every coefficient was sent.
    fn is_complete(&self, frame: &Frame) -> bool {
        self.lowest_bits[..frame.components().len()].iter().flatten().all(|&bit| bit == 0)
    }
}

impl JpegDecoder {
    /// Decodes `bytes` into `image`: RGB, or grey where the file has one component. The orientation is returned, not
    /// applied.
    ///
    /// # Errors
    /// If the bytes are not a JPEG, are broken or cut off, exceed `limits`, or are of an unsupported kind, which is named. The
    /// content of `image` is unspecified then, but valid.
    pub fn decode(&mut self, bytes: &[u8], limits: &Limits, image: &mut Image) -> Result<Orientation, DecodeError> {
        const KIND: &str = "JPEG";
        self.try_decode(bytes, limits.pixels, image).map_err(|fault| match fault {
            Fault::Broken(reason) => DecodeError::Broken { kind: KIND, reason: reason.to_owned() },
            Fault::Cut | Fault::EndsEarly => DecodeError::Cut { kind: KIND },
            Fault::Unsupported(what) => DecodeError::Unsupported { kind: KIND, what },
            Fault::Cmyk => DecodeError::Cmyk,
            Fault::Size(size) if size.area() == Some(0) => DecodeError::NoPixels { size },
            Fault::Size(size) => DecodeError::Size { size, limit: limits.pixels },
        })
    }

    fn try_decode(&mut self, bytes: &[u8], most_pixels: usize, image: &mut Image) -> Result<Orientation, Fault> {
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return Err(Fault::Broken("it does not start as one"));
        }
        self.state.reset();
        let mut frame: Option<Frame> = None;
        let mut progress =
            Progress { quantisation: [[0; 64]; 3], is_begun: [false; 3], lowest_bits: [[NOTHING; 64]; 3] };
        let mut at = 2;
        loop {
            let (marker, start) = match next_marker(bytes, at) {
                // Only the end marker is missing, which some cameras omit.
                Err(Fault::Cut) if frame.as_ref().is_some_and(|frame| progress.is_complete(frame)) => break,
                found => found?,
            };
            if marker == 0xd9 {
                break;
            }
            if matches!(marker, 0x01 | 0xd0..=0xd7) {
                at = start;
                continue;
            }
            let body = body(bytes, start)?;
            at = start + 2 + body.len();
            match marker {
                0xc0..=0xc2 if frame.is_some() => return Err(Fault::Broken("it has two frames")),
                0xc0..=0xc2 => {
                    let process = if marker == 0xc2 { Process::Progressive } else { Process::Sequential };
                    let found = Frame::parse(body, process)?;
                    if found.size.area().is_none_or(|area| area == 0 || area > most_pixels) {
                        return Err(Fault::Size(found.size));
                    }
                    if !upsample::is_supported(&found) {
                        return Err(Fault::Unsupported("sampling factors that are not whole ratios"));
                    }
                    frame = Some(found);
                }
                0xc3 | 0xcb => return Err(Fault::Unsupported("lossless coding")),
                0xc9 | 0xca => return Err(Fault::Unsupported("arithmetic coding")),
                0xc5..=0xc7 | 0xcd..=0xcf | 0xde | 0xdf => return Err(Fault::Unsupported("hierarchical coding")),
                0xc4 => self.state.read_huffman(body)?,
                0xdb => self.state.read_quantisation(body)?,
                0xdd => match body {
                    [high, low, ..] => self.state.restart_interval = usize::from(u16::from_be_bytes([*high, *low])),
                    _ => return Err(Fault::Broken("its restart interval is too short")),
                },
                0xda => {
                    let frame = frame.as_ref().ok_or(Fault::Broken("a scan precedes the frame header"))?;
                    at = self.read_scan(bytes, at, &Scan::parse(body, frame)?, frame, &mut progress)?;
                }
                0xe0..=0xef => self.state.read_application(marker, body),
                // Arithmetic conditions, which the frame's marker names; lines, which its header gave; comments.
                0xcc | 0xdc | 0xfe => {}
                0xd8 => return Err(Fault::Broken("a second image begins within it")),
                _ => return Err(Fault::Broken("it has a marker that does not exist")),
            }
        }
        let mut frame = frame.ok_or(Fault::Broken("it has no frame header"))?;
        self.finish(&mut frame, &progress, image)?;
        Ok(self.state.orientation.unwrap_or_default())
    }

    /// Reads the scan whose data begin at `at`; where the next marker is.
    fn read_scan(
        &mut self,
        bytes: &[u8],
        at: usize,
        scan: &Scan,
        frame: &Frame,
        progress: &mut Progress,
    ) -> Result<usize, Fault> {
        let is_progressive = frame.process == Process::Progressive;
        for &(index, dc, ac) in scan.parts() {
            let component = &frame.components()[index];
            let blocks = component.blocks_across * component.blocks_down;
            // Every block takes a bit at least, but in bands of a progressive frame: no memory for headers alone.
            let coded = component.blocks.width * component.blocks.height;
            if scan.first == 0 && coded > 8 * (bytes.len() - at) {
                return Err(Fault::EndsEarly);
            }
            if !progress.is_begun[index] {
                // The tables that hold when a component begins hold for all of it.
                progress.quantisation[index] =
                    self.state.quantisation[component.table].ok_or(Fault::Broken("a quantisation table is missing"))?;
                if is_progressive {
                    self.coefficients[index].clear();
                    self.coefficients[index].resize(64 * blocks, 0);
                } else {
                    self.planes[index].resize(64 * blocks, 0);
                }
            } else if !is_progressive {
                return Err(Fault::Broken("a component has two scans"));
            }
            progress.is_begun[index] = true;
            progress.lowest_bits[index][scan.first..=scan.last].fill(scan.low);
            if !is_progressive {
                self.state.complete_tables(dc, ac)?;
            }
        }
        let mut bits = Bits::new(bytes, at);
        let tables = Tables { dc: &self.state.dc, ac: &self.state.ac };
        let mut target = Target {
            planes: &mut self.planes,
            coefficients: &mut self.coefficients,
            quantisation: &progress.quantisation,
        };
        scan::read(frame, scan, &tables, self.state.restart_interval, &mut bits, &mut target)?;
        Ok(bits.marker())
    }

    /// Makes the pixels once all scans are read.
    fn finish(&mut self, frame: &mut Frame, progress: &Progress, image: &mut Image) -> Result<(), Fault> {
        for (index, component) in frame.components().iter().enumerate() {
            if !progress.is_begun[index] || progress.lowest_bits[index][0] == NOTHING {
                return Err(Fault::Broken("a component has no scan"));
            }
            if progress.lowest_bits[index].iter().any(|&bit| bit != 0) {
                return Err(Fault::Broken("its last scans are missing"));
            }
            if frame.process == Process::Progressive {
                self.planes[index].resize(self.coefficients[index].len(), 0);
                let stride = 8 * component.blocks_across;
                for (number, block) in self.coefficients[index].as_chunks::<64>().0.iter().enumerate() {
                    let (x, y) = (number % component.blocks_across, number / component.blocks_across);
                    let plane = &mut self.planes[index][8 * (y * stride + x)..];
                    idct::inverse(block, &progress.quantisation[index], plane, stride)?;
                }
                if self.coefficients[index].len() > MOST_KEPT {
                    self.coefficients[index] = Vec::new();
                }
            }
        }
        frame.decide_colours(self.state.notes);
        let format = if frame.components().len() == 1 { PixelFormat::Grey } else { PixelFormat::Rgb };
        let pixels = image.reset(format, frame.size).map_err(|_| Fault::Size(frame.size))?;
        upsample::write_pixels(frame, &self.planes, &mut self.lines, pixels);
        Ok(())
    }
}

impl State {
    /// Resets the state for the next image. Tables are large: only those that were set are cleared.
    fn reset(&mut self) {
        for table in self.dc.iter_mut().chain(&mut self.ac) {
            *table = None;
        }
        self.quantisation = [None; 4];
        (self.restart_interval, self.notes, self.orientation) = (0, ColourNotes::default(), None);
    }

    fn read_huffman(&mut self, mut body: &[u8]) -> Result<(), Fault> {
        const INVALID: Fault = Fault::Broken("a Huffman table is cut off or has values that do not exist");
        while let [index, rest @ ..] = body {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(INVALID)?;
            let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(INVALID)?;
            let tables = if index & 0xf0 == 0 { &mut self.dc } else { &mut self.ac };
            let slot = tables.get_mut(usize::from(index & 15)).filter(|_| index >> 4 < 2).ok_or(INVALID)?;
            *slot = Some(Table::new(counts, symbols)?);
            body = rest;
        }
        Ok(())
    }

    /// Sets tables that are missing to the standard's.
    fn complete_tables(&mut self, dc: usize, ac: usize) -> Result<(), Fault> {
        if dc < 2 && self.dc[dc].is_none() {
            self.dc[dc] = Some(standard::dc(dc)?);
        }
        if ac < 2 && self.ac[ac].is_none() {
            self.ac[ac] = Some(standard::ac(ac)?);
        }
        Ok(())
    }

    fn read_quantisation(&mut self, mut body: &[u8]) -> Result<(), Fault> {
        const INVALID: Fault = Fault::Broken("a quantisation table is cut off or has values that do not exist");
        while let [index, rest @ ..] = body {
            let is_wide = match index >> 4 {
                0 => false,
                1 => true,
                _ => return Err(INVALID),
            };
            let (values, rest) = rest.split_at_checked(if is_wide { 128 } else { 64 }).ok_or(INVALID)?;
            let mut table = [0; 64];
            for (k, &place) in ZIGZAG.iter().enumerate() {
                table[usize::from(place)] = match is_wide {
                    true => u16::from_be_bytes([values[2 * k], values[2 * k + 1]]),
                    false => u16::from(values[k]),
                };
            }
            *self.quantisation.get_mut(usize::from(index & 15)).ok_or(INVALID)? = Some(table);
            body = rest;
        }
        Ok(())
    }

    /// Reads colours and orientation from application segments.
    fn read_application(&mut self, marker: u8, body: &[u8]) {
        match (marker, body) {
            (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) if body.len() >= 14 => self.notes.is_jfif = true,
            (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                self.notes.transform = Some(*transform);
            }
            (0xe1, [b'E', b'x', b'i', b'f', 0, 0, exif @ ..]) if self.orientation.is_none() => {
                self.orientation = Orientation::find(exif);
            }
            _ => {}
        }
    }
}

/// The next marker at or after `at`, and where what follows it begins. Other bytes in between are skipped, as libjpeg does.
fn next_marker(bytes: &[u8], mut at: usize) -> Result<(u8, usize), Fault> {
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == 0xff {
            while bytes.get(at) == Some(&0xff) {
                at += 1;
            }
            match bytes.get(at) {
                Some(0) => {}
                Some(&marker) => return Ok((marker, at + 1)),
                None => break,
            }
        }
    }
    Err(Fault::Cut)
}

/// The body of the segment whose length is at `start`.
fn body(bytes: &[u8], start: usize) -> Result<&[u8], Fault> {
    let rest = bytes.get(start..).unwrap_or_default();
    let [high, low, rest @ ..] = rest else { return Err(Fault::Cut) };
    let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2);
    rest.get(..length.ok_or(Fault::Broken("a segment's length is below 2"))?).ok_or(Fault::Cut)
}
