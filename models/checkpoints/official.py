"""Official checkpoints to bundles: `make import MODEL=logocap-w32 CKPT=file.pth ASPECT=640x480 [FLIP=1]`.

    python -m models.checkpoint logocap-w32 file.pth --aspect 640x480 --flip
    python -m models.checkpoint centergroup-w32 file.ckpt
    python -m models.checkpoint capeformer-r50 file.pth

The bundle behaves as the reference implementation does, flaws included. With `--flip` the merge with the
mirrored picture, which LOGO-CAP's reference never leaves out, is part of the graph; CenterGroup's groups both
pictures by themselves, which is not offered here. The file is read without running any code that is pickled
in it, and its tensors must be exactly those of the network.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.export import bundle, capeformer_bundle, centergroup_bundle, exporter as export, logocap_bundle
from models.checkpoints import inert_pickle
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.networks.centergroup import CenterGroup, CenterGroupConfig
from models.networks.logocap import LogoCap, LogoCapConfig
from models.reference.geometry import network_size

Config = LogoCapConfig | CenterGroupConfig | CapeFormerConfig
Model = LogoCap | CenterGroup | CapeFormer
CONFIGS: dict[str, Config] = {
    config.name: config
    for config in (
        LogoCapConfig.w32(),
        LogoCapConfig.w48(),
        CenterGroupConfig.w32(),
        CenterGroupConfig.w48(),
        CenterGroupConfig.w48_crowdpose(),
        CapeFormerConfig.r50(),
    )
}
RENAMED = {"graph_net": "tr_encoder", "graph_model": "group_model"}
"""Parts of CenterGroup's names in older files, and what the release's own loader calls them."""
BACKBONES = ("encoder_sample.", "encoder_query.")
"""CapeFormer's files hold one backbone twice: for pictures that show keypoints, and for those where they are
looked for."""
MOST_LISTED = 8


class CheckpointError(RuntimeError):
    """A file that is not the expected checkpoint."""


def read(path: Path) -> dict[str, Tensor]:
    """The state dict in `path`. Raises `CheckpointError` if the file cannot be read or holds anything but
    tensors."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own text goes on to recommend running the pickled code.
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for `{named[1]}`, which is never run" if named else "it is no PyTorch checkpoint"
        raise CheckpointError(f"{path}: only tensors and plain values are read, but {reason}") from error
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: damaged, or no PyTorch checkpoint: {reason}") from error
    if not isinstance(contents, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(contents).__name__}, expected a state dict (names to tensors)"
        )
    others = [str(name) for name, value in contents.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(
            f"{path}: expected a flat state dict (names to tensors); these are no tensors: {_listed(others)}"
        )
    return dict(contents)


def read_training_state(path: Path) -> dict[str, Tensor]:
    """The state dict in `path`, which may be a whole training state.

    Such a file names classes of the program that wrote it. Of these nothing is run: inert objects take their
    place, and the tensors are picked out. Older names of CenterGroup's parts are replaced by today's. Raises
    `CheckpointError`.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        contents = torch.load(path, map_location="cpu", weights_only=False, pickle_module=inert_pickle)
    except Exception as error:
        # The file may hold anything, and so may the reason.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: damaged, or no PyTorch checkpoint: {reason}") from error
    state = contents.get("state_dict", contents) if isinstance(contents, Mapping) else contents
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(state).__name__}, expected a state dict (names to tensors), or one under "
            "`state_dict`"
        )
    others = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(f"{path}: expected names to tensors; these are no tensors: {_listed(others)}")
    renamed = {}
    for name, tensor in state.items():
        parts = str(name).removeprefix("module.").split(".")
        renamed[".".join(RENAMED.get(part, part) for part in parts)] = tensor
    if len(renamed) < len(state):
        raise CheckpointError(f"{path}: holds some tensors twice, under an older and a newer name")
    return renamed


def one_backbone(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """CapeFormer's tensors without the second copy of the backbone. Raises `CheckpointError` where the copies
    differ, or only one is there."""
    copies = [
        {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        for prefix in BACKBONES
    ]
    first, second = copies
    lonely = sorted(first.keys() ^ second.keys())
    if lonely:
        raise CheckpointError(f"{path}: in only one of the two backbones: {_listed(lonely)}")
    differing = [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
    if differing:
        raise CheckpointError(
            f"{path}: the two backbones should be one, but {len(differing)} tensors differ: "
            f"{_listed(differing)}"
        )
    return {name: tensor for name, tensor in state.items() if not name.startswith(BACKBONES[0])}


def problems(state: Mapping[str, Tensor], model: Model) -> list[str]:
    """What keeps `state` from being the state dict of `model`; empty if it fits."""
    expected = model.state_dict()
    found = []
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    if missing:
        found.append(f"{len(missing)} missing: {_listed(missing)}")
    if extra:
        found.append(f"{len(extra)} unknown: {_listed(extra)}")
    shapes, types, values = [], [], []
    for name, tensor in state.items():
        if name not in expected:
            continue
        if tensor.shape != expected[name].shape:
            shapes.append(f"{name} is {_shape(tensor)}, expected {_shape(expected[name])}")
        elif tensor.dtype != expected[name].dtype:
            types.append(f"{name} is {tensor.dtype}, expected {expected[name].dtype}")
        elif tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            values.append(name)
    if shapes:
        found.append(f"{len(shapes)} of another shape: {_listed(shapes)}")
    if types:
        found.append(f"{len(types)} of another type: {_listed(types)}")
    if values:
        found.append(f"{len(values)} with values that are not finite: {_listed(values)}")
    return found


def load(config: Config, path: Path) -> Model:
    """The network of `config` with the weights in `path`, in eval mode. Raises `CheckpointError`."""
    model: Model
    if isinstance(config, LogoCapConfig):
        state, model = read(path), LogoCap(config)
    elif isinstance(config, CapeFormerConfig):
        state, model = one_backbone(path, read_training_state(path)), CapeFormer(config)
    else:
        state, model = read_training_state(path), CenterGroup(config)
    wrong = problems(state, model)
    if wrong:
        lines = "\n  ".join(wrong)
        raise CheckpointError(f"{path}: its tensors are not those of {config.name}:\n  {lines}")
    model.load_state_dict(state)
    return model.eval()


def contents(model: Model, flip: bool = False, sampling: export.Sampling = "gather") -> bundle.Contents:
    """A bundle of an official network: the reference's hyper-parameters and behaviour."""
    if isinstance(model, LogoCap):
        return logocap_bundle.contents(model, logocap_bundle.Decode.reference(), flip, sampling)
    if isinstance(model, CapeFormer):
        return capeformer_bundle.contents(model, capeformer_bundle.Decode.reference())
    return centergroup_bundle.contents(model, centergroup_bundle.Decode.reference())


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"


def _listed(names: list[str]) -> str:
    rest = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _aspect(text: str) -> tuple[int, int]:
    width, separator, height = text.partition("x")
    if not (separator and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, such as 640x480")
    return int(width), int(height)


def main() -> int:
    """Imports an official checkpoint as a bundle."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", choices=sorted(CONFIGS))
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--aspect", type=_aspect, default=(640, 480), help="the camera's picture, WIDTHxHEIGHT"
    )
    parser.add_argument(
        "--flip",
        action="store_true",
        help="LOGO-CAP: average with the mirrored picture, as the reference does",
    )
    parser.add_argument("--sampling", choices=["gather", "grid-sample"], default="gather")
    parser.add_argument(
        "--out", type=Path, help="the bundle's folder (default: models/bundles/NAME-SIZE[-flip])"
    )
    arguments = parser.parse_args()
    config = CONFIGS[arguments.model]
    if arguments.flip and not isinstance(config, LogoCapConfig):
        parser.error("--flip is for LOGO-CAP; CenterGroup's reference groups the mirrored picture by itself")
    side = "" if isinstance(config, CapeFormerConfig) else f"-{config.short_side}"
    name = config.name + side + ("-flip" if arguments.flip else "")
    out = arguments.out or Path(__file__).parent / "bundles" / name
    try:
        model = load(config, arguments.checkpoint)
        digest = hashlib.sha256(arguments.checkpoint.read_bytes()).hexdigest()
        options = bundle.Options(
            provenance=f"imported from {arguments.checkpoint.name}, SHA-256 {digest}",
            licence="LicenseRef-checkpoint",
        )
        made = contents(model, arguments.flip, arguments.sampling)
        for line in bundle.write(made, out, options):
            print(line)
    except (CheckpointError, export.ExportError) as error:
        print(f"import: {error}", file=sys.stderr)
        return 2
    if isinstance(config, CapeFormerConfig):
        print(f"try it: sinew enrol --model {out} --image PICTURE --keypoints JSON --out THING.template")
        return 0
    width, height = network_size(*arguments.aspect, config.short_side, config.multiple)
    picture = "x".join(str(side) for side in arguments.aspect)
    print(f"a picture of {picture} goes through the network at {width}x{height}")
    print(f"try it: sinew run --model {out} --source PICTURE")
    return 0


if __name__ == "__main__":
    sys.exit(main())
