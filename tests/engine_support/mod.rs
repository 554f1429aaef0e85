//! The bundles `spots` and `nearest` (tests/data/onnx/make.py), copied so that it can be broken, and images for it.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use sinew::bundle::{Bundle, BundleError, MANIFEST};
use sinew::engine::{EngineFiles, GraphFile};
use sinew::geometry::Size;
use sinew::pixels::{Image, PixelFormat};
use tempfile::TempDir;

/// A graph as it is opened without a bundle.
pub fn graph_files(onnx: &Path) -> EngineFiles {
    EngineFiles {
        // A file that is not there has no hash.
        fp32: GraphFile::of(onnx.to_owned()).unwrap_or_else(|_| GraphFile {
            onnx: onnx.to_owned(),
            sha256: "0".repeat(64),
            external: Vec::new(),
        }),
        fp16: None,
        int8: None,
        int8_fp16: None,
        int8_cpu: None,
        precision: None,
        label: "test/graph".to_owned(),
        has_open_shapes: true,
    }
}

/// The folder of the small graphs.
pub fn graphs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx")
}

/// A copy of `spots`, or of another bundle, in a folder of its own.
pub struct Spots {
    folder: TempDir,
}

impl Spots {
    pub fn new() -> Self {
        Self::of("spots")
    }

    /// A copy of another bundle that lies beside it.
    pub fn of(bundle: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(graphs().join(bundle)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
        Self { folder }
    }

    /// A copy in whose manifest `from`, which must be there, is `to`.
    pub fn with(from: &str, to: &str) -> Self {
        let spots = Self::new();
        spots.edit(from, to);
        spots
    }

    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.manifest()).unwrap();
        assert!(text.contains(from), "the manifest has no {from:?}");
        fs::write(self.manifest(), text.replace(from, to)).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn manifest(&self) -> PathBuf {
        self.path().join(MANIFEST)
    }

    pub fn open(&self) -> Result<Bundle, BundleError> {
        Bundle::open(self.path())
    }
}

/// A black RGB image with coloured cells of 4x4 pixels.
pub fn image(size: Size, cells: &[(usize, usize, [u8; 3])]) -> Image {
    let mut data = vec![0; 3 * size.width * size.height];
    for &(column, row, colour) in cells {
        for y in 4 * row..4 * row + 4 {
            for x in 4 * column..4 * column + 4 {
                let pixel = &mut data[3 * (y * size.width + x)..][..3];
                for (value, more) in pixel.iter_mut().zip(colour) {
                    *value = (*value).max(more);
                }
            }
        }
    }
    Image::new(PixelFormat::Rgb, size, data).unwrap()
}

pub const GREEN: [u8; 3] = [0, 255, 0];
pub const RED: [u8; 3] = [255, 0, 0];
pub const BLUE: [u8; 3] = [0, 0, 255];

/// A person whose centre is the cell `(column, row)`, with a red cell where the offsets put each keypoint.
pub fn person(column: usize, row: usize) -> [(usize, usize, [u8; 3]); 4] {
    [(column, row, GREEN), (column, row, RED), (column - 2, row, RED), (column, row + 2, RED)]
}
