//! The model folder: manifest, hashes, limits (see `docs/bundle.md`).
