"""ONNX graphs made ready for the runtime; needs no PyTorch."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxslim

from models.export import float16_weights

OPSET = 17


class ExportError(RuntimeError):
    """A graph that cannot be shipped."""


def simplify(model: onnx.ModelProto, path: Path, float16: bool = False) -> None:
    """Writes `model` to `path`, with constants and batch norms folded.

    With `float16`, weights that float16 holds exactly are stored so.

    Raises `ExportError` if ONNX's checker refuses it, or a batch norm is left.
    """
    model = onnxslim.slim(model)
    # Only inputs keep their symbols: others would clash with the sizes that the runtime sets.
    del model.graph.value_info[:]
    for output in model.graph.output:
        for axis in output.type.tensor_type.shape.dim:
            if axis.HasField("dim_param"):
                axis.Clear()
    model.producer_name, model.producer_version = "sinew", ""
    model.doc_string = ""
    for part in (*model.graph.node, *model.graph.initializer):
        part.doc_string = ""
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path}: ONNX's checker refuses the graph: {error}") from error
    norms = [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
    if norms:
        raise ExportError(f"{path}: batch norms were not folded: {', '.join(norms)}")
    if float16:
        float16_weights.narrow(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
