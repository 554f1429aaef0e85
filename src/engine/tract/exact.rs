//! Keeps quantised graphs exact: floating point between two quantised tensors stays floating point.
//!
//! tract 0.23.9 replaces the operators between a DequantizeLinear and the next QuantizeLinear by a table of 256 entries, if
//! each "maps element by element". It asks the operator's axes, which a Softmax keeps as well: the table is then the softmax
//! of the 256 numbers of its own index, and the result has little to do with the graph's. Such operators are wrapped,
//! so that tract computes them as they are.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::nn::resize::{Interpolator, Resize};
use tract_onnx::tract_core::ops::quant::DequantizeLinearF32;

/// Refuses an optimised graph with a bilinear or cubic Resize of 8-bit numbers: tract truncates its results instead of rounding them, so up to half
/// of them are a step too small.
pub(super) fn refuse_inexact(model: &TypedModel) -> TractResult<()> {
    for node in &model.nodes {
        let is_nearest = |resize: &Resize| matches!(resize.interpolator, Interpolator::Nearest);
        if node.op.name() != "Resize" || node.op_as::<Resize>().is_some_and(is_nearest) {
            continue;
        }
        if !model.outlet_fact(node.inputs[0])?.datum_type.is_float() {
            bail!(
                "node {}: a Resize that interpolates 8-bit numbers, which tract rounds down; take --precision fp32",
                node.name
            );
        }
    }
    Ok(())
}

/// Wraps the operators of a quantised graph that tract would mistake for element-wise functions; returns their nodes' names.
pub(super) fn keep_exact(model: &mut TypedModel) -> TractResult<Vec<String>> {
    if !model.nodes.iter().any(|node| node.op_is::<DequantizeLinearF32>()) {
        return Ok(Vec::new());
    }
    let mut kept = Vec::new();
    for id in 0..model.nodes.len() {
        let node = model.node(id);
        if node.inputs.len() != 1 || node.outputs.len() != 1 || is_function_of_one_number(node) {
            continue;
        }
        let keeps_axes = {
            let (inputs, outputs) = model.node_facts(id)?;
            node.op.axes_mapping(&inputs, &outputs)?.is_element_wise_unary()
        };
        if keeps_axes {
            kept.push(node.name.clone());
            let op = node.op.clone();
            model.node_mut(id).op = Box::new(AsItStands(op));
        }
    }
    Ok(kept)
}

/// Whether an operator is element-wise, so that a table of results can replace it.
fn is_function_of_one_number(node: &TypedNode) -> bool {
    node.op_is::<ElementWiseOp>()
        || node.op_is::<Cast>()
        || node.op_is::<Identity>()
        || node.op_is::<DequantizeLinearF32>()
        || node.op_is::<AsItStands>()
}

/// An operator that is opaque to tract's optimiser.
#[derive(Debug, Clone)]
struct AsItStands(Box<dyn TypedOp>);

impl PartialEq for AsItStands {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_op() == other.0.as_op()
    }
}

impl Eq for AsItStands {}

impl Op for AsItStands {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.0.info()
    }

    op_as_typed_op!();
}

impl EvalOp for AsItStands {
    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }

    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.0.eval_out_of_plan(inputs)
    }

    fn state(&self, context: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        self.0.state(context)
    }
}

impl TypedOp for AsItStands {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }
}
