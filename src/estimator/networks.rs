//! A bundle's networks for the sizes that images need: which engines there are, and opening them.

use super::EstimateError;
use crate::bundle::Bundle;
use crate::bundle::manifest::{EngineSection, ModelFile, TensorSection};
use crate::bundle::shape::{self, Dimension, Symbols};
use crate::engine::{Engine, EngineFiles, GraphFile, Memory, Network, Precision, Session, Signature, TensorSpec};
use crate::geometry::Size;

/// Sets of engines and tables kept for a single source; a folder of mixed images seldom needs more.
const MAX_RECENT: usize = 4;

/// A few values by key; the least recently used one makes room for another.
#[derive(Debug)]
pub(super) struct Recent<K, T> {
    /// The least recently used first; the last one is in use.
    kept: Vec<(K, T)>,
    capacity: usize,
}

impl<K: PartialEq + Copy, T> Recent<K, T> {
    /// Room for `sources` that take turns, and some more.
    pub(super) fn new(sources: usize) -> Self {
        Self { kept: Vec::new(), capacity: sources.max(MAX_RECENT) }
    }

    /// What `make` returns for the same keys.
    pub(super) fn twin<E>(&self, mut make: impl FnMut(K) -> Result<T, E>) -> Result<Self, E> {
        let kept = self.kept.iter().map(|&(key, _)| Ok((key, make(key)?))).collect::<Result<_, E>>()?;
        Ok(Self { kept, capacity: self.capacity })
    }

    /// The value kept for `key`, else what `make` returns.
    pub(super) fn get<E>(&mut self, key: K, make: impl FnOnce() -> Result<T, E>) -> Result<&mut T, E> {
        let entry = match self.kept.iter().position(|(known, _)| *known == key) {
            Some(found) => self.kept.remove(found),
            None => (key, make()?),
        };
        if self.kept.len() >= self.capacity {
            self.kept.remove(0);
        }
        self.kept.push(entry);
        let last = self.kept.len() - 1;
        Ok(&mut self.kept[last].1)
    }
}

/// Names of one side of a network's tensors, in the order of the engine's indices, and which side accesses each.
pub(super) type Tensors = &'static [(&'static str, Memory)];

/// Declares one side of a network: a module with `ALL`, the [`Tensors`], and the index of each by its name in capitals.
macro_rules! tensors {
    ($(#[$doc:meta])* $side:ident { $($index:ident = $name:literal $memory:ident),+ $(,)? }) => {
        $(#[$doc])*
        mod $side {
            use crate::engine::Memory;
            use crate::estimator::networks::Tensors;

            pub(in crate::estimator) const ALL: Tensors = &[$(($name, Memory::$memory)),+];
            #[allow(clippy::upper_case_acronyms, dead_code, non_camel_case_types, reason = "numbers the constants below")]
            enum Index { $($index),+ }
            $(pub(in crate::estimator) const $index: usize = Index::$index as usize;)+
        }
    };
}
pub(super) use tensors;

/// The networks of a bundle for one size of the network's input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planner<'a> {
    pub bundle: &'a Bundle,
    pub size: Size,
    pub precision: Option<Precision>,
}

impl Planner<'_> {
    /// The network of a role with its shapes, for `batch` candidates if they depend on that.
    pub(super) fn network(
        &self,
        role: &'static str,
        batch: Option<usize>,
        [inputs, outputs]: [Tensors; 2],
    ) -> Result<Network, EstimateError> {
        // The bundle's check has seen all roles and tensors of its model.
        let section = &self.bundle.manifest().engines[role];
        let symbols = Symbols { height: Some(self.size.height), width: Some(self.size.width), chunk: batch };
        let unsupported_size = |error| EstimateError::Shape { role, size: self.size, error };
        let signature = Signature {
            inputs: specs(&section.inputs, inputs, &symbols).map_err(unsupported_size)?,
            outputs: specs(&section.outputs, outputs, &symbols).map_err(unsupported_size)?,
        };
        let is_quantised =
            |section: &EngineSection| section.precision.int8.is_some() || section.precision.int8_fp16.is_some();
        if self.precision == Some(Precision::Int8) && !self.bundle.manifest().engines.values().any(is_quantised) {
            let name = &self.bundle.manifest().about.name;
            let reason = format!("{name} was not quantised: `make calib BUNDLE={name}` does that, from the sources");
            return Err(EstimateError::option("precision", reason));
        }
        Ok(Network { files: self.files(role, section), signature })
    }

    fn files(&self, role: &str, section: &EngineSection) -> EngineFiles {
        let bundle = self.bundle;
        let precisions = &section.precision;
        let graph = |file: &ModelFile| GraphFile {
            onnx: bundle.folder().join(&file.onnx),
            sha256: file.sha256.clone(),
            external: (precisions.external(file))
                .map(|(file, sha256)| (bundle.folder().join(file), sha256.to_owned()))
                .collect(),
        };
        EngineFiles {
            fp32: graph(&precisions.fp32),
            fp16: precisions.fp16.as_ref().map(graph),
            int8: precisions.int8.as_ref().map(graph),
            int8_fp16: precisions.int8_fp16.as_ref().map(graph),
            int8_cpu: precisions.int8_cpu.as_ref().map(graph),
            precision: self.precision,
            label: format!("{}/{role}", bundle.manifest().about.name),
            has_open_shapes: (section.inputs.iter().flat_map(|tensor| &tensor.shape))
                .any(|extent| matches!(extent, Dimension::Symbolic { .. })),
        }
    }

    /// All networks of a role whose shapes depend on the number of candidates, by that number, ascending.
    pub(super) fn batches(
        &self,
        role: &'static str,
        tensors: [Tensors; 2],
    ) -> impl Iterator<Item = Result<(usize, Network), EstimateError>> {
        let sizes = &self.bundle.manifest().engines[role].batch_sizes;
        sizes.iter().map(move |&batch| Ok((batch, self.network(role, Some(batch), tensors)?)))
    }
}

/// Opens a network.
pub(super) fn open(session: &Session, network: Network) -> Result<Box<dyn Engine>, EstimateError> {
    Ok(session.open(&network.files, network.signature)?)
}

/// The named tensors, in the order of `names`.
fn specs(tensors: &[TensorSection], names: Tensors, symbols: &Symbols) -> Result<Vec<TensorSpec>, shape::ShapeError> {
    let spec = |&(name, memory): &(&str, Memory)| {
        let tensor = tensors.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.expect("the bundle's check has seen all tensors of its model");
        let shape = shape::evaluate(&tensor.shape, symbols)?;
        Ok(TensorSpec { name: name.to_owned(), data_type: tensor.data_type, shape, memory })
    };
    names.iter().map(spec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_makes_room() {
        let mut recent = Recent::new(1);
        let mut get = |key: usize| {
            let mut made = false;
            let value = recent.get(key, || {
                made = true;
                Ok::<_, ()>(key)
            });
            assert_eq!(*value.unwrap(), key);
            made
        };
        assert!([0, 1, 2, 3].map(&mut get).iter().all(|made| *made));
        assert!(!get(0));
        // 1 is evicted.
        assert!(get(4));
        assert!(![0, 2, 3, 4].map(&mut get).iter().any(|made| *made));
        assert!(get(1));
    }

    #[test]
    fn as_many_are_kept_as_there_are_sources() {
        let mut recent = Recent::new(6);
        for turn in 0..3 {
            for key in 0..6 {
                recent.get(key, || if turn == 0 { Ok(key) } else { Err("made again") }).unwrap();
            }
        }
    }

    #[test]
    fn what_cannot_be_made_changes_nothing() {
        let mut recent = Recent::new(1);
        recent.get(1, || Ok::<_, &str>(1)).unwrap();
        assert_eq!(recent.get(2, || Err("no")), Err("no"));
        assert_eq!(recent.get(1, || Err("made again")), Ok(&mut 1));
    }
}
