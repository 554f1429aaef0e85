//! The loop from source to sink.
