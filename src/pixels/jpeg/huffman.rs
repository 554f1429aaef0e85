//! Huffman tables and the bits that they decode (ITU-T T.81, annexes C and F.2.2).

use super::Fault;

/// Bits that are looked up at once; longer codes are rare.
const FAST_BITS: u32 = 10;
const FAST: usize = 1 << FAST_BITS;

/// A Huffman table, prepared for decoding.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// For each run of bits the symbol and, in the upper byte, its length; 0 if the code is longer.
    symbols: [u16; FAST],
    /// The same with the value that follows the code, for codes and values that fit together: value, then 8 bits of run,
    /// then 8 bits of length; 0 if they do not fit.
    values: [i32; FAST],
    /// By length: the smallest code of at most that many bits that does not exist, aligned to 16 bits.
    limit: [u32; 17],
    /// By length: the offset from a code to its symbol.
    offset: [i32; 17],
    list: [u8; 256],
}

impl Table {
    /// The table with `counts[n]` codes of `n + 1` bits, for `symbols` in the order of their codes.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Fault> {
        let mut table = Self { symbols: [0; FAST], values: [0; FAST], limit: [0; 17], offset: [0; 17], list: [0; 256] };
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        if total > 256 || total > symbols.len() {
            return Err(Fault::Broken("a Huffman table has more than 256 codes"));
        }
        table.list[..total].copy_from_slice(&symbols[..total]);
        let (mut code, mut index) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            let count = u32::from(counts[length as usize - 1]);
            if code + count > 1 << length {
                return Err(Fault::Broken("a Huffman table has more codes than bits allow"));
            }
            table.offset[length as usize] = index as i32 - code as i32;
            for _ in 0..count {
                if length <= FAST_BITS {
                    table.fill(code, length, table.list[index]);
                }
                code += 1;
                index += 1;
            }
            table.limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// Enters a code of at most [`FAST_BITS`] bits into the tables that are looked up.
    fn fill(&mut self, code: u32, length: u32, symbol: u8) {
        let rest = FAST_BITS - length;
        let size = u32::from(symbol & 15);
        for tail in 0..1_u32 << rest {
            let at = ((code << rest) | tail) as usize;
            self.symbols[at] = (length as u16) << 8 | u16::from(symbol);
            if size > 0 && size <= rest {
                let value = extend(tail >> (rest - size), size);
                self.values[at] = value << 16 | i32::from(symbol >> 4) << 8 | (length + size) as i32;
            }
        }
    }

    /// The next symbol.
    #[inline(always)]
    pub fn symbol(&self, bits: &mut Bits<'_>) -> Result<u8, Fault> {
        bits.refill();
        let entry = self.symbols[bits.peek(FAST_BITS) as usize];
        if entry != 0 {
            bits.consume(u32::from(entry >> 8))?;
            return Ok(entry as u8);
        }
        self.long_symbol(bits)
    }

    /// The next symbol, whose code has more than [`FAST_BITS`] bits.
    #[cold]
    fn long_symbol(&self, bits: &mut Bits<'_>) -> Result<u8, Fault> {
        let next = bits.peek(16);
        let Some(length) = (FAST_BITS + 1..=16).find(|&length| next < self.limit[length as usize]) else {
            return Err(Fault::Broken("its data hold a Huffman code that no table has"));
        };
        bits.consume(length)?;
        let index = (next >> (16 - length)) as i32 + self.offset[length as usize];
        Ok(self.list[index as usize & 255])
    }

    /// The next run and value of an AC coefficient where both are looked up at once. Needs refilled bits.
    #[inline(always)]
    pub fn fast_value(&self, bits: &mut Bits<'_>) -> Result<Option<(usize, i32)>, Fault> {
        let entry = self.values[bits.peek(FAST_BITS) as usize];
        if entry == 0 {
            return Ok(None);
        }
        bits.consume(entry as u32 & 0xff)?;
        Ok(Some((entry as usize >> 8 & 0xff, entry >> 16)))
    }
}

/// The value that `size` bits stand for (T.81, F.2.2.1).
#[inline(always)]
pub(super) fn extend(bits: u32, size: u32) -> i32 {
    let value = bits as i32;
    if size > 0 && value < 1 << (size - 1) { value - (1 << size) + 1 } else { value }
}

/// The bits of a scan up to its next marker.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the highest on; zeros behind the last.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, buffer: 0, count: 0 }
    }

    /// Makes at least 32 bits available, unless a marker or the end is nearer.
    #[inline(always)]
    pub fn refill(&mut self) {
        if self.count < 32 {
            self.refill_slowly();
        }
    }

    fn refill_slowly(&mut self) {
        if let Some(next) = self.bytes.get(self.at..self.at + 4) {
            let word = u32::from_be_bytes([next[0], next[1], next[2], next[3]]);
            // Whether no byte is 0xff: none of the complement is 0.
            let complement = !word;
            if complement.wrapping_sub(0x0101_0101) & !complement & 0x8080_8080 == 0 {
                self.buffer |= u64::from(word) << (32 - self.count);
                self.count += 32;
                self.at += 4;
                return;
            }
        }
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            if byte == 0xff {
                match self.bytes.get(self.at + 1) {
                    Some(0) => self.at += 1,
                    // A marker: it stays.
                    _ => return,
                }
            }
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.at += 1;
        }
    }

    #[inline(always)]
    fn peek(&self, count: u32) -> u32 {
        (self.buffer >> (64 - count)) as u32
    }

    #[inline(always)]
    fn consume(&mut self, count: u32) -> Result<(), Fault> {
        if count > self.count {
            return Err(Fault::EndsEarly);
        }
        self.buffer <<= count;
        self.count -= count;
        Ok(())
    }

    /// The next `count` bits, from 0 to 16.
    #[inline(always)]
    pub fn take(&mut self, count: u32) -> Result<u32, Fault> {
        if count == 0 {
            return Ok(0);
        }
        self.refill();
        let value = self.peek(count);
        self.consume(count)?;
        Ok(value)
    }

    /// Steps over the restart marker `number`, which must come next.
    pub fn restart(&mut self, number: u8) -> Result<(), Fault> {
        let marker = self.marker();
        match self.bytes.get(marker + 1) {
            Some(&found) if found == 0xd0 + number => {}
            Some(0xd0..=0xd7) => return Err(Fault::Broken("restart markers are missing or out of order")),
            _ => return Err(Fault::EndsEarly),
        }
        (self.buffer, self.count, self.at) = (0, 0, marker + 2);
        Ok(())
    }

    /// Where the next marker is, fill bytes before it skipped; the end where there is none.
    pub fn marker(&self) -> usize {
        let mut at = self.at;
        while let Some(&byte) = self.bytes.get(at) {
            if byte == 0xff {
                match self.bytes.get(at + 1) {
                    None => return self.bytes.len(),
                    Some(0) => at += 1,
                    Some(0xff) => {}
                    Some(_) => return at,
                }
            }
            at += 1;
        }
        self.bytes.len()
    }
}
