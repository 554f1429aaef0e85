"""Graphs of less precision, on a network of three convolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from calib import graphs, mixed
from calib.__main__ import main, record
from calib.measure import Row
from calib.recipe import RECIPES, Recipe, last_layers, place


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with a graph and recorded inputs of it."""
    generator = np.random.default_rng(3)
    names = ["image", "a", "b", "maps"]
    weights = [generator.normal(0, 0.2, (8, 3 if i == 0 else 8, 3, 3)).astype(np.float32) for i in range(3)]
    nodes = [
        helper.make_node("Conv", [names[i], f"w{i}"], [names[i + 1]], f"conv{i}", pads=[1, 1, 1, 1])
        for i in range(3)
    ]
    shape = [1, None, "H", "W"]
    graph = helper.make_graph(
        nodes,
        "three",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "H", "W"])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    for number in range(4):
        image = generator.normal(0, 1, (1, 3, 16, 12)).astype(np.float32)
        np.savez(recorded / f"{number:04}.npz", image=image)
    return tmp_path


def kinds(path: Path) -> list[str]:
    """Kinds of the graph's nodes."""
    return [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]


def test_last_layers_stay_float(bundle: Path) -> None:
    graph = onnx.load(bundle / "net.onnx").graph
    assert last_layers(graph, ("Conv",)) == {"conv2"}
    placement = place(Recipe(("Conv",), float_nodes=("conv0",), fp32_nodes=("conv1",)), graph)
    assert (placement.quantised, placement.kept, placement.fp32) == (["conv1"], ["conv0", "conv2"], ["conv1"])
    assert place(Recipe(), graph).quantised == []


def test_the_quantised_graph_shares_the_weights(bundle: Path) -> None:
    original, target = bundle / "net.onnx", bundle / "net.int8.onnx"
    placement = place(Recipe(("Conv",)), onnx.load(original).graph)
    graphs.quantise(original, bundle / "recorded", placement, target, "minmax")
    found = kinds(target)
    # One pair at each of two inputs and of two weights; the last layer has none.
    assert (found.count("QuantizeLinear"), found.count("DequantizeLinear")) == (4, 4)
    model = onnx.load(target, load_external_data=False)
    assert [opset.version for opset in model.opset_import] == [17]
    external = [tensor.name for tensor in model.graph.initializer if tensor.external_data]
    assert sorted(external) == ["w1", "w2"], "w0 is small"
    whole, same = onnx.load(original), onnx.load(target)
    of = {tensor.name: numpy_helper.to_array(tensor) for tensor in same.graph.initializer}
    for tensor in whole.graph.initializer:
        assert np.array_equal(numpy_helper.to_array(tensor), of[tensor.name])
    difference = graphs.difference(original, target, bundle / "recorded")
    assert 1e-4 < difference < 0.05


def test_a_cpus_graph_is_unsigned_between_layers(bundle: Path) -> None:
    original, target = bundle / "net.onnx", bundle / "net.int8-cpu.onnx"
    placement = place(Recipe(("Conv",)), onnx.load(original).graph)
    graphs.quantise_for_cpu(original, bundle / "recorded", placement, target)
    model = onnx.load(target)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert types["a_zero_point"] == TensorProto.UINT8 and types["w1_zero_point"] == TensorProto.INT8
    assert kinds(target).count("QuantizeLinear") == 5, "inputs, weights and the output of two layers"
    external = [
        t.name for t in onnx.load(target, load_external_data=False).graph.initializer if t.external_data
    ]
    assert sorted(external) == ["w1", "w2"]
    assert 1e-4 < graphs.difference(original, target, bundle / "recorded") < 0.05


def test_weights_of_seven_bits_have_twice_the_step(bundle: Path) -> None:
    """Two products of unsigned and signed bytes must not overflow 16 bits."""
    original = bundle / "net.onnx"
    placement = place(Recipe(("Conv",)), onnx.load(original).graph)
    steps = []
    for seven_bits in (False, True):
        target = bundle / f"net.{seven_bits}.onnx"
        graphs.quantise_for_cpu(original, bundle / "recorded", placement, target, seven_bits)
        values = {t.name: t for t in onnx.load(target).graph.initializer}
        steps.append(numpy_helper.to_array(values["w1_scale"]))
    ratio = steps[1] / steps[0]
    assert (ratio > 1.9).all() and (ratio < 2.1).all()


def test_a_relu_behind_a_float_layer_stays_float(bundle: Path) -> None:
    model = onnx.load(bundle / "net.onnx")
    relu = helper.make_node("Relu", ["a"], ["a_rectified"], "relu")
    model.graph.node.insert(1, relu)
    model.graph.node[2].input[0] = "a_rectified"
    onnx.save(model, bundle / "net.onnx")
    for kept, quantised in ((("conv0",), False), ((), True)):
        placement = place(Recipe(("Conv",), float_nodes=kept), model.graph)
        target = bundle / "net.int8-cpu.onnx"
        graphs.quantise_for_cpu(bundle / "net.onnx", bundle / "recorded", placement, target)
        nodes = onnx.load(target).graph.node
        makers = {output: node.op_type for node in nodes for output in node.output}
        read = [makers[node.input[0]] for node in nodes if node.op_type == "Relu"]
        # Quantised, a zero point may do what it did.
        assert read in ([["DequantizeLinear"], []] if quantised else [["Conv"]])


def test_half_precision_keeps_inputs_and_outputs(bundle: Path) -> None:
    original, target = bundle / "net.onnx", bundle / "net.fp16.onnx"
    placement = place(Recipe(("Conv",), fp32_nodes=("conv2",)), onnx.load(original).graph)
    graphs.halve(original, placement, target)
    model = graphs.load(target)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert types["w0"] == types["w1"] == TensorProto.FLOAT16
    assert types["w2"] == TensorProto.FLOAT
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    assert [value.type for value in (*session.get_inputs(), *session.get_outputs())] == ["tensor(float)"] * 2
    assert 0 < graphs.difference(original, target, bundle / "recorded") < 0.002


def test_the_fp16_graph_reads_the_weights_of_32_bits(bundle: Path) -> None:
    """A Cast gives the bits that the converter would have stored, but for what it moves: tiny numbers."""
    original, target = bundle / "net.onnx", bundle / "net.fp16.onnx"
    model = onnx.load(original)
    tiny = next(tensor for tensor in model.graph.initializer if tensor.name == "w2")
    values = numpy_helper.to_array(tiny).copy()
    values[0, 0, 0, 0] = 1e-12
    tiny.CopyFrom(numpy_helper.from_array(values, "w2"))
    onnx.save(model, original)
    plain = convert_float_to_float16(graphs.load(original), keep_io_types=True)
    graphs.halve(original, place(Recipe(("Conv",)), model.graph), target)
    stored = {t.name: t for t in onnx.load(target, load_external_data=False).graph.initializer}
    assert sorted(name for name, tensor in stored.items() if tensor.external_data) == ["w1.float32"]
    assert stored["w1.float32"].data_type == TensorProto.FLOAT, "w0 is small"
    assert stored["w2"].data_type == TensorProto.FLOAT16, "its tiny number is another one in the fp16 graph"
    read = {tensor.name: tensor for tensor in graphs.load(target).graph.initializer}
    for tensor in plain.graph.initializer:
        assert numpy_helper.to_array(read[tensor.name]).tobytes() == numpy_helper.to_array(tensor).tobytes()


def test_a_mixed_graph_is_of_16_bits_around_what_is_quantised(bundle: Path) -> None:
    original, target = bundle / "net.onnx", bundle / "net.int8-fp16.onnx"
    quantised, halved = bundle / "net.int8.onnx", bundle / "net.fp16.onnx"
    placement = place(Recipe(("Conv",)), onnx.load(original).graph)
    graphs.quantise(original, bundle / "recorded", placement, quantised, "minmax")
    graphs.halve(original, placement, halved)
    mixed.mix(original, quantised, halved, placement, target)
    model = graphs.load(target)
    assert [opset.version for opset in model.opset_import] == [19]
    found = [node.op_type for node in model.graph.node]
    # Inputs and weights of the first two layers; the graph's own input and output are all that is cast.
    assert (found.count("QuantizeLinear"), found.count("DequantizeLinear"), found.count("Cast")) == (4, 4, 2)
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
    }
    layers = {node.name: node for node in model.graph.node}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in ("conv0", "conv1"):
        assert [types[value] for value in layers[name].input] == [TensorProto.FLOAT16] * 2
    assert constants[layers["conv2"].input[1]].data_type == TensorProto.FLOAT16
    # Both sides of a pair have one step, which is the int8 graph's as 16 bits hold it.
    wide, narrow = (
        numpy_helper.to_array(constants[f"conv1/weight_{kind}"]) for kind in ("wide_scale", "scale")
    )
    assert wide.dtype == np.float32 and narrow.dtype == np.float16 and np.array_equal(wide, narrow)
    steps = numpy_helper.to_array({t.name: t for t in onnx.load(quantised).graph.initializer}["w1_scale"])
    assert np.array_equal(steps.astype(np.float16), narrow)
    external = [
        t.name for t in onnx.load(target, load_external_data=False).graph.initializer if t.external_data
    ]
    assert sorted(external) == ["conv1/weight", "w2.float32"], "w0 is small"
    assert 1e-4 < graphs.difference(original, target, bundle / "recorded") < 0.05


def test_a_mixed_graph_may_quantise_less(bundle: Path) -> None:
    original, target = bundle / "net.onnx", bundle / "net.int8-fp16.onnx"
    quantised, halved = bundle / "net.int8.onnx", bundle / "net.fp16.onnx"
    placement = place(Recipe(("Conv",), half_nodes=("conv1",)), onnx.load(original).graph)
    assert (placement.quantised, placement.mixed) == (["conv0", "conv1"], ["conv0"])
    graphs.quantise(original, bundle / "recorded", placement, quantised, "minmax")
    graphs.halve(original, placement, halved)
    mixed.mix(original, quantised, halved, placement, target)
    assert (kinds(quantised).count("QuantizeLinear"), kinds(target).count("QuantizeLinear")) == (4, 2)


def test_a_channel_of_next_to_nothing_has_a_step_that_16_bits_hold(bundle: Path) -> None:
    original, target = bundle / "net.onnx", bundle / "net.int8-fp16.onnx"
    model = onnx.load(original)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "w0")
    weights = numpy_helper.to_array(tensor).copy()
    weights[0] *= 1e-8
    tensor.CopyFrom(numpy_helper.from_array(weights, "w0"))
    onnx.save(model, original)
    quantised, halved = bundle / "net.int8.onnx", bundle / "net.fp16.onnx"
    placement = place(Recipe(("Conv",)), model.graph)
    graphs.quantise(original, bundle / "recorded", placement, quantised, "minmax")
    graphs.halve(original, placement, halved)
    mixed.mix(original, quantised, halved, placement, target)
    constants = {tensor.name: tensor for tensor in onnx.load(target).graph.initializer}
    steps = numpy_helper.to_array(constants["conv0/weight_scale"])
    assert steps[0] == np.finfo(np.float16).smallest_normal and (steps[1:] > steps[0]).all()
    assert graphs.difference(original, target, bundle / "recorded") < 0.05


def test_a_mixed_graph_without_a_layer_is_an_error(bundle: Path) -> None:
    original = bundle / "net.onnx"
    placement = place(Recipe(("Conv",)), onnx.load(original).graph)
    graphs.quantise(original, bundle / "recorded", placement, bundle / "net.int8.onnx", "minmax")
    model = onnx.load(original)
    model.graph.node[1].name = "renamed"
    onnx.save(model, bundle / "net.fp16.onnx")
    with pytest.raises(ValueError, match=r"no layers .*conv1"):
        mixed.mix(
            original,
            bundle / "net.int8.onnx",
            bundle / "net.fp16.onnx",
            placement,
            bundle / "net.int8-fp16.onnx",
        )


def test_nothing_recorded_is_an_error(bundle: Path) -> None:
    placement = place(Recipe(("Conv",)), onnx.load(bundle / "net.onnx").graph)
    with pytest.raises(FileNotFoundError, match="sinew calib record"):
        graphs.quantise(bundle / "net.onnx", bundle / "none", placement, bundle / "x.onnx", "minmax")


def test_a_bundle_without_figures_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bundle.toml").write_text('[bundle]\nmodel = "lofr"\n')
    monkeypatch.setattr("sys.argv", ["calib", str(tmp_path), "--recorded", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    said = capsys.readouterr().err
    assert "bundle.toml: [[accuracy]] is missing" in said and "models.export.bundle accuracy" in said


def test_shipped_bundles_are_at_most_15_megabytes() -> None:
    folders = [path.parent for path in Path("models/bundles").glob("*/bundle.toml")]
    assert len(folders) >= 7
    for folder in folders:
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 15_000_000, folder


def test_recipes_fit_the_shipped_graphs() -> None:
    found = 0
    for (model, role), recipe in RECIPES.items():
        path = Path(f"models/bundles/{model}-tiny/{role}.onnx")
        if not path.exists():
            continue
        found += 1
        graph = onnx.load(path).graph
        placement = place(recipe, graph)
        assert bool(placement.quantised) == bool(recipe.quantised), path
        assert recipe.why
        # A few last layers at most, or residual connections were taken for ways out.
        assert 10 * len(placement.kept) <= len(placement.quantised), path
    assert found >= 7


def test_figures_replace_older_ones() -> None:
    old = [
        {"metric": "oks-ap", "data": "d", "precision": "fp32", "value": 0.5},
        {"metric": "oks-ap", "data": "d", "precision": "int8", "value": 0.1},
    ]
    manifest = {"accuracy": old}
    row = Row("oks-ap", "d", None, {"fp32": 0.5, "fp16": 0.499, "int8": 0.4951, "int8_cpu": 0.495})
    record(manifest, [row])
    found = {figure["precision"]: figure["value"] for figure in manifest["accuracy"]}
    assert found == row.values
    assert row.drop("int8") == pytest.approx(0.49)
    assert manifest["int8"] == {"allowed_drop": 1.0}
