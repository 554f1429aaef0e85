//! Reading JSON with errors that say where.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::EvalError;

/// Reads the whole file as a `T`.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, EvalError> {
    let file = File::open(path).map_err(|source| EvalError::Read { path: path.into(), source })?;
    let mut deserializer = serde_json::Deserializer::from_reader(BufReader::new(file));
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let key = error.path().to_string();
        broken(path, if key == "." { "the top level".into() } else { key }, error.into_inner())
    })?;
    deserializer.end().map_err(|error| broken(path, "after the end".into(), error))?;
    Ok(value)
}

fn broken(path: &Path, key: String, error: serde_json::Error) -> EvalError {
    match error.is_io() {
        true => EvalError::Read { path: path.into(), source: error.into() },
        false => EvalError::Json { path: path.into(), key, message: error.to_string() },
    }
}
