"""`make import`: what is read, what is refused and how, and that templates make what PyTorch exports."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from models.checkpoints import __main__ as command
from models.checkpoints import layout, make_templates, official, template
from models.checkpoints.read import CheckpointError, read
from models.export.exporter import TOLERANCE, Graph, compare
from models.networks.capeformer import CapeFormerConfig
from models.networks.centergroup import CenterGroupConfig
from models.networks.logocap import LogoCapConfig
from models.paths import ROOT

# Small networks with the parts that the official ones have.
CONFIGS: dict[str, official.Config] = {
    "logocap": replace(LogoCapConfig.tiny(), offset_scale=1.0),
    "centergroup": replace(
        CenterGroupConfig.tiny(), offset_prior=False, mixed=None, head_features=None, deconvolution=None
    ),
    "capeformer": replace(CapeFormerConfig.tiny(), backbone=None, blocks=(1, 1, 1, 1), base=8),
}
State = dict[str, torch.Tensor]


def model_of(name: str, seed: int = 0) -> official.Model:
    torch.manual_seed(seed)
    model = official.network(CONFIGS[name]).eval()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * (0.5 if key.endswith("running_var") else 0.01))
    return model


def whole(name: str, state: State) -> State:
    """With the second copy of the backbone that CapeFormer's files have."""
    if name != "capeformer":
        return dict(state)
    copies = {
        key.replace("encoder_query.", "encoder_sample.", 1): value
        for key, value in state.items()
        if key.startswith("encoder_query.")
    }
    return {**copies, **state}


FORMS: dict[str, Callable[[State], object]] = {
    "state dict": lambda state: state,
    "training state": lambda state: {"epoch": 7, "state_dict": state, "optimizer": {"lr": 1e-3}},
    "trainer's": lambda state: {"model": "pose_model", "state_dict": state, "perf": torch.tensor(0.7)},
    "module.": lambda state: {f"module.{name}": value for name, value in state.items()},
    "half": lambda state: {
        name: value.half() if value.is_floating_point() else value for name, value in state.items()
    },
    "bfloat16": lambda state: {
        name: value.bfloat16() if value.is_floating_point() else value for name, value in state.items()
    },
    "double": lambda state: {
        name: value.double() if value.is_floating_point() else value for name, value in state.items()
    },
    "no counters": lambda state: {
        name: value for name, value in state.items() if not name.endswith("num_batches_tracked")
    },
    "parameters": lambda state: {
        name: torch.nn.Parameter(value) if value.is_floating_point() else value
        for name, value in state.items()
    },
}
PRECISION = {"half": 1e-3, "bfloat16": 1e-2}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_form_of_a_checkpoint_is_read(name: str, form: str, tmp_path: Path) -> None:
    state = model_of(name).state_dict()
    path = tmp_path / "file.pth"
    torch.save(FORMS[form](whole(name, state)), path)
    loaded = official.load(CONFIGS[name], path).state_dict()
    for key, tensor in state.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(loaded[key], tensor, rtol=PRECISION.get(form, 0), atol=1e-7)


def test_values_are_read_as_pytorch_reads_them(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {
        "turned": base.T,
        "part": base[1:3, ::2],
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "whole": torch.arange(5),
        "bool": torch.tensor([True, False]),
        "brain": (base / 3).bfloat16(),
    }
    for old in (False, True):
        path = tmp_path / f"{old}.pth"
        torch.save(tensors, path, _use_new_zipfile_serialization=not old)
        found = read(path)
        for name, tensor in tensors.items():
            expected = tensor.float() if tensor.is_floating_point() else tensor
            np.testing.assert_array_equal(found[name], expected.numpy(), err_msg=name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is a folder; name the checkpoint file itself"),
        (lambda path: (path.mkdir(), (path / "a.pth").touch()), "the checkpoint file in it: a.pth"),
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
        (lambda path: path.write_text("<!DOCTYPE html><html></html>"), "is a web page"),
        (lambda path: path.write_bytes(b""), "damaged, or no PyTorch checkpoint"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut off"), "damaged, or no PyTorch checkpoint"),
        (lambda path: zipfile.ZipFile(path, "w").writestr("a", "b"), "damaged, or no PyTorch checkpoint"),
        (lambda path: torch.save([1, 2], path), "holds a list, expected a state dict"),
        (lambda path: torch.save({"state_dict": 3}, path), "holds a int, expected a state dict"),
        (lambda path: torch.save({"a": "b"}, path), "these are no tensors: a"),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_called_so(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.pth"
    make(path)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    for old in (False, True):
        torch.save({"a": torch.rand(1000)}, path, _use_new_zipfile_serialization=not old)
        data = path.read_bytes()
        for length in (10, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:length])
            with pytest.raises(CheckpointError, match="damaged"):
                read(path)


def test_another_network_is_called_by_its_name(tmp_path: Path) -> None:
    layouts = template.layouts()
    assert layouts.keys() == official.CONFIGS.keys()
    state = {name: np.zeros(shape, np.float32) for name, shape in layouts["centergroup-w48"].items()}
    with pytest.raises(CheckpointError) as caught:
        layout.check(tmp_path, state, "logocap-w32", layouts)
    assert "holds centergroup-w48, not logocap-w32; import it with MODEL=centergroup-w48" in str(caught.value)
    state.popitem()
    with pytest.raises(CheckpointError, match="it is more like centergroup-w48"):
        layout.check(tmp_path, state, "logocap-w32", layouts)


def test_layouts_of_the_templates_are_those_of_the_networks() -> None:
    for name, config in official.CONFIGS.items():
        with torch.device("meta"):
            model = official.network(config)
        assert template.layouts()[name] == official.layout_of(model), (
            f"{name}: run models.checkpoints.make_templates"
        )


@pytest.mark.parametrize(
    ("name", "flip"),
    [
        ("logocap", False),
        ("logocap", True),
        ("centergroup", False),
        ("centergroup", True),
        ("capeformer", False),
    ],
)
def test_a_filled_template_computes_what_pytorch_does(name: str, flip: bool, tmp_path: Path) -> None:
    path = tmp_path / "template.zip"
    make_templates.write(CONFIGS[name], flip, path)
    model = model_of(name, seed=5)
    state = {
        key: tensor.numpy()
        for key, tensor in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    expected = official.contents(model, flip)
    made = template.contents(path, state)
    assert made.decode == expected.decode and made.engines == json.loads(json.dumps(expected.engines))
    for filled, graph in zip(made.graphs(), expected.graphs()):
        assert isinstance(graph, Graph)
        onnx_path = tmp_path / f"{graph.name}.onnx"
        assert filled.save(onnx_path) == "runs"
        assert compare(graph, onnx_path) <= TOLERANCE


def test_the_nodes_of_a_template_do_not_depend_on_the_width(tmp_path: Path) -> None:
    """As templates are traced with a narrow backbone."""
    for name in CONFIGS:
        made = []
        for width in (8, 12):
            path = tmp_path / f"{name}-{width}.zip"
            make_templates.write(CONFIGS[name], name != "capeformer", path, width)
            with zipfile.ZipFile(path) as archive:
                made.append({entry: archive.read(entry) for entry in archive.namelist()})
        assert made[0] == made[1], name


def test_a_wider_network_has_the_same_graphs(tmp_path: Path) -> None:
    """So that CenterGroup's template of W48 can be made from that of W32."""
    narrow = CONFIGS["logocap"]
    assert isinstance(narrow, LogoCapConfig)
    wide = replace(narrow, backbone=replace(narrow.backbone, widths=(20, 40, 72, 136)))
    make_templates.write(narrow, True, tmp_path / "narrow.zip")
    make_templates.write(wide, True, tmp_path / "wide.zip")
    make_templates.widen(wide, True, tmp_path / "narrow.zip", tmp_path / "widened.zip")
    assert (tmp_path / "widened.zip").read_bytes() == (tmp_path / "wide.zip").read_bytes()


def test_networks_that_share_a_template_differ_in_their_backbone_only() -> None:
    """Widths of heads are constants in a graph, as where it is split."""
    for name, like in make_templates.LIKE.items():
        wide, narrow = official.CONFIGS[name], official.CONFIGS[like]
        assert not isinstance(wide, CapeFormerConfig) and not isinstance(narrow, CapeFormerConfig)
        changed = replace(narrow, name=name, backbone=wide.backbone, short_side=wide.short_side)
        assert changed == wide, f"{name} is not {like} with another backbone"


@pytest.mark.parametrize("path", sorted(template.FOLDER.glob("*.zip")), ids=lambda path: path.stem)
def test_splits_of_a_template_fit_what_is_split(path: Path) -> None:
    """As shipped: the sizes of a split add up to the channels of the layer before it."""
    with zipfile.ZipFile(path) as archive:
        roles = [name for name in archive.namelist() if name.endswith(".onnx")]
        models = [onnx.load_from_string(archive.read(name)) for name in roles]
    checked = 0
    for model in models:
        makers = {output: node for node in model.graph.node for output in node.output}
        weights = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type != "Split" or len(node.input) < 2:
                continue
            given = makers[node.input[1]]
            layer = makers.get(node.input[0])
            while layer is not None and layer.op_type in ("Add", "Relu"):
                layer = makers.get(layer.input[0])
            if given.op_type == "Constant" and layer is not None and layer.op_type == "Conv":
                sizes = numpy_helper.to_array(given.attribute[0].t)
                assert sizes.sum() == weights[layer.input[1]].dims[0], f"{path.stem}: {node.name}"
                checked += 1
    # LOGO-CAP's heads are one convolution, whose channels are split.
    assert checked or not path.stem.startswith("logocap")


def test_the_command_says_what_equals_the_official_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(template, "FOLDER", tmp_path)
    config = replace(CONFIGS["centergroup"], name="centergroup-w32")
    for flip in (False, True):
        make_templates.write(config, flip, template.path_of("centergroup-w32", flip))
    torch.save(model_of("centergroup").state_dict(), tmp_path / "a file.pth")
    out = tmp_path / "a bundle"
    arguments = ["centergroup-w32", str(tmp_path / "a file.pth"), "--out", str(out)]
    assert command.main(arguments) == 0
    said = capsys.readouterr().out
    assert "FLIP=1" in said and "--threshold" in said and f"--model '{out}'" in said
    assert command.main([*arguments, "--flip"]) == 0
    said = capsys.readouterr().out
    assert "equals the official test" in said and "twice the time" in said
    manifest = (out / "bundle.toml").read_text()
    assert command.main([*arguments, "--flip", "--aspect", "1920x1080"]) == 0
    assert "a 1920x1080 image is run at" in capsys.readouterr().out
    assert (out / "bundle.toml").read_text() == manifest, "it is printed, and changes nothing"
    assert command.main(["centergroup-w32", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_imported_bundles_are_ignored_by_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no repository")
    for name in official.CONFIGS:
        for ending in ("", "-512", "-640-flip"):
            folder = f"models/bundles/{name}{ending}/bundle.toml"
            command = ["git", "check-ignore", "--quiet", folder]
            assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0, folder


def test_an_import_needs_no_pytorch() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from models.checkpoints.__main__ import main\n"
        "sys.exit(main(['logocap-w32', 'nothing.pth']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "import: nothing.pth: no such file\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["CKPT=a file.pth"], "MODEL=logocap-w32"),
        (["MODEL=logocap-w32"], "CKPT=path/to/file.pth"),
        (["MODEL=logocap-w32", "CKPT=a 'quoted' file.pth"], "a 'quoted' file.pth: no such file"),
    ],
)
def test_make_import(words: list[str], message: str) -> None:
    """The target of the Makefile, with this Python in place of a virtual environment's."""
    words = ["IMPORT_PYTHON=" + sys.executable, "IMPORT_READY=", *words]
    done = subprocess.run(["make", "import", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and message in done.stderr
