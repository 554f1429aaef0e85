//! JPEGs decode to the bytes that libjpeg-turbo decodes, or are refused by name.
//!
//! `tests/data/jpeg` has a small part of a generated grid; `make check-jpeg` generates and checks all of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sinew::geometry::Size;
use sinew::pixels::{DecodeError, Image, JpegDecoder, Limits, Orientation, PixelFormat, read_image};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/jpeg");

fn decode(bytes: &[u8]) -> Result<Image, DecodeError> {
    let mut image = Image::default();
    JpegDecoder::default().decode(bytes, &Limits::default(), &mut image)?;
    Ok(image)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{name}.jpg")).unwrap()
}

/// What came of the files of a folder.
#[derive(Debug, Default)]
struct Table {
    equal: usize,
    refused: usize,
    wrong: Vec<String>,
}

/// Decodes all files of a folder, with one decoder as a camera does, and compares with `expected.json`.
fn check(folder: &Path) -> Table {
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: BTreeMap<String, Value> = serde_json::from_str(&expected).unwrap();
    let (mut table, mut decoder, mut image) = (Table::default(), JpegDecoder::default(), Image::default());
    for (name, expected) in expected {
        let bytes = std::fs::read(folder.join(format!("{name}.jpg"))).unwrap();
        let found = decoder.decode(&bytes, &Limits::default(), &mut image);
        let is_right = match (&expected, found) {
            (Value::String(kind), Err(error)) => {
                table.refused += 1;
                let is_broken = matches!(error, DecodeError::Broken { .. } | DecodeError::Cut { .. });
                is_broken == (kind == "broken")
            }
            (Value::Array(_), Ok(_)) => {
                table.equal += 1;
                let checksum: String = Sha256::digest(image.data()).iter().map(|byte| format!("{byte:02x}")).collect();
                let channels = if image.format() == PixelFormat::Grey { 1 } else { 3 };
                expected == serde_json::json!([image.size().width, image.size().height, channels, checksum])
            }
            _ => false,
        };
        if !is_right {
            table.wrong.push(name);
        }
    }
    table
}

#[test]
fn files_of_every_kind_decode_to_libjpeg_turbo_s_bytes() {
    let table = check(Path::new(FOLDER));
    assert_eq!(table.wrong, Vec::<String>::new());
    assert!(table.equal >= 60 && table.refused >= 15, "{} and {}", table.equal, table.refused);
}

#[test]
#[ignore = "needs the grid that `make check-jpeg` generates"]
fn the_whole_grid_decodes_to_libjpeg_turbo_s_bytes() {
    let folder = std::env::var("SINEW_JPEG_GRID").unwrap();
    let Table { equal, refused, wrong } = check(Path::new(&folder));
    println!("equal {equal}, refused as expected {refused}, wrong {}", wrong.len());
    assert_eq!(wrong, Vec::<String>::new());
    assert!(equal >= 300, "{equal}");
}

#[test]
fn what_is_not_supported_is_named_and_not_called_broken() {
    for (name, what) in [
        ("arithmetic", "arithmetic coding"),
        ("arithmetic-prog", "arithmetic coding"),
        ("lossless", "lossless coding"),
        ("hierarchical", "hierarchical coding"),
        ("twelve-bits", "more than 8 bits"),
        ("two-components", "two components"),
        ("dnl", "height given after"),
        ("cmyk", "CMYK"),
    ] {
        let error = decode(&file(name)).unwrap_err().to_string();
        assert!(error.contains(what) && !error.contains("broken"), "{name}: {error}");
    }
}

/// A camera's frame that ends early would be an image whose rest is grey.
#[test]
fn what_is_cut_off_anywhere_is_an_error() {
    for name in [
        "seq-420-interleaved-r0-standard",
        "seq-420-y-cb-cr-r1-standard",
        "seq-420-interleaved-r3B-missing",
        "prog-420-refined-r0",
    ] {
        let whole = file(name);
        let complete = decode(&whole).unwrap();
        for end in 0..whole.len() {
            match decode(&whole[..end]) {
                // The end marker, or half of it, and bits that fill up the last byte: nothing of the image is missing.
                Ok(image) => assert!(end + 3 >= whole.len() && image == complete, "{name} cut at {end}"),
                Err(error) => assert!(end + 2 < whole.len(), "{name} cut at {end} of {}: {error}", whole.len()),
            }
            let ended = [&whole[..end], &[0xff, 0xd9]].concat();
            // Bits that fill up the last byte may be cut off.
            assert!(decode(&ended).is_err() || end + 4 >= whole.len(), "{name} ended at {end} of {}", whole.len());
        }
    }
}

#[test]
fn what_came_before_changes_nothing() {
    let (mut decoder, mut image) = (JpegDecoder::default(), Image::default());
    let names = [
        "prog-411-usual-r0",
        "seq-420-interleaved-r3B-missing",
        "broken-seq-cut-in-scan",
        "grey-22",
        "size-1x1-420-seq",
    ];
    for first in names {
        for second in names {
            let _ = decoder.decode(&file(first), &Limits::default(), &mut image);
            let found = decoder.decode(&file(second), &Limits::default(), &mut image);
            match decode(&file(second)) {
                Ok(expected) => assert_eq!(image, expected, "{second} after {first}"),
                Err(expected) => assert_eq!(found.unwrap_err(), expected, "{second} after {first}"),
            }
        }
    }
}

#[test]
fn more_pixels_than_allowed_take_no_memory() {
    // A frame header of 65,000 by 65,000 pixels.
    let mut bytes = file("seq-444-interleaved-r0-standard");
    let header = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[header + 5..header + 9].copy_from_slice(&[0xfd, 0xe8, 0xfd, 0xe8]);
    let error = decode(&bytes).unwrap_err();
    assert!(matches!(error, DecodeError::Size { size, .. } if size == Size::new(65_000, 65_000)), "{error}");
    bytes[header + 7..header + 9].fill(0);
    assert!(matches!(decode(&bytes).unwrap_err(), DecodeError::NoPixels { .. }));
}

/// The file with EXIF data that say how the camera was held.
fn held(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let field = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
    let exif = [&b"Exif\0\0MM\0*\0\0\0\x08\0\x01"[..], &field, &[0; 4]].concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn files_are_turned_as_exif_says_and_frames_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let plain = file("seq-444-interleaved-r0-standard");
    let stored = decode(&plain).unwrap();
    let Size { width, height } = stored.size();
    let at = |image: &Image, x: usize, y: usize| image.data()[y * image.stride() + 3 * x..][..3].to_vec();
    // Where the stored corner at the top left is when the image stands upright.
    for (orientation, is_turned, (right, bottom)) in [
        (1, false, (false, false)),
        (2, false, (true, false)),
        (3, false, (true, true)),
        (4, false, (false, true)),
        (5, true, (false, false)),
        (6, true, (true, false)),
        (7, true, (true, true)),
        (8, true, (false, true)),
    ] {
        let bytes = held(&plain, orientation);
        let path = folder.path().join("held.jpg");
        std::fs::write(&path, &bytes).unwrap();
        let image = read_image(&path, &Limits::default()).unwrap();
        let size = if is_turned { Size::new(height, width) } else { Size::new(width, height) };
        assert_eq!(image.size(), size, "{orientation}");
        let corner = (if right { size.width - 1 } else { 0 }, if bottom { size.height - 1 } else { 0 });
        assert_eq!(at(&image, corner.0, corner.1), at(&stored, 0, 0), "{orientation}");
        let mut frame = Image::default();
        let found = JpegDecoder::default().decode(&bytes, &Limits::default(), &mut frame).unwrap();
        assert_eq!((Some(found), frame), (Orientation::from_exif(orientation.into()), stored.clone()));
    }
}
