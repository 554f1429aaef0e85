"""Official checkpoints to bundles: `make import MODEL=logocap-w32 CKPT=file.pth ASPECT=640x480 [FLIP=1]`.

    python -m models.checkpoints logocap-w32 file.pth --aspect 640x480 --flip
    python -m models.checkpoints centergroup-w32 file.ckpt
    python -m models.checkpoints capeformer-r50 file.pth

The bundle behaves as the reference implementation does, flaws included. With `--flip` the merge with the
mirrored picture, which LOGO-CAP's reference never leaves out, is part of the graph; CenterGroup's groups both
pictures by themselves, which is not offered here. The file is read without running any code that is pickled
in it, and its tensors must be exactly those of the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoints.read import CheckpointError, listed, read, read_training_state
from models.export import bundle, capeformer_bundle, centergroup_bundle, logocap_bundle
from models.export.logocap_graphs import Sampling
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.networks.centergroup import CenterGroup, CenterGroupConfig
from models.networks.logocap import LogoCap, LogoCapConfig

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
BACKBONES = ("encoder_sample.", "encoder_query.")
"""CapeFormer's files hold one backbone twice: for pictures that show keypoints, and for those where they are
looked for."""


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
        raise CheckpointError(f"{path}: in only one of the two backbones: {listed(lonely)}")
    differing = [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
    if differing:
        raise CheckpointError(
            f"{path}: the two backbones should be one, but {len(differing)} tensors differ: "
            f"{listed(differing)}"
        )
    return {name: tensor for name, tensor in state.items() if not name.startswith(BACKBONES[0])}


def problems(state: Mapping[str, Tensor], model: Model) -> list[str]:
    """What keeps `state` from being the state dict of `model`; empty if it fits."""
    expected = model.state_dict()
    found = []
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    if missing:
        found.append(f"{len(missing)} missing: {listed(missing)}")
    if extra:
        found.append(f"{len(extra)} unknown: {listed(extra)}")
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
        found.append(f"{len(shapes)} of another shape: {listed(shapes)}")
    if types:
        found.append(f"{len(types)} of another type: {listed(types)}")
    if values:
        found.append(f"{len(values)} with values that are not finite: {listed(values)}")
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


def contents(model: Model, flip: bool = False, sampling: Sampling = "gather") -> bundle.Contents:
    """A bundle of an official network: the reference's hyper-parameters and behaviour."""
    if isinstance(model, LogoCap):
        return logocap_bundle.contents(model, logocap_bundle.Decode.reference(), flip, sampling)
    if isinstance(model, CapeFormer):
        return capeformer_bundle.contents(model, capeformer_bundle.Decode.reference())
    return centergroup_bundle.contents(model, centergroup_bundle.Decode.reference())


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"
