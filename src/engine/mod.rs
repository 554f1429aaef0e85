//! Tensors in, tensors out: one trait, and the backends that are chosen by name.
