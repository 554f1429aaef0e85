//! Maps that scale and shift only: columns and rows are looked up in tables.
//!
//! Every picture row that is needed is converted once, into one of two row buffers. For a network row the two are blended
//! into one, then the neighbours of every column in it, and the pixels are taken apart into three planes.

use std::ops::Range;

use super::Normalisation;
use super::rows::{LEVEL, Rows, WidePixel};
use crate::geometry::{Affine, Size};
use crate::pixels::PictureView;

/// Black pixels on either side of a row buffer: what network pixels at and beyond the picture's edge are blended from.
const MARGIN: usize = 2;

/// The weight of a whole pixel. No weight reaches it: where a pixel counts alone, the other one's weight is 0.
const ONE: f64 = 32768.0;

/// Where two neighbouring network columns lie: two pixels are what vector instructions blend at once.
#[derive(Debug, Clone, Copy)]
struct ColumnPair {
    /// For each the index of the left one of two neighbours in a row buffer.
    left: [u32; 2],
    /// The weight of the right neighbour: four times for the one column, four times for the other.
    weights: [i16; 8],
}

/// Where a network row lies.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// The upper one of two neighbouring picture rows, from -1 on.
    top: isize,
    /// The weight of the lower one.
    weight: i16,
}

/// A map without rotation.
#[derive(Debug, Clone)]
pub(super) struct Separable {
    /// The network columns and rows that touch the picture; outside of them all is black.
    inside_x: Range<usize>,
    inside_y: Range<usize>,
    /// Half as many as `inside_x`; where those are odd, the last is there twice.
    columns: Vec<ColumnPair>,
    /// One for each of `inside_y`.
    rows: Vec<Row>,
    /// The picture columns that are needed; the first is even.
    needed: Range<usize>,
    picture_height: usize,
    /// Two picture rows, even and odd, and which ones they are.
    buffers: [Vec<WidePixel>; 2],
    held: [Option<usize>; 2],
    /// What lies above and below the picture.
    black: Vec<WidePixel>,
    /// Two picture rows blended.
    between_rows: Vec<WidePixel>,
    /// One network row.
    blended: Vec<WidePixel>,
}

impl Separable {
    /// The tables for `network_to_picture`, or `None` where it turns or shears.
    pub fn new(picture: Size, network_to_picture: &Affine, network: Size) -> Option<Self> {
        let Affine { xx, xy, x0, yx, yy, y0 } = *network_to_picture;
        if xy != 0.0 || yx != 0.0 {
            return None;
        }
        let (inside_x, taps_x) = taps(xx, x0, network.width, picture.width);
        let (inside_y, taps_y) = taps(yy, y0, network.height, picture.height);
        let last = picture.width as isize - 1;
        let first_needed = taps_x.iter().map(|&(left, _)| left.max(0)).min().unwrap_or(0) as usize;
        let end_needed = taps_x.iter().map(|&(left, _)| (left + 1).min(last) + 1).max().unwrap_or(0) as usize;
        // Pixels of a pair share their chroma.
        let needed = first_needed / 2 * 2..end_needed;
        let column = |pair: &[(isize, i16)]| {
            let both = [pair[0], pair[pair.len() - 1]];
            ColumnPair {
                left: both.map(|(left, _)| (left - needed.start as isize + MARGIN as isize) as u32),
                weights: core::array::from_fn(|lane| both[lane / 4].1),
            }
        };
        let columns: Vec<_> = taps_x.chunks(2).map(column).collect();
        let buffer = vec![[0; 4]; needed.len() + 2 * MARGIN];
        Some(Self {
            inside_x,
            inside_y,
            blended: vec![[0; 4]; 2 * columns.len()],
            columns,
            rows: taps_y.into_iter().map(|(top, weight)| Row { top, weight }).collect(),
            needed,
            picture_height: picture.height,
            buffers: [buffer.clone(), buffer.clone()],
            held: [None; 2],
            black: buffer.clone(),
            between_rows: buffer,
        })
    }

    pub fn run(&mut self, picture: PictureView<'_>, network: Size, normalisation: &Normalisation, output: &mut [f32]) {
        let source = Rows::new(picture);
        self.held = [None; 2];
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
        for (index, y) in self.inside_y.clone().enumerate() {
            self.blend(&source, index);
            let place = y * width + self.inside_x.start..y * width + self.inside_x.end;
            let planes = [&mut red[place.clone()], &mut green[place.clone()], &mut blue[place]];
            take_apart(&self.blended, normalisation, planes);
        }
    }

    /// Makes `blended` the network row `index` of those that touch the picture.
    fn blend(&mut self, source: &Rows<'_>, index: usize) {
        let Row { top, weight } = self.rows[index];
        self.hold(source, top);
        // A row without weight need not be there: all rows of an unscaled picture.
        if weight > 0 {
            self.hold(source, top + 1);
        }
        let Self { buffers, black, picture_height, between_rows, .. } = self;
        let row = |row: isize| match usize::try_from(row) {
            Ok(row) if row < *picture_height => &buffers[row % 2],
            _ => &*black,
        };
        if weight > 0 {
            blend_rows(row(top), row(top + 1), weight, between_rows);
            blend_columns(between_rows, &self.columns, &mut self.blended);
        } else {
            blend_columns(row(top), &self.columns, &mut self.blended);
        }
    }

    /// Reads the picture row `row` into its buffer, unless it is there or lies outside.
    fn hold(&mut self, source: &Rows<'_>, row: isize) {
        let Ok(row) = usize::try_from(row) else { return };
        if row >= self.picture_height || self.held[row % 2] == Some(row) {
            return;
        }
        self.held[row % 2] = Some(row);
        let buffer = &mut self.buffers[row % 2];
        let end = buffer.len() - MARGIN;
        source.read(row, self.needed.start, &mut buffer[MARGIN..end]);
    }
}

/// The network pixels of one axis that touch the picture, and for each its first neighbour, from -1 on, with the weight
/// of the second.
fn taps(scale: f64, shift: f64, network: usize, picture: usize) -> (Range<usize>, Vec<(isize, i16)>) {
    let position = |at: usize| scale * at as f64 + shift;
    // Written so that NaN is outside as well. A straight line enters and leaves once.
    let touches = |at: &usize| position(*at) > -1.0 && position(*at) < picture as f64;
    let start = (0..network).find(touches).unwrap_or(network);
    let end = (start..network).find(|at| !touches(at)).unwrap_or(network);
    let tap = |at: usize| {
        let floor = position(at).floor();
        (floor as isize, ((position(at) - floor) * ONE).round().min(ONE - 1.0) as i16)
    };
    (start..end, (start..end).map(tap).collect())
}

/// The value `weight` of the way from `from` to `to`, exactly `from` where the weight is 0; up to 1/64 of a grey level
/// too low elsewhere.
#[inline(always)]
fn between(from: i16, to: i16, weight: i16) -> i16 {
    let product = i32::from(to - from) * i32::from(weight);
    from + (((product >> 16) as i16) << 1)
}

/// Blends two row buffers, `weight` of the lower one.
fn blend_rows(upper: &[WidePixel], lower: &[WidePixel], weight: i16, blended: &mut [WidePixel]) {
    let neighbours = upper.as_flattened().iter().zip(lower.as_flattened());
    for (blended, (&upper, &lower)) in blended.as_flattened_mut().iter_mut().zip(neighbours) {
        *blended = between(upper, lower, weight);
    }
}

/// Blends in a row buffer the neighbours of every column.
fn blend_columns(row: &[WidePixel], columns: &[ColumnPair], blended: &mut [WidePixel]) {
    let (pairs, _) = blended.as_chunks_mut::<2>();
    for (blended, column) in pairs.iter_mut().zip(columns) {
        let [first, second] = column.left.map(|left| &row[left as usize..left as usize + 2]);
        // Whole registers: written as a loop over slices it takes three times as long.
        let (mut left, mut right) = ([0; 8], [0; 8]);
        left[..4].copy_from_slice(&first[0]);
        left[4..].copy_from_slice(&second[0]);
        right[..4].copy_from_slice(&first[1]);
        right[4..].copy_from_slice(&second[1]);
        let both: [i16; 8] = core::array::from_fn(|lane| between(left[lane], right[lane], column.weights[lane]));
        blended.as_flattened_mut().copy_from_slice(&both);
    }
}

/// Normalises pixels into their three planes.
fn take_apart(pixels: &[WidePixel], normalisation: &Normalisation, planes: [&mut [f32]; 3]) {
    for (channel, plane) in planes.into_iter().enumerate() {
        let (scale, offset) = (normalisation.scale[channel] / f32::from(LEVEL), normalisation.offset[channel]);
        for (value, pixel) in plane.iter_mut().zip(pixels) {
            *value = scale * f32::from(pixel[channel]) + offset;
        }
    }
}
