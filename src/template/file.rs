//! Templates as files: one line of text that says what it is, one of JSON, the features, a checksum.
//!
//! ```text
//! sinew template 1\n
//! {"name":..,"bundle":..,"networks":..,"shots":..,"width":..,"keypoints":[{"index":..,"name":..}],"edges":[[a,b],..]}\n
//! K * width values, f32, little endian
//! SHA-256 of all of the above, 32 bytes
//! ```

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{ContentError, Template};
use crate::coco::read_bounded;
use crate::write;

/// First line of a template; the number is the version of the format.
const FIRST_LINE: &[u8] = b"sinew template 1\n";
/// What the first line of every version begins with.
const START: &[u8] = b"sinew template ";
/// Bytes of the checksum.
const CHECKSUM: usize = 32;
/// Largest file that is read: 100 keypoints of 4,096 values and long names take half of it.
pub const MAX_BYTES: u64 = 4 << 20;

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The file cannot be read or written.
    #[error("{}: the template cannot be {action}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is something else, or damaged.
    #[error("{}: no usable template: {reason}; enrol it again with `sinew enrol`", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It was made by another bundle.
    #[error(
        "template `{template}` was made by {}`{made_by}`, not by `{bundle}`: give --model {made_by} or enrol it again",
        if *same_name { "another version of " } else { "the bundle " }
    )]
    OtherBundle {
        /// The template's name.
        template: String,
        /// The bundle that made it.
        made_by: String,
        /// The bundle that was to use it.
        bundle: String,
        /// Whether both have one name.
        same_name: bool,
    },
}

impl Template {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is not a template, or is damaged.
    pub fn read(path: &Path) -> Result<Self, TemplateError> {
        let unreadable = |source| TemplateError::File { path: path.to_owned(), action: "read", source };
        let broken = |reason: String| TemplateError::Content { path: path.to_owned(), reason };
        let bytes = read_bounded(path, MAX_BYTES).map_err(|source| match source.kind() {
            std::io::ErrorKind::InvalidData => broken(format!("{source}, more than any template")),
            _ => unreadable(source),
        })?;
        Self::from_bytes(&bytes).map_err(|error| broken(error.reason))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TemplateError> {
        write::whole(path, &self.to_bytes()).map_err(|source| TemplateError::File {
            path: path.to_owned(),
            action: "written",
            source,
        })
    }

    /// The contents of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = FIRST_LINE.to_vec();
        // Text and numbers only: JSON cannot fail.
        bytes.extend(serde_json::to_vec(self).unwrap_or_default());
        bytes.push(b'\n');
        bytes.extend(self.features.iter().flat_map(|value| value.to_le_bytes()));
        let checksum = Sha256::digest(&bytes);
        bytes.extend(checksum);
        bytes
    }

    /// The template in the contents of a file.
    ///
    /// # Errors
    /// Returns a description of what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ContentError> {
        Ok(parse(bytes)?)
    }
}

fn parse(bytes: &[u8]) -> Result<Template, String> {
    let rest = match bytes.strip_prefix(FIRST_LINE) {
        Some(rest) => rest,
        None if bytes.starts_with(START) => return Err("it has a version that this program does not know".into()),
        None => return Err("the file is something else".into()),
    };
    let checksum = || "it is damaged or cut off: its checksum is not that of its contents".to_owned();
    let end = bytes.len() - rest.len().min(CHECKSUM);
    let (contents, found) = bytes.split_at(end);
    if found != Sha256::digest(contents).as_slice() {
        return Err(checksum());
    }
    let body = &contents[FIRST_LINE.len().min(contents.len())..];
    let line = body.iter().position(|&byte| byte == b'\n').ok_or_else(checksum)?;
    let mut template: Template =
        serde_json::from_slice(&body[..line]).map_err(|error| format!("its header: {error}"))?;
    let (values, rest) = body[line + 1..].as_chunks::<4>();
    if !rest.is_empty() {
        return Err("its features are not a whole number of values".to_owned());
    }
    template.features = values.iter().map(|&value| f32::from_le_bytes(value)).collect();
    template.check()?;
    Ok(template)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::template::TemplateKeypoint;

    fn cup() -> Template {
        let keypoint = |index, name: &str| TemplateKeypoint { index, name: name.to_owned() };
        Template {
            name: "cup".to_owned(),
            bundle: "colours".to_owned(),
            networks: "0".repeat(64),
            shots: 2,
            width: 4,
            keypoints: vec![keypoint(0, "rim"), keypoint(2, "handle")],
            features: (0..8).map(|value| value as f32 / 3.0).collect(),
            edges: vec![(0, 1)],
        }
    }

    #[test]
    fn there_and_back() {
        assert_eq!(Template::from_bytes(&cup().to_bytes()), Ok(cup()));
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = Template::read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("more than the 4194304 bytes"), "{error}");
    }

    #[test]
    fn other_files_are_told_from_damaged_ones() {
        let other = Template::from_bytes(b"\x89PNG\r\n").unwrap_err().reason;
        assert!(other.contains("something else"), "{other}");
        let newer = Template::from_bytes(b"sinew template 2\nmore").unwrap_err().reason;
        assert!(newer.contains("version"), "{newer}");
        assert!(Template::from_bytes(FIRST_LINE).unwrap_err().reason.contains("damaged"));
    }

    /// The same contents with a checksum that fits.
    fn sealed(mut contents: Vec<u8>) -> Vec<u8> {
        contents.truncate(contents.len() - CHECKSUM);
        let checksum = Sha256::digest(&contents);
        contents.extend(checksum);
        contents
    }

    #[test]
    fn what_a_checksum_cannot_see() {
        let text = |from: &str, to: &str| {
            let bytes = cup().to_bytes();
            let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            let changed = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
            Template::from_bytes(&sealed(changed)).unwrap_err().reason
        };
        assert!(text("\"index\":2", "\"index\":0").contains("ascend"));
        assert!(text("\"index\":2", "\"index\":100").contains("ascend"));
        assert!(text("handle", "rim").contains("`rim`"));
        assert!(text("\"width\":4", "\"width\":5").contains("features"));
        assert!(text("\"shots\":2", "\"shots\":2,\"more\":1").contains("more"));
        assert!(text("[[0,1]]", "[[0,2]]").contains("edges"));
        let mut bytes = cup().to_bytes();
        let at = bytes.len() - CHECKSUM - 4;
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(Template::from_bytes(&sealed(bytes)).unwrap_err().reason.contains("finite"));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_anywhere_is_refused(bit in 0..cup().to_bytes().len() * 8) {
            let mut bytes = cup().to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Template::from_bytes(&bytes).is_err());
        }

        #[test]
        fn a_cut_anywhere_is_refused(length in 0..cup().to_bytes().len()) {
            prop_assert!(Template::from_bytes(&cup().to_bytes()[..length]).is_err());
        }
    }
}
