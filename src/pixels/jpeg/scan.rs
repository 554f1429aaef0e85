//! The coded data of scans (ITU-T T.81, annexes F and G).

use super::frame::{Frame, Process, Scan};
use super::huffman::{Bits, Table, extend};
use super::{Fault, idct};

/// Positions of the zigzag order in a block's rows.
pub(super) const ZIGZAG: [u8; 64] = zigzag();

const fn zigzag() -> [u8; 64] {
    let mut order = [0; 64];
    let (mut x, mut y, mut index) = (0_usize, 0_usize, 0);
    while index < 64 {
        order[index] = (8 * y + x) as u8;
        // Diagonals of an even sum go up, the others down; each begins where the last one met an edge.
        if (x + y) % 2 == 0 {
            if x == 7 {
                y += 1;
            } else {
                x += 1;
                y = y.saturating_sub(1);
            }
        } else if y == 7 {
            x += 1;
        } else {
            y += 1;
            x = x.saturating_sub(1);
        }
        index += 1;
    }
    order
}

const TOO_MANY: Fault = Fault::Broken("a block has more than 64 coefficients");
const NO_TABLE: Fault = Fault::Broken("a Huffman table is missing");

/// Where a scan's blocks go.
pub(super) struct Target<'a> {
    pub planes: &'a mut [Vec<u8>; 3],
    /// Coefficients of progressive frames.
    pub coefficients: &'a mut [Vec<i16>; 3],
    pub quantisation: &'a [[u16; 64]; 3],
}

/// The Huffman tables that hold for a scan.
pub(super) struct Tables<'a> {
    pub dc: &'a [Option<Table>; 4],
    pub ac: &'a [Option<Table>; 4],
}

/// A component of the scan while it is read.
#[derive(Clone, Copy)]
struct Part<'a> {
    index: usize,
    dc: Option<&'a Table>,
    ac: Option<&'a Table>,
    /// Blocks across and down in a unit.
    unit: (usize, usize),
    blocks_across: usize,
    /// The DC coefficient of the block before.
    predictor: i32,
}

/// Reads a scan's data.
pub(super) fn read(
    frame: &Frame,
    scan: &Scan,
    tables: &Tables<'_>,
    restart_interval: usize,
    bits: &mut Bits<'_>,
    target: &mut Target<'_>,
) -> Result<(), Fault> {
    let mut parts = [Part { index: 0, dc: None, ac: None, unit: (1, 1), blocks_across: 0, predictor: 0 }; 3];
    let parts = &mut parts[..scan.parts().len()];
    let is_interleaved = parts.len() > 1;
    for (part, &(index, dc, ac)) in parts.iter_mut().zip(scan.parts()) {
        let component = &frame.components()[index];
        let unit = if is_interleaved { (component.h, component.v) } else { (1, 1) };
        let (dc, ac) = (tables.dc[dc].as_ref(), tables.ac[ac].as_ref());
        *part = Part { index, dc, ac, unit, blocks_across: component.blocks_across, predictor: 0 };
    }
    // A scan of one component has its own blocks only, not those that fill up interleaved units.
    let units = if is_interleaved { frame.units } else { frame.components()[parts[0].index].blocks };
    let (mut until_restart, mut restarts, mut run) = (restart_interval, 0_u8, 0_u32);
    for y in 0..units.height {
        for x in 0..units.width {
            if restart_interval > 0 {
                if until_restart == 0 {
                    bits.restart(restarts % 8)?;
                    (until_restart, restarts, run) = (restart_interval, restarts.wrapping_add(1), 0);
                    parts.iter_mut().for_each(|part| part.predictor = 0);
                }
                until_restart -= 1;
            }
            for part in parts.iter_mut() {
                for row in 0..part.unit.1 {
                    for column in 0..part.unit.0 {
                        let at = (x * part.unit.0 + column, y * part.unit.1 + row);
                        match frame.process {
                            Process::Sequential => sequential(part, at, bits, target)?,
                            Process::Progressive => {
                                let start = 64 * (at.1 * part.blocks_across + at.0);
                                let block = &mut target.coefficients[part.index][start..start + 64];
                                let Some(block) = block.first_chunk_mut() else { return Err(TOO_MANY) };
                                progressive(scan, part, &mut run, bits, block)?;
                            }
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// Reads a whole block and transforms it.
fn sequential(
    part: &mut Part<'_>,
    (x, y): (usize, usize),
    bits: &mut Bits<'_>,
    target: &mut Target<'_>,
) -> Result<(), Fault> {
    let (Some(dc), Some(ac)) = (part.dc, part.ac) else { return Err(NO_TABLE) };
    let mut block = [0_i16; 64];
    block[0] = difference(part, dc, bits)? as i16;
    let mut k = 1;
    while k < 64 {
        bits.refill();
        if let Some((run, value)) = ac.fast_value(bits)? {
            k += run;
            block[place(k)?] = value as i16;
            k += 1;
            continue;
        }
        let symbol = ac.symbol(bits)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run < 15 {
                break;
            }
            k += 16;
            continue;
        }
        k += run;
        block[place(k)?] = extend(bits.take(size)?, size) as i16;
        k += 1;
    }
    let stride = 8 * part.blocks_across;
    let plane = &mut target.planes[part.index][8 * (y * stride + x)..];
    let quantisation = &target.quantisation[part.index];
    if k == 1 {
        idct::flat(block[0], quantisation[0], plane, stride)
    } else {
        idct::inverse(&block, quantisation, plane, stride)
    }
}

/// Where coefficient `k` of the zigzag order lies.
#[inline(always)]
fn place(k: usize) -> Result<usize, Fault> {
    ZIGZAG.get(k).map(|&place| usize::from(place)).ok_or(TOO_MANY)
}

/// The DC coefficient of the next block.
#[inline(always)]
fn difference(part: &mut Part<'_>, dc: &Table, bits: &mut Bits<'_>) -> Result<i32, Fault> {
    let size = u32::from(dc.symbol(bits)?);
    if size > 15 {
        return Err(Fault::Broken("a DC coefficient has more than 15 bits"));
    }
    part.predictor = part.predictor.wrapping_add(extend(bits.take(size)?, size));
    Ok(part.predictor)
}

/// Reads a block of a progressive scan. `run` is the number of following blocks without further coefficients.
fn progressive(
    scan: &Scan,
    part: &mut Part<'_>,
    run: &mut u32,
    bits: &mut Bits<'_>,
    block: &mut [i16; 64],
) -> Result<(), Fault> {
    let low = u32::from(scan.low);
    match (scan.first, scan.high) {
        (0, 0) => {
            let dc = part.dc.ok_or(NO_TABLE)?;
            block[0] = (difference(part, dc, bits)? << low) as i16;
            Ok(())
        }
        (0, _) => {
            block[0] |= (bits.take(1)? << low) as i16;
            Ok(())
        }
        (_, 0) => first_band(scan, part.ac.ok_or(NO_TABLE)?, run, bits, block),
        _ => refined_band(scan, part.ac.ok_or(NO_TABLE)?, run, bits, block),
    }
}

/// The upper bits of some AC coefficients.
fn first_band(scan: &Scan, ac: &Table, run: &mut u32, bits: &mut Bits<'_>, block: &mut [i16; 64]) -> Result<(), Fault> {
    if *run > 0 {
        *run -= 1;
        return Ok(());
    }
    let mut k = scan.first;
    while k <= scan.last {
        let symbol = ac.symbol(bits)?;
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if zeros < 15 {
                *run = (1 << zeros) - 1 + bits.take(zeros)?;
                break;
            }
            k += 16;
            continue;
        }
        k += zeros as usize;
        if k > scan.last {
            return Err(TOO_MANY);
        }
        block[place(k)?] = (extend(bits.take(size)?, size) << scan.low) as i16;
        k += 1;
    }
    Ok(())
}

/// One more bit of some AC coefficients.
fn refined_band(
    scan: &Scan,
    ac: &Table,
    run: &mut u32,
    bits: &mut Bits<'_>,
    block: &mut [i16; 64],
) -> Result<(), Fault> {
    let bit = 1_i16 << scan.low;
    let mut k = scan.first;
    while *run == 0 && k <= scan.last {
        let symbol = ac.symbol(bits)?;
        let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
        let mut value = 0;
        if size == 0 {
            if zeros < 15 {
                *run = (1 << zeros) + bits.take(zeros)?;
                break;
            }
        } else {
            value = if bits.take(1)? == 1 { bit } else { -bit };
        }
        // Coefficients that are known already get their bit; the zeros between them are counted.
        while k <= scan.last {
            let coefficient = &mut block[place(k)?];
            if *coefficient == 0 {
                if zeros == 0 {
                    break;
                }
                zeros -= 1;
            } else {
                refine(coefficient, bit, bits)?;
            }
            k += 1;
        }
        if value != 0 {
            if k > scan.last {
                return Err(TOO_MANY);
            }
            block[place(k)?] = value;
        }
        k += 1;
    }
    if *run > 0 {
        while k <= scan.last {
            let coefficient = &mut block[place(k)?];
            if *coefficient != 0 {
                refine(coefficient, bit, bits)?;
            }
            k += 1;
        }
        *run -= 1;
    }
    Ok(())
}

#[inline(always)]
fn refine(coefficient: &mut i16, bit: i16, bits: &mut Bits<'_>) -> Result<(), Fault> {
    if bits.take(1)? == 1 && *coefficient & bit == 0 {
        *coefficient = coefficient.wrapping_add(if *coefficient > 0 { bit } else { -bit });
    }
    Ok(())
}
