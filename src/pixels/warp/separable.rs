//! Maps that scale and shift only: columns and rows are looked up in tables.
//!
//! For a network row two image rows are blended into one, then the neighbours of every column in it; only the
//! resulting network pixels are converted to colours.

use std::ops::Range;

use fearless_simd::{Simd, dispatch};

use super::Normalisation;
use super::channels::Channels;
use super::rows::{Between, Layout, Rows, share};
use crate::geometry::{Affine, Size};
use crate::pixels::{ImageView, PixelFormat};
use crate::vectors::vectors;

/// Black groups of samples on either side of a row buffer: what network pixels at and beyond the image's edge are
/// blended from.
const MARGIN: usize = 1;

/// The weight of a whole sample: the largest there is.
const ONE: f64 = 65535.0;

/// Where a network column lies: in two neighbouring groups of samples.
#[derive(Debug, Clone, Copy)]
struct Column {
    /// Where the first group begins in a row buffer.
    first: u32,
    /// Weight of each sample of the first and of the second group; the blend is the sum of both. Groups of three are
    /// taken with the sample behind them.
    weights: [[u16; 4]; 2],
}

/// Two network columns side by side: eight samples are what vector instructions blend at once.
#[derive(Debug, Clone, Copy)]
struct ColumnPair {
    first: [u32; 2],
    weights: [[u16; 8]; 2],
}

/// Where a network row lies.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// The upper one of two neighbouring image rows, from -1 on.
    top: isize,
    /// The weight of the lower one.
    weight: u16,
}

/// A map without rotation.
#[derive(Debug, Clone)]
pub(super) struct Separable {
    map: Affine,
    layout: Layout,
    /// The network columns and rows that touch the image; outside of them all is black.
    inside_x: Range<usize>,
    inside_y: Range<usize>,
    /// One for each of `inside_x`: its first neighbour, from -1 on, and the weight of the second.
    taps: Vec<(isize, u16)>,
    /// Half as many as `inside_x`; where those are odd, the last is there twice.
    columns: Vec<ColumnPair>,
    /// One for each of `inside_y`.
    rows: Vec<Row>,
    /// The image columns that are needed; the first is even.
    needed: Range<usize>,
    image: Size,
    /// Two image rows blended, between two black margins.
    between_rows: Vec<u16>,
    /// One network row.
    blended: Vec<[u16; 4]>,
}

impl Separable {
    /// The tables for `image_from_network`, or `None` if it turns or shears.
    pub fn new(format: PixelFormat, image: Size, image_from_network: &Affine, network: Size) -> Option<Self> {
        Self::takes(image_from_network).then(|| {
            let mut separable = Self {
                map: *image_from_network,
                layout: Layout::of(format),
                inside_x: 0..0,
                inside_y: 0..0,
                taps: Vec::new(),
                columns: Vec::new(),
                rows: Vec::new(),
                needed: 0..0,
                image,
                between_rows: Vec::new(),
                blended: Vec::new(),
            };
            separable.fill(format, image, image_from_network, network);
            separable
        })
    }

    /// Whether a map only scales and shifts.
    pub fn takes(image_from_network: &Affine) -> bool {
        image_from_network.xy == 0.0 && image_from_network.yx == 0.0
    }

    /// Whether the tables are those of this map.
    pub fn is_for(&self, image_from_network: &Affine) -> bool {
        self.map == *image_from_network
    }

    /// Refills the tables for another map that only scales and shifts.
    pub fn fill(&mut self, format: PixelFormat, image: Size, image_from_network: &Affine, network: Size) {
        let Affine { xx, x0, yy, y0, .. } = *image_from_network;
        let layout = Layout::of(format);
        (self.map, self.layout, self.image) = (*image_from_network, layout, image);
        // One more group than there are, since a column looks at two, and what fills the last one up to four.
        let samples = |pixels: usize| (pixels.div_ceil(layout.pixels()) + 2 * MARGIN + 1) * layout.samples() + 1;
        // Room for any map of such images, so that the next one allocates nothing.
        reserve(&mut self.taps, network.width);
        reserve(&mut self.columns, network.width.div_ceil(2));
        reserve(&mut self.rows, network.height);
        reserve(&mut self.between_rows, samples(image.width + 1));
        reserve(&mut self.blended, network.width + 1);

        self.inside_y = touching(yy, y0, network.height, image.height);
        let row = |(top, weight)| Row { top, weight };
        self.rows.clear();
        self.rows.extend(self.inside_y.clone().map(|at| row(tap(yy, y0, at))));
        self.inside_x = touching(xx, x0, network.width, image.width);
        let taps_x = &mut self.taps;
        taps_x.clear();
        taps_x.extend(self.inside_x.clone().map(|at| tap(xx, x0, at)));

        let last = image.width as isize - 1;
        let first_needed = taps_x.iter().map(|&(left, _)| left.max(0)).min().unwrap_or(0) as usize;
        let end_needed = taps_x.iter().map(|&(left, _)| (left + 1).min(last) + 1).max().unwrap_or(0) as usize;
        // Pixels of a pair share their chroma.
        let needed = first_needed / 2 * 2..end_needed;
        let column =
            |&(left, weight): &(isize, u16)| Column::new(layout, left - needed.start as isize, weight, left == last);
        let pair = |taps: &[(isize, u16)]| ColumnPair::new([column(&taps[0]), column(&taps[taps.len() - 1])]);
        self.columns.clear();
        self.columns.extend(taps_x.chunks(2).map(pair));
        self.between_rows.clear();
        self.between_rows.resize(samples(needed.len()), 0);
        self.blended.clear();
        self.blended.resize(2 * self.columns.len(), [0; 4]);
        self.needed = needed;
    }

    pub fn run(&mut self, image: ImageView<'_>, network: Size, normalisation: &Normalisation, output: &mut [f32]) {
        dispatch!(vectors(), simd => self.run_with(simd, image, network, normalisation, output));
    }

    // What is called from here on is inlined, to be compiled for the same vectors.
    #[inline(always)]
    fn run_with<S: Simd>(
        &mut self,
        simd: S,
        image: ImageView<'_>,
        network: Size,
        normalisation: &Normalisation,
        output: &mut [f32],
    ) {
        let source = Rows::new(image);
        let black = source.black();
        for group in self.between_rows.chunks_mut(self.layout.samples()) {
            group.copy_from_slice(&black[..group.len()]);
        }
        let Size { width, height } = network;
        for (plane, &black) in output.chunks_exact_mut(width * height).zip(&normalisation.offset) {
            plane[..self.inside_y.start * width].fill(black);
            plane[self.inside_y.end * width..].fill(black);
            for row in plane[self.inside_y.start * width..self.inside_y.end * width].chunks_exact_mut(width) {
                row[..self.inside_x.start].fill(black);
                row[self.inside_x.end..].fill(black);
            }
        }
        let (red, rest) = output.split_at_mut(width * height);
        let (green, blue) = rest.split_at_mut(width * height);
        let channels = Channels::new(image, normalisation);
        for (index, y) in self.inside_y.clone().enumerate() {
            self.blend_rows(&source, index, black);
            match self.layout {
                Layout::Pair => blend_columns::<4>(&self.between_rows, &self.columns, &mut self.blended),
                Layout::Pixel => blend_columns::<3>(&self.between_rows, &self.columns, &mut self.blended),
            }
            let place = y * width + self.inside_x.start..y * width + self.inside_x.end;
            let planes = [&mut red[place.clone()], &mut green[place.clone()], &mut blue[place]];
            channels.write(simd, &self.blended[..self.inside_x.len()], planes);
        }
    }

    /// Makes `between_rows` what the network row `index` of those that touch the image lies on.
    #[inline(always)]
    fn blend_rows(&mut self, source: &Rows<'_>, index: usize, black: [u16; 4]) {
        let Row { top, weight } = self.rows[index];
        let samples = self.layout.samples();
        let inside = samples * self.needed.len().div_ceil(self.layout.pixels());
        let inside = &mut self.between_rows[samples * MARGIN..][..inside];
        let last = self.image.height - 1;
        // Above the first row and below the last one all is black.
        let [upper, lower] = [top.max(0) as usize, ((top + 1) as usize).min(last)];
        source.read(Between { upper, lower, weight }, self.needed.start, self.needed.len(), inside);
        let outside = if top < 0 {
            u16::MAX - weight
        } else if top as usize == last {
            weight
        } else {
            0
        };
        if outside > 0 {
            for (value, &black) in inside.iter_mut().zip(black[..samples].iter().cycle()) {
                *value = share(*value, u16::MAX - outside) + share(black, outside);
            }
        }
        if let [.., second, _] = inside
            && self.layout == Layout::Pair
            && !self.needed.len().is_multiple_of(2)
        {
            // Half a pair at the right edge: it has no second pixel.
            *second = black[2];
        }
    }
}

impl Column {
    /// For the pixel `left`, counted from the first that is needed and from -1 on, and its right neighbour, which has the
    /// weight `right`; the last pixel of a row has none.
    fn new(layout: Layout, left: isize, right: u16, is_last: bool) -> Self {
        let place = (left + (MARGIN * layout.pixels()) as isize) as usize;
        let rest = u16::MAX - right;
        let weights = match layout {
            Layout::Pixel => [[rest; 4], [right; 4]],
            // Half a pair; its black neighbour's chroma is in the next group.
            Layout::Pair if place.is_multiple_of(2) && is_last => [[rest, rest, right, rest], [0, right, 0, right]],
            // The pair's own two pixels, which have the same chroma.
            Layout::Pair if place.is_multiple_of(2) => [[rest, u16::MAX, right, u16::MAX], [0; 4]],
            Layout::Pair => [[0, rest, rest, rest], [right, right, 0, right]],
        };
        Self { first: (place / layout.pixels() * layout.samples()) as u32, weights }
    }
}

impl ColumnPair {
    fn new(columns: [Column; 2]) -> Self {
        let weights = [0, 1].map(|group| core::array::from_fn(|lane| columns[lane / 4].weights[group][lane % 4]));
        Self { first: columns.map(|column| column.first), weights }
    }
}

/// The network pixels of one axis that touch the image.
fn touching(scale: f64, shift: f64, network: usize, image: usize) -> Range<usize> {
    let position = |at: usize| scale * at as f64 + shift;
    // Written so that NaN is outside as well. A straight line enters and leaves once.
    let touches = |at: &usize| position(*at) > -1.0 && position(*at) < image as f64;
    let start = (0..network).find(touches).unwrap_or(network);
    let end = (start..network).find(|at| !touches(at)).unwrap_or(network);
    start..end
}

/// The first neighbour of a network pixel that touches the image, from -1 on, and the weight of the second.
fn tap(scale: f64, shift: f64, at: usize) -> (isize, u16) {
    let position = scale * at as f64 + shift;
    let first = position.floor();
    (first as isize, ((position - first) * ONE).round() as u16)
}

/// Room for `count` items in all.
fn reserve<T>(items: &mut Vec<T>, count: usize) {
    items.reserve_exact(count.saturating_sub(items.len()));
}

/// Blends in a row buffer of groups of `SAMPLES` the neighbours of every column.
#[inline(always)]
fn blend_columns<const SAMPLES: usize>(row: &[u16], columns: &[ColumnPair], blended: &mut [[u16; 4]]) {
    let (pairs, _) = blended.as_chunks_mut::<2>();
    for (blended, column) in pairs.iter_mut().zip(columns) {
        let [first, second] = column.first.map(|first| &row[first as usize..first as usize + SAMPLES + 4]);
        // Whole registers: written as a loop over slices it takes three times as long.
        let (mut near, mut next) = ([0; 8], [0; 8]);
        near[..4].copy_from_slice(&first[..4]);
        near[4..].copy_from_slice(&second[..4]);
        next[..4].copy_from_slice(&first[SAMPLES..]);
        next[4..].copy_from_slice(&second[SAMPLES..]);
        let [of_near, of_next] = &column.weights;
        let both: [u16; 8] =
            core::array::from_fn(|lane| share(near[lane], of_near[lane]) + share(next[lane], of_next[lane]));
        blended.as_flattened_mut().copy_from_slice(&both);
    }
}
