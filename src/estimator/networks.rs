//! Opening a bundle's networks for the sizes that images need.

use super::EstimateError;
use crate::bundle::Bundle;
use crate::bundle::manifest::{EngineSection, ModelFile, TensorSection};
use crate::bundle::shape::{self, Dimension, Symbols};
use crate::engine::{Engine, EngineFiles, GraphFile, Memory, Precision, Session, Signature, TensorSpec};
use crate::geometry::Size;

/// Most network sizes whose engines are kept open; a folder of mixed images seldom has more.
const MAX_OPEN_SIZES: usize = 4;

/// Something for each of a few network sizes; never empty.
#[derive(Debug)]
pub(super) struct BySize<T> {
    /// The least recently used first; the last one is in use.
    opened: Vec<(Size, T)>,
}

impl<T> BySize<T> {
    pub(super) fn new(size: Size, first: T) -> Self {
        Self { opened: vec![(size, first)] }
    }

    /// What is open for `size` comes into use, or what `open` makes; then the least recently used goes, if there are
    /// too many.
    pub(super) fn fit<E>(&mut self, size: Size, open: impl FnOnce() -> Result<T, E>) -> Result<(), E> {
        let entry = match self.opened.iter().position(|(known, _)| *known == size) {
            Some(found) => self.opened.remove(found),
            None => (size, open()?),
        };
        if self.opened.len() == MAX_OPEN_SIZES {
            self.opened.remove(0);
        }
        self.opened.push(entry);
        Ok(())
    }

    pub(super) fn in_use(&mut self) -> &mut T {
        let Some((_, last)) = self.opened.last_mut() else { unreachable!("it is never empty") };
        last
    }
}

/// Opens the networks of a bundle for one network size.
#[derive(Debug, Clone, Copy)]
pub(super) struct NetworkOpener<'a> {
    pub bundle: &'a Bundle,
    pub environment: &'a Session,
    pub size: Size,
}

impl NetworkOpener<'_> {
    /// Opens the network of a role for `chunk` candidates, if its shapes depend on that. `inputs` and `outputs` name the
    /// tensors in the order of the engine's indices; the bundle's check has seen them all.
    pub(super) fn open(
        &self,
        role: &'static str,
        chunk: Option<usize>,
        [inputs, outputs]: [&[(&str, Memory)]; 2],
    ) -> Result<Box<dyn Engine>, EstimateError> {
        let section = &self.bundle.manifest().engines[role];
        let symbols = Symbols { height: Some(self.size.height), width: Some(self.size.width), chunk };
        let unsupported_size = |error| EstimateError::Shape { role, size: self.size, error };
        let signature = Signature {
            inputs: specs(&section.inputs, inputs, &symbols).map_err(unsupported_size)?,
            outputs: specs(&section.outputs, outputs, &symbols).map_err(unsupported_size)?,
        };
        let precision = self.environment.precision();
        let is_quantised = |section: &EngineSection| section.precision.int8.is_some();
        if precision == Some(Precision::Int8) && !self.bundle.manifest().engines.values().any(is_quantised) {
            let name = &self.bundle.manifest().about.name;
            let reason = format!("{name} was not quantised: `make calib BUNDLE={name}` does that, from the sources");
            return Err(EstimateError::option("precision", reason));
        }
        Ok(self.environment.open(&files(self.bundle, role, section, precision), signature)?)
    }
}

fn files(bundle: &Bundle, role: &str, section: &EngineSection, precision: Option<Precision>) -> EngineFiles {
    let graph = |file: &ModelFile| GraphFile { onnx: bundle.folder().join(&file.onnx), sha256: file.sha256.clone() };
    EngineFiles {
        fp32: graph(&section.precision.fp32),
        fp16: section.precision.fp16.as_ref().map(graph),
        int8: section.precision.int8.as_ref().map(graph),
        int8_cpu: section.precision.int8_cpu.as_ref().map(graph),
        precision,
        label: format!("{}/{role}", bundle.manifest().about.name),
        has_open_shapes: (section.inputs.iter().flat_map(|tensor| &tensor.shape))
            .any(|extent| matches!(extent, Dimension::Symbolic { .. })),
    }
}

/// The named tensors, in the order of `names`.
fn specs(
    tensors: &[TensorSection],
    names: &[(&str, Memory)],
    symbols: &Symbols,
) -> Result<Vec<TensorSpec>, shape::ShapeError> {
    let spec = |&(name, memory): &(&str, Memory)| {
        let tensor = tensors.iter().find(|tensor| tensor.name == name);
        let (data_type, extents) = tensor.map(|tensor| (tensor.data_type, &*tensor.shape)).unwrap_or_default();
        Ok(TensorSpec { name: name.to_owned(), data_type, shape: shape::evaluate(extents, symbols)?, memory })
    };
    names.iter().map(spec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes() {
        let size = |side| Size::new(side, side);
        let mut opened = BySize::new(size(0), 0);
        let mut fit = |side: usize| {
            let mut made = false;
            opened
                .fit(size(side), || {
                    made = true;
                    Ok::<_, ()>(side)
                })
                .unwrap();
            assert_eq!(*opened.in_use(), side);
            made
        };
        assert!([1, 2, 3].map(&mut fit).iter().all(|made| *made));
        assert!(!fit(0));
        assert!(fit(4));
        // 1 was the one to go.
        assert!(![0, 2, 3, 4].map(&mut fit).iter().any(|made| *made));
        assert!(fit(1));
    }

    #[test]
    fn what_does_not_open_changes_nothing() {
        let mut opened = BySize::new(Size::new(1, 1), 1);
        assert_eq!(opened.fit(Size::new(2, 2), || Err("no")), Err("no"));
        assert_eq!(*opened.in_use(), 1);
    }
}
