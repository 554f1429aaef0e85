//! Arrays in NumPy's `.npz` files: a zip archive of `.npy` members.
//!
//! Only what crosses between programs here is read: C order, little endian, real numbers. A file may come from
//! anywhere, so sizes are limited and nothing is allocated on the word of a header.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Most values of an array: 512 MiB of `f32`.
const MAX_VALUES: usize = 1 << 27;
/// Most bytes of a header; NumPy writes 118 for a plain array.
const MAX_HEADER: usize = 4096;
/// First bytes of a `.npy`.
const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// One array, the last axis fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its extents; empty for a single number.
    pub shape: Vec<usize>,
    /// As many values as the product of the extents.
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
    /// An array of `float32`; `None` where the number of values does not fit the shape.
    pub fn from_f32(shape: &[usize], values: Vec<f32>) -> Option<Self> {
        (count(shape)? == values.len()).then(|| Self { shape: shape.to_vec(), values: Values::F32(values) })
    }

    /// An array of `int64`; `None` where the number of values does not fit the shape.
    pub fn from_i64(shape: &[usize], values: Vec<i64>) -> Option<Self> {
        (count(shape)? == values.len()).then(|| Self { shape: shape.to_vec(), values: Values::I64(values) })
    }

    /// The values as `float32`, rounded where they are something else.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(values) => values.clone(),
            Values::F64(values) => values.iter().map(|&value| value as f32).collect(),
            Values::I64(values) => values.iter().map(|&value| value as f32).collect(),
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
}

impl Npz<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// Where it cannot be opened or is no archive.
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
    /// Where it is no archive.
    pub fn new(reader: R, file: &str) -> Result<Self, NpzError> {
        let archive = ZipArchive::new(reader).map_err(|error| match error {
            ZipError::Io(source) => NpzError::Io { file: file.to_owned(), action: "read", source },
            source => NpzError::Archive { file: file.to_owned(), source },
        })?;
        Ok(Self { file: file.to_owned(), archive })
    }

    /// Names of the arrays, in the file's order; members that are no arrays are passed over.
    pub fn names(&self) -> Vec<String> {
        let names = self.archive.file_names().filter_map(Result::ok);
        names.filter_map(|name| name.strip_suffix(".npy").map(str::to_owned)).collect()
    }

    /// Reads one array; `None` where there is none of that name.
    ///
    /// # Errors
    /// Where it is damaged, too large, or of a type that is not read here.
    pub fn array(&mut self, name: &str) -> Result<Option<Array>, NpzError> {
        let wrong = |reason| NpzError::Array { file: self.file.clone(), array: name.to_owned(), reason };
        let mut member = match self.archive.by_name(&format!("{name}.npy")) {
            Ok(member) => member,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        read_npy(&mut member).map(Some).map_err(wrong)
    }
}

/// Writes `arrays` to a file that NumPy reads.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(path: &Path, arrays: &Arrays) -> Result<(), NpzError> {
    let file = path.display().to_string();
    let unwritable = |source| NpzError::Io { file: file.clone(), action: "written", source };
    let output = BufWriter::new(File::create(path).map_err(unwritable)?);
    write_to(output, arrays).map_err(|error| match error {
        ZipError::Io(source) => unwritable(source),
        source => NpzError::Archive { file: file.clone(), source },
    })
}

/// Writes `arrays` as an archive.
///
/// # Errors
/// Where `output` fails.
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

fn read_npy(reader: &mut impl Read) -> Result<Array, String> {
    let (descr, shape) = read_header(reader)?;
    let values = count(&shape).filter(|&count| count <= MAX_VALUES);
    let count = values.ok_or_else(|| format!("shape {shape:?} has more than the {MAX_VALUES} values that are read"))?;
    let values = match descr.as_str() {
        "<f4" => Values::F32(numbers(reader, count, f32::from_le_bytes)?),
        "<f8" => Values::F64(numbers(reader, count, f64::from_le_bytes)?),
        "|b1" | "|u1" => Values::I64(numbers(reader, count, |[byte]: [u8; 1]| i64::from(byte))?),
        "|i1" => Values::I64(numbers(reader, count, |byte| i64::from(i8::from_le_bytes(byte)))?),
        "<i2" => Values::I64(numbers(reader, count, |bytes| i64::from(i16::from_le_bytes(bytes)))?),
        "<u2" => Values::I64(numbers(reader, count, |bytes| i64::from(u16::from_le_bytes(bytes)))?),
        "<i4" => Values::I64(numbers(reader, count, |bytes| i64::from(i32::from_le_bytes(bytes)))?),
        "<u4" => Values::I64(numbers(reader, count, |bytes| i64::from(u32::from_le_bytes(bytes)))?),
        "<i8" => Values::I64(numbers(reader, count, i64::from_le_bytes)?),
        other => return Err(format!("type '{other}' is not read: convert it to float32 or int64")),
    };
    Ok(Array { shape, values })
}

/// `count` values of `N` bytes each.
fn numbers<T, const N: usize>(
    reader: &mut impl Read,
    count: usize,
    convert: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, String> {
    let expected = count * N;
    let mut bytes = Vec::new();
    reader.take(expected as u64).read_to_end(&mut bytes).map_err(|error| format!("damaged: {error}"))?;
    if bytes.len() < expected {
        return Err(format!("ends after {} of {expected} bytes", bytes.len()));
    }
    let (values, _) = bytes.as_chunks::<N>();
    Ok(values.iter().map(|&value| convert(value)).collect())
}

/// Type and shape out of the header, a Python dictionary such as
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (18, 64, 64), }`.
fn read_header(reader: &mut impl Read) -> Result<(String, Vec<usize>), String> {
    let truncated = |error: io::Error| format!("no NumPy header: {error}");
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
    let header = String::from_utf8(header).map_err(|_| "the header is no text".to_owned())?;

    let entry =
        |key: &str| entry(&header, key).ok_or_else(|| format!("the header lacks '{key}': {}", header.trim_end()));
    let descr = entry("descr")?;
    let descr = descr
        .strip_prefix(['\'', '"'])
        .and_then(|text| text.split(['\'', '"']).next())
        .ok_or("arrays of records are not read: give one number per element")?;
    if !entry("fortran_order")?.starts_with("False") {
        return Err("Fortran order is not read: use numpy.ascontiguousarray".to_owned());
    }
    let shape = entry("shape")?;
    let extents = shape.strip_prefix('(').and_then(|text| text.split_once(')'));
    let (extents, _) = extents.ok_or_else(|| format!("the header's shape is no tuple: {}", header.trim_end()))?;
    let extents = extents.split(',').map(str::trim).filter(|extent| !extent.is_empty()).map(str::parse);
    let shape: Vec<usize> =
        extents.collect::<Result<_, _>>().map_err(|error| format!("the header's shape: {error}"))?;
    Ok((descr.to_owned(), shape))
}

/// What stands after `'key':`.
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
    fn foreign_arrays_are_refused_by_name_of_the_fault() {
        let refusal = |text: &str| read_npy(&mut header(text).as_slice()).unwrap_err();
        let plain = |descr: &str, order: &str, shape: &str| {
            refusal(&format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"))
        };
        assert!(plain("'<f2'", "False", "(3,)").contains("'<f2' is not read"));
        assert!(plain("[('a', '<f4')]", "False", "(3,)").contains("records"));
        assert!(plain("'<f4'", "True", "(3,)").contains("Fortran"));
        assert!(plain("'<f4'", "False", "(3,)").contains("ends after 0 of 12 bytes"));
        assert!(plain("'<f4'", "False", "(4294967296, 4294967296, 4294967296)").contains("more than"));
        assert!(plain("'<f4'", "False", "(-1,)").contains("shape"));
        assert!(plain("'<f4'", "False", "3").contains("no tuple"));
        assert!(refusal("{'descr': '<f4'}").contains("fortran_order"));
        assert!(read_npy(&mut b"PK".as_slice()).unwrap_err().contains("no NumPy header"));
        assert!(matches!(Npz::new(Cursor::new(b"PK".to_vec()), "x.npz"), Err(NpzError::Archive { .. })));
    }

    #[test]
    fn a_header_as_python_2_wrote_it() {
        let mut bytes = header("{\"descr\": \"|u1\", \"fortran_order\": False, \"shape\": (2,)}");
        bytes.extend([7, 255]);
        let array = read_npy(&mut bytes.as_slice()).unwrap();
        assert_eq!(array, Array { shape: vec![2], values: Values::I64(vec![7, 255]) });
    }
}
