//! Arrays in NumPy's `.npz` files: a zip archive of `.npy` members.
//!
//! Real numbers of every width are read, in either byte and axis order. Files are untrusted, so sizes are limited: the
//! unpacked size is known from the headers, and a file that unpacks to too much is refused before its values are read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::write;

/// Most bytes that the arrays read from one file take in memory: several times what the largest network here puts out.
const MAX_BYTES: usize = 64 << 20;
/// Most members of an archive, and most bytes of its directory.
const MAX_MEMBERS: u16 = 256;
const MAX_DIRECTORY: u32 = 1 << 20;
/// Most bytes of a header; NumPy writes 118 for a plain array.
const MAX_HEADER: usize = 4096;
/// First bytes of a `.npy`.
const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// One array, the last axis fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its extents; empty for a single number.
    pub shape: Vec<usize>,
    /// Its values; their number is the product of the extents.
    pub values: Values,
}

/// The values of an [`Array`].
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// `float32`
    F32(Vec<f32>),
    /// `float64`
    F64(Vec<f64>),
    /// `bool` and every integer type.
    I64(Vec<i64>),
}

impl Array {
    /// An array of `float32`; `None` if the number of values does not fit the shape.
    pub fn from_f32(shape: &[usize], values: Vec<f32>) -> Option<Self> {
        (count(shape)? == values.len()).then(|| Self { shape: shape.to_vec(), values: Values::F32(values) })
    }

    /// An array of `int64`; `None` if the number of values does not fit the shape.
    pub fn from_i64(shape: &[usize], values: Vec<i64>) -> Option<Self> {
        (count(shape)? == values.len()).then(|| Self { shape: shape.to_vec(), values: Values::I64(values) })
    }

    /// The values as `float32`, rounded if they have another type.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(values) => values.clone(),
            Values::F64(values) => values.iter().map(|&value| value as f32).collect(),
            Values::I64(values) => values.iter().map(|&value| value as f32).collect(),
        }
    }

    /// How many values are NaN or infinite.
    #[cfg(feature = "cli")]
    pub(crate) fn count_not_finite(&self) -> usize {
        match &self.values {
            Values::F32(values) => values.iter().filter(|value| !value.is_finite()).count(),
            Values::F64(values) => values.iter().filter(|value| !value.is_finite()).count(),
            Values::I64(_) => 0,
        }
    }

    /// The values as `float64`.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Values::F64(values) => values.clone(),
            Values::I64(values) => values.iter().map(|&value| value as f64).collect(),
        }
    }
}

/// Arrays by name.
pub type Arrays = BTreeMap<String, Array>;

/// Why a file of arrays was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpzError {
    /// The file cannot be opened, read or written.
    #[error("{file}: cannot be {action}")]
    Io {
        /// The file.
        file: String,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not an archive.
    #[error("{file}: not an .npz file: {source}; write it with numpy.savez")]
    Archive {
        /// The file.
        file: String,
        /// What is wrong with the archive.
        source: ZipError,
    },
    /// One array is not usable.
    #[error("{file}: array '{array}': {reason}")]
    Array {
        /// The file.
        file: String,
        /// The array.
        array: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

/// A file of arrays, open for reading.
#[derive(Debug)]
pub struct Npz<R> {
    file: String,
    archive: ZipArchive<R>,
    /// Bytes of memory that further arrays may take.
    room: usize,
}

impl Npz<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened or is not an archive.
    pub fn open(path: &Path) -> Result<Self, NpzError> {
        let file = path.display().to_string();
        let reader =
            File::open(path).map_err(|source| NpzError::Io { file: file.clone(), action: "opened", source })?;
        Self::new(BufReader::new(reader), &file)
    }
}

impl<R: Read + Seek> Npz<R> {
    /// Reads an archive from memory or a stream; errors call it `file`.
    ///
    /// # Errors
    /// If it is not an archive.
    pub fn new(mut reader: R, file: &str) -> Result<Self, NpzError> {
        let is_single = check_directory(&mut reader).and_then(|()| {
            let mut start = Vec::new();
            reader.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
            reader.rewind()?;
            Ok(start == MAGIC)
        });
        let is_single = is_single.map_err(|source| NpzError::Io { file: file.to_owned(), action: "read", source })?;
        let archive = ZipArchive::new(reader).map_err(|error| match error {
            _ if is_single => {
                let source = ZipError::InvalidArchive("it is a single array, as numpy.save writes it".into());
                NpzError::Archive { file: file.to_owned(), source }
            }
            ZipError::Io(source) => NpzError::Io { file: file.to_owned(), action: "read", source },
            source => NpzError::Archive { file: file.to_owned(), source },
        })?;
        Ok(Self { file: file.to_owned(), archive, room: MAX_BYTES })
    }

    /// Names of the arrays, in the file's order; other members are not listed.
    pub fn names(&self) -> Vec<String> {
        let names = self.archive.file_names().filter_map(Result::ok);
        names.filter_map(|name| name.strip_suffix(".npy").map(str::to_owned)).collect()
    }

    /// Reads one array; `None` if there is none of that name.
    ///
    /// # Errors
    /// If it is damaged, of an unsupported type, or would take more memory than is left of 64 MiB for all arrays of the
    /// file.
    pub fn array(&mut self, name: &str) -> Result<Option<Array>, NpzError> {
        let wrong = |reason| NpzError::Array { file: self.file.clone(), array: name.to_owned(), reason };
        let mut member = match self.archive.by_name(&format!("{name}.npy")) {
            Ok(member) => member,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        read_npy(&mut member, &mut self.room).map(Some).map_err(wrong)
    }
}

/// Writes `arrays` to a file that NumPy reads.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, arrays: &Arrays) -> Result<(), NpzError> {
    let file = path.display().to_string();
    let unwritable = |source| NpzError::Io { file: file.clone(), action: "written", source };
    let mut archive = io::Cursor::new(Vec::new());
    write_to(&mut archive, arrays).map_err(|error| match error {
        ZipError::Io(source) => unwritable(source),
        source => NpzError::Archive { file: file.clone(), source },
    })?;
    // In memory first: a pipe cannot be rewound, and a file is replaced by a complete one only.
    write::whole(path, archive.get_ref()).map_err(unwritable)
}

/// Writes `arrays` as an archive.
///
/// # Errors
/// If `output` fails.
pub fn write_to<W: Write + Seek>(output: W, arrays: &Arrays) -> Result<(), ZipError> {
    let mut archive = ZipWriter::new(output);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, array) in arrays {
        archive.start_file(format!("{name}.npy"), options)?;
        archive.write_all(&npy(array))?;
    }
    archive.finish()?.flush()?;
    Ok(())
}

fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent))
}

fn npy(array: &Array) -> Vec<u8> {
    let (descr, bytes): (&str, Vec<u8>) = match &array.values {
        Values::F32(values) => ("<f4", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        Values::F64(values) => ("<f8", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        Values::I64(values) => ("<i8", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
    };
    let extents: String = array.shape.iter().map(|extent| format!("{extent}, ")).collect();
    // "(3, )" is a tuple to Python just as "(3,)" is.
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({extents}), }}");
    // Magic, version and length take 10 bytes; the values begin at a multiple of 64.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = header.len() as u16;
    [MAGIC.as_slice(), &[1, 0], &length.to_le_bytes(), header.as_bytes(), &bytes].concat()
}

/// Refuses an archive whose directory would take too much memory, before it is read. Other faults are left to the zip reader.
fn check_directory<R: Read + Seek>(reader: &mut R) -> io::Result<()> {
    const END: &[u8] = b"PK\x05\x06";
    const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";
    /// The record at the end of an archive: 22 bytes and a comment.
    const MAX_END: u64 = 22 + (1 << 16);
    let length = reader.seek(io::SeekFrom::End(0))?;
    reader.seek(io::SeekFrom::Start(length.saturating_sub(MAX_END)))?;
    let mut tail = Vec::new();
    reader.take(MAX_END).read_to_end(&mut tail)?;
    reader.rewind()?;
    let too_large = || {
        let reason = format!("more than {MAX_MEMBERS} members, or a directory of more than {MAX_DIRECTORY} bytes");
        io::Error::new(io::ErrorKind::FileTooLarge, reason)
    };
    for record in tail.windows(22).filter(|record| record.starts_with(END)) {
        let members = u16::from_le_bytes([record[10], record[11]]);
        let bytes = u32::from_le_bytes([record[12], record[13], record[14], record[15]]);
        if members > MAX_MEMBERS || bytes > MAX_DIRECTORY {
            return Err(too_large());
        }
    }
    // NumPy writes one for archives of gigabytes or of more than 65,535 members only.
    if tail.windows(4).any(|bytes| bytes == ZIP64_LOCATOR) { Err(too_large()) } else { Ok(()) }
}

/// Reads an array, whose values take at most `room` bytes of memory, and takes them off `room`.
fn read_npy(reader: &mut impl Read, room: &mut usize) -> Result<Array, String> {
    let Header { descr, shape, fortran } = read_header(reader)?;
    let unknown = || format!("type '{descr}' is not read: convert it to float32 or int64");
    // '<' is little endian, '>' big endian; for single bytes it is '|'.
    let (order, kind) = descr.split_at_checked(1).ok_or_else(unknown)?;
    let big_endian = match order {
        "<" | "|" => false,
        ">" => true,
        _ => return Err(unknown()),
    };
    let width = if matches!(kind, "f2" | "f4") { 4 } else { 8 };
    let bytes = count(&shape).and_then(|count| count.checked_mul(width));
    let bytes = bytes.filter(|bytes| bytes <= room).ok_or_else(|| {
        let most = MAX_BYTES >> 20;
        format!("shape {shape:?} is too large: the arrays read from one file may take {most} MiB of memory")
    })?;
    *room -= bytes;
    let mut source = Source { reader, count: bytes / width, big_endian };
    let values = match kind {
        "f2" => Values::F32(source.read(|bytes| half(u16::from_le_bytes(bytes)))?),
        "f4" => Values::F32(source.read(f32::from_le_bytes)?),
        "f8" => Values::F64(source.read(f64::from_le_bytes)?),
        "b1" | "u1" => Values::I64(source.read(|[byte]: [u8; 1]| i64::from(byte))?),
        "i1" => Values::I64(source.read(|byte| i64::from(i8::from_le_bytes(byte)))?),
        "i2" => Values::I64(source.read(|bytes| i64::from(i16::from_le_bytes(bytes)))?),
        "u2" => Values::I64(source.read(|bytes| i64::from(u16::from_le_bytes(bytes)))?),
        "i4" => Values::I64(source.read(|bytes| i64::from(i32::from_le_bytes(bytes)))?),
        "u4" => Values::I64(source.read(|bytes| i64::from(u32::from_le_bytes(bytes)))?),
        "i8" => Values::I64(source.read(i64::from_le_bytes)?),
        _ => return Err(unknown()),
    };
    // With fewer than two axes both orders are the same.
    let values = match values {
        values if !fortran || shape.len() < 2 => values,
        Values::F32(values) => Values::F32(last_axis_fastest(&values, &shape)),
        Values::F64(values) => Values::F64(last_axis_fastest(&values, &shape)),
        Values::I64(values) => Values::I64(last_axis_fastest(&values, &shape)),
    };
    Ok(Array { shape, values })
}

/// The values of a member that are still to be read.
struct Source<'a, R> {
    reader: &'a mut R,
    count: usize,
    big_endian: bool,
}

impl<R: Read> Source<'_, R> {
    /// All values, `N` bytes each, which `convert` takes in little endian order.
    fn read<T, const N: usize>(&mut self, convert: impl Fn([u8; N]) -> T) -> Result<Vec<T>, String> {
        const BUFFER: usize = 1 << 16;
        let mut values: Vec<T> = Vec::new();
        let mut buffer = Vec::with_capacity(BUFFER);
        while values.len() < self.count {
            buffer.clear();
            let wanted = (BUFFER / N).min(self.count - values.len());
            let read = self.reader.by_ref().take((wanted * N) as u64).read_to_end(&mut buffer);
            read.map_err(|error| format!("damaged: {error}"))?;
            let (chunk, _) = buffer.as_chunks::<N>();
            if chunk.len() < wanted {
                let found = N * values.len() + buffer.len();
                return Err(format!("ends after {found} of {} bytes", N * self.count));
            }
            if values.capacity() < values.len() + wanted {
                // Grows by doubling: the header alone must not cause a large allocation.
                values.reserve_exact(wanted.max(values.len()).min(self.count - values.len()));
            }
            values.extend(chunk.iter().map(|&bytes| {
                let mut bytes = bytes;
                if self.big_endian {
                    bytes.reverse();
                }
                convert(bytes)
            }));
        }
        Ok(values)
    }
}

/// Values whose first axis is the fastest, reordered so that the last one is.
fn last_axis_fastest<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    // How far apart neighbours along each axis are in `values`.
    let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[..axis].iter().product()).collect();
    let mut position = vec![0; shape.len()];
    let mut at = 0;
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        ordered.push(values[at]);
        for axis in (0..shape.len()).rev() {
            position[axis] += 1;
            at += strides[axis];
            if position[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            position[axis] = 0;
        }
    }
    ordered
}

/// The number that 16 bits stand for (IEEE 754, binary16).
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * f32::from_bits((127 - 24) << 23),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (fraction + 1024.0) * f32::from_bits(((127 - 25 + exponent) as u32) << 23),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// The header of an array.
struct Header {
    descr: String,
    shape: Vec<usize>,
    /// The first axis is the fastest.
    fortran: bool,
}

/// Type and shape out of the header, a Python dictionary such as
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (18, 64, 64), }`.
fn read_header(reader: &mut impl Read) -> Result<Header, String> {
    let truncated = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "no NumPy header: it is cut off".to_owned(),
        _ => format!("it cannot be unpacked: {error}; write it with numpy.savez"),
    };
    let mut start = [0; 8];
    reader.read_exact(&mut start).map_err(truncated)?;
    if &start[..6] != MAGIC {
        return Err("not a NumPy array".to_owned());
    }
    let length = match start[6] {
        1 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length).map_err(truncated)?;
            usize::from(u16::from_le_bytes(length))
        }
        2 | 3 => {
            let mut length = [0; 4];
            reader.read_exact(&mut length).map_err(truncated)?;
            u32::from_le_bytes(length) as usize
        }
        version => return Err(format!("format version {version} is not known: 1 to 3 are")),
    };
    if length > MAX_HEADER {
        return Err(format!("a header of {length} bytes is longer than the {MAX_HEADER} that are read"));
    }
    let mut header = vec![0; length];
    reader.read_exact(&mut header).map_err(truncated)?;
    let header = String::from_utf8(header).map_err(|_| "the header is not text".to_owned())?;

    let entry =
        |key: &str| entry(&header, key).ok_or_else(|| format!("the header lacks '{key}': {}", header.trim_end()));
    let descr = entry("descr")?;
    let descr = descr
        .strip_prefix(['\'', '"'])
        .and_then(|text| text.split(['\'', '"']).next())
        .ok_or("arrays of records are not read: give one number per element")?;
    let order = entry("fortran_order")?;
    let fortran = order.starts_with("True");
    if !fortran && !order.starts_with("False") {
        return Err(format!("the header's fortran_order is neither True nor False: {}", header.trim_end()));
    }
    let shape = entry("shape")?;
    let extents = shape.strip_prefix('(').and_then(|text| text.split_once(')'));
    let (extents, _) = extents.ok_or_else(|| format!("the header's shape is not a tuple: {}", header.trim_end()))?;
    let extents = extents.split(',').map(str::trim).filter(|extent| !extent.is_empty()).map(str::parse);
    let shape: Vec<usize> =
        extents.collect::<Result<_, _>>().map_err(|error| format!("the header's shape: {error}"))?;
    Ok(Header { descr: descr.to_owned(), shape, fortran })
}

/// The text after `'key':`.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let start = header.find(&format!("'{key}'")).or_else(|| header.find(&format!("\"{key}\"")))?;
    let rest = &header[start + key.len() + 2..];
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn round_trip(arrays: &Arrays) -> Arrays {
        let mut file = Cursor::new(Vec::new());
        write_to(&mut file, arrays).unwrap();
        let mut npz = Npz::new(file, "memory").unwrap();
        npz.names().into_iter().map(|name| (name.clone(), npz.array(&name).unwrap().unwrap())).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut arrays = Arrays::new();
        arrays.insert("maps".into(), Array::from_f32(&[2, 1, 3], vec![1.0, -2.5, 3.0, f32::NAN, 0.0, 9.0]).unwrap());
        arrays.insert("empty".into(), Array::from_f32(&[0, 17, 3], Vec::new()).unwrap());
        arrays.insert("keep".into(), Array::from_i64(&[2], vec![-1, i64::MAX]).unwrap());
        arrays.insert("scalar".into(), Array { shape: Vec::new(), values: Values::F64(vec![0.1]) });
        let read = round_trip(&arrays);
        assert_eq!(format!("{read:?}"), format!("{arrays:?}"), "compared as text because NaN is not itself");
    }

    #[test]
    fn shapes_are_checked() {
        assert!(Array::from_f32(&[2, 3], vec![0.0; 5]).is_none());
        assert!(Array::from_i64(&[usize::MAX, 2], vec![]).is_none());
    }

    fn header(text: &str) -> Vec<u8> {
        [MAGIC.as_slice(), &[1, 0], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn arrays_that_are_not_read_are_refused_with_the_reason() {
        let refusal = |text: &str| read_npy(&mut header(text).as_slice(), &mut { MAX_BYTES }).unwrap_err();
        let plain = |descr: &str, order: &str, shape: &str| {
            refusal(&format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"))
        };
        for descr in ["'<f16'", "'<c8'", "'<u8'", "'|S3'", "'<U3'", "'|O'", "'=f4'", "''", "'é'"] {
            assert!(plain(descr, "False", "(3,)").contains("is not read"), "{descr}");
        }
        assert!(plain("[('a', '<f4')]", "False", "(3,)").contains("records"));
        assert!(plain("'<f4'", "Maybe", "(3,)").contains("neither True nor False"));
        assert!(plain("'<f4'", "False", "(3,)").contains("ends after 0 of 12 bytes"));
        assert!(plain("'<f4'", "False", "(4294967296, 4294967296, 4294967296)").contains("64 MiB"));
        assert!(plain("'<f4'", "False", "(-1,)").contains("shape"));
        assert!(plain("'<f4'", "False", "3").contains("not a tuple"));
        assert!(refusal("{'descr': '<f4'}").contains("fortran_order"));
        assert!(read_npy(&mut b"PK".as_slice(), &mut { MAX_BYTES }).unwrap_err().contains("no NumPy header"));
        assert!(matches!(Npz::new(Cursor::new(b"PK".to_vec()), "x.npz"), Err(NpzError::Archive { .. })));
        let array = Array::from_f32(&[2], vec![1.0, 2.0]).unwrap();
        let single = Npz::new(Cursor::new(npy(&array)), "x.npy").unwrap_err().to_string();
        assert!(single.contains("a single array"), "{single}");
    }

    #[test]
    fn a_header_as_python_2_wrote_it() {
        let mut bytes = header("{\"descr\": \"|u1\", \"fortran_order\": False, \"shape\": (2,)}");
        bytes.extend([7, 255]);
        let array = read_npy(&mut bytes.as_slice(), &mut { MAX_BYTES }).unwrap();
        assert_eq!(array, Array { shape: vec![2], values: Values::I64(vec![7, 255]) });
    }

    fn read(descr: &str, fortran: &str, shape: &str, values: &[u8]) -> Array {
        let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        read_npy(&mut [&header(&text), values].concat().as_slice(), &mut { MAX_BYTES }).unwrap()
    }

    #[test]
    fn half_precision() {
        // Every finite number, against the definition.
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
            let magnitude = match exponent {
                0 => fraction / 1024.0 * 2f64.powi(-14),
                31 => continue,
                _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
            };
            let expected = if bits >> 15 == 1 { -magnitude } else { magnitude };
            assert_eq!(f64::from(half(bits)), expected, "{bits:#x}");
        }
        let bytes: Vec<u8> = [0x7c00_u16, 0xfc00, 0x7e00].iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let Values::F32(values) = read("<f2", "False", "(3,)", &bytes).values else { panic!("not float32") };
        assert!(values[0] == f32::INFINITY && values[1] == f32::NEG_INFINITY && values[2].is_nan());
    }

    #[test]
    fn big_endian() {
        let bytes: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|value| value.to_be_bytes()).collect();
        assert_eq!(read(">f4", "False", "(2,)", &bytes).values, Values::F32(vec![1.5, -2.0]));
        assert_eq!(read(">i2", "False", "(2,)", &[0xff, 0xfe, 1, 2]).values, Values::I64(vec![-2, 258]));
        assert_eq!(read(">f8", "False", "()", &0.1_f64.to_be_bytes()).values, Values::F64(vec![0.1]));
    }

    #[test]
    fn first_axis_fastest() {
        // Value [a][b][c] is 100 a + 10 b + c.
        let (a, b, c) = (2, 3, 4);
        let of = |a: usize, b: usize, c: usize| (100 * a + 10 * b + c) as u8;
        let stored: Vec<u8> = (0..c).flat_map(|c| (0..b).flat_map(move |b| (0..a).map(move |a| of(a, b, c)))).collect();
        let expected: Vec<i64> =
            (0..a).flat_map(|a| (0..b).flat_map(move |b| (0..c).map(move |c| i64::from(of(a, b, c))))).collect();
        let array = read("|u1", "True", "(2, 3, 4)", &stored);
        assert_eq!(array, Array { shape: vec![2, 3, 4], values: Values::I64(expected) });
        assert_eq!(read("|u1", "True", "(0, 3)", &[]).values, Values::I64(Vec::new()));
        assert_eq!(read("|u1", "True", "(2,)", &[1, 2]).values, Values::I64(vec![1, 2]));
    }

    /// An archive with one compressed member per shape, whose zeros are really there.
    fn of_zeros(shapes: &[&str], bytes: usize) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for (index, shape) in shapes.iter().enumerate() {
            archive.start_file(format!("array{index}.npy"), options).unwrap();
            let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
            archive.write_all(&header(&text)).unwrap();
            archive.write_all(&vec![0; bytes]).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn arrays_that_unpack_to_too_much_are_refused_by_their_headers() {
        // One array of 4 GiB; and three of 32 MiB, of which two have room.
        let mut one = Npz::new(Cursor::new(of_zeros(&["(1073741824,)"], 0)), "one.npz").unwrap();
        let error = one.array("array0").unwrap_err().to_string();
        assert!(error.starts_with("one.npz: array 'array0': shape [1073741824] is too large"), "{error}");
        let mut three = Npz::new(Cursor::new(of_zeros(&["(8388608,)"; 3], 32 << 20)), "three.npz").unwrap();
        assert!(three.array("array0").is_ok() && three.array("array1").is_ok());
        assert!(three.array("array2").unwrap_err().to_string().contains("64 MiB"));
    }

    #[test]
    fn archives_with_many_members_are_refused_before_they_are_listed() {
        let shapes = vec!["(0,)"; usize::from(MAX_MEMBERS) + 1];
        let error = Npz::new(Cursor::new(of_zeros(&shapes, 0)), "many.npz").unwrap_err();
        assert!(matches!(&error, NpzError::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge));
        assert!(Npz::new(Cursor::new(of_zeros(&shapes[1..], 0)), "fewer.npz").is_ok());
    }
}
