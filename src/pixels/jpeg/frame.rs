//! Headers of a JPEG: segments, the frame with its components, and scans.

use super::Fault;
use crate::geometry::Size;

/// How coefficients are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// Every block at once.
    Sequential,
    /// In several scans, each with some coefficients or bits.
    Progressive,
}

/// A component: luma, a chroma, or a colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Component {
    id: u8,
    /// Blocks across and down in an interleaved unit.
    pub h: usize,
    pub v: usize,
    /// Index of its quantisation table.
    pub table: usize,
    /// Samples within the image.
    pub samples: Size,
    /// Blocks that hold these samples.
    pub blocks: Size,
    /// Blocks with those that fill up interleaved units.
    pub blocks_across: usize,
    pub blocks_down: usize,
}

impl Component {
    /// A component as the frame header has it, its sizes still 0.
    const fn new(id: u8, h: usize, v: usize, table: usize) -> Self {
        let none = Size::new(0, 0);
        Self { id, h, v, table, samples: none, blocks: none, blocks_across: 0, blocks_down: 0 }
    }
}

/// The frame.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub size: Size,
    pub process: Process,
    /// Whether components are red, green and blue instead of luma and chroma.
    pub is_rgb: bool,
    /// Interleaved units across and down.
    pub units: Size,
    components: [Component; 3],
    count: usize,
}

/// Colour information of other segments.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ColourNotes {
    pub is_jfif: bool,
    /// Transform of an Adobe segment.
    pub transform: Option<u8>,
}

impl Frame {
    /// Reads the body of a start-of-frame segment.
    pub fn parse(body: &[u8], process: Process) -> Result<Self, Fault> {
        let [precision, h1, h0, w1, w0, count, list @ ..] = body else {
            return Err(Fault::Broken("its frame header is too short"));
        };
        let size = Size::new(usize::from(u16::from_be_bytes([*w1, *w0])), usize::from(u16::from_be_bytes([*h1, *h0])));
        if *precision != 8 {
            return Err(Fault::Unsupported("more than 8 bits a sample"));
        }
        if size.height == 0 && size.width > 0 {
            return Err(Fault::Unsupported("its height given after the first scan"));
        }
        let count = usize::from(*count);
        match count {
            1 | 3 => {}
            2 => return Err(Fault::Unsupported("two components")),
            4 => return Err(Fault::Cmyk),
            _ => return Err(Fault::Broken("its number of components is not 1 to 4")),
        }
        if list.len() < 3 * count {
            return Err(Fault::Broken("its frame header is too short"));
        }
        let mut components = [Component::new(0, 1, 1, 0); 3];
        for (component, entry) in components.iter_mut().zip(list.chunks_exact(3)).take(count) {
            let (h, v) = (usize::from(entry[1] >> 4), usize::from(entry[1] & 15));
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || entry[2] > 3 {
                return Err(Fault::Broken("its frame header has values that do not exist"));
            }
            *component = Component::new(entry[0], h, v, usize::from(entry[2]));
        }
        let mut frame = Self { size, process, is_rgb: false, units: Size::new(0, 0), components, count };
        let (h, v) = frame.most_samples();
        frame.units = Size::new(size.width.div_ceil(8 * h), size.height.div_ceil(8 * v));
        for component in &mut frame.components[..count] {
            component.samples =
                Size::new((size.width * component.h).div_ceil(h), (size.height * component.v).div_ceil(v));
            component.blocks = Size::new(component.samples.width.div_ceil(8), component.samples.height.div_ceil(8));
            (component.blocks_across, component.blocks_down) =
                (frame.units.width * component.h, frame.units.height * component.v);
        }
        Ok(frame)
    }

    /// Decides between luma with chroma and RGB as libjpeg does: JFIF says luma; then Adobe's segment counts, then the
    /// components' names.
    pub fn decide_colours(&mut self, notes: ColourNotes) {
        let names = [self.components[0].id, self.components[1].id, self.components[2].id];
        self.is_rgb = self.count == 3
            && !notes.is_jfif
            && match notes.transform {
                Some(transform) => transform == 0,
                None => names == *b"RGB",
            };
    }

    pub fn components(&self) -> &[Component] {
        &self.components[..self.count]
    }

    /// The largest sampling factors.
    pub fn most_samples(&self) -> (usize, usize) {
        let most = |factor: fn(&Component) -> usize| self.components().iter().map(factor).max().unwrap_or(1);
        (most(|component| component.h), most(|component| component.v))
    }
}

/// A scan's header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    /// Component, DC table and AC table.
    parts: [(usize, usize, usize); 3],
    count: usize,
    /// First and last coefficient.
    pub first: usize,
    pub last: usize,
    /// The bit that a refining scan follows; 0 in a first scan.
    pub high: u8,
    /// The lowest bit that it sends.
    pub low: u8,
}

impl Scan {
    /// Reads the body of a start-of-scan segment.
    pub fn parse(body: &[u8], frame: &Frame) -> Result<Self, Fault> {
        const INVALID: Fault = Fault::Broken("a scan header has values that do not exist");
        let [count, rest @ ..] = body else { return Err(INVALID) };
        let count = usize::from(*count);
        if count == 0 || count > frame.count || rest.len() < 2 * count + 3 {
            return Err(INVALID);
        }
        let mut parts = [(0, 0, 0); 3];
        for index in 0..count {
            let (id, tables) = (rest[2 * index], rest[2 * index + 1]);
            let component = frame.components().iter().position(|component| component.id == id).ok_or(INVALID)?;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if dc > 3 || ac > 3 || parts[..index].iter().any(|part| part.0 == component) {
                return Err(INVALID);
            }
            parts[index] = (component, dc, ac);
        }
        let blocks: usize =
            parts[..count].iter().map(|part| frame.components[part.0].h * frame.components[part.0].v).sum();
        if count > 1 && blocks > 10 {
            return Err(INVALID);
        }
        let [first, last, bits] = [rest[2 * count], rest[2 * count + 1], rest[2 * count + 2]];
        let (first, last, high, low) = (usize::from(first), usize::from(last), bits >> 4, bits & 15);
        let scan = Self { parts, count, first, last, high, low };
        match frame.process {
            // Its range of coefficients has no meaning then, and some encoders write anything.
            Process::Sequential => Ok(Self { first: 0, last: 63, high: 0, low: 0, ..scan }),
            Process::Progressive => {
                let is_band = if first == 0 { last == 0 } else { first <= last && last <= 63 && count == 1 };
                let is_bit = low <= 13 && (high == 0 || high == low + 1);
                if is_band && is_bit { Ok(scan) } else { Err(INVALID) }
            }
        }
    }

    pub fn parts(&self) -> &[(usize, usize, usize)] {
        &self.parts[..self.count]
    }
}
