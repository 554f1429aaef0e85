"""The official networks in PyTorch, which checks and templates are made from; `make import` needs neither."""

from __future__ import annotations

from pathlib import Path

import torch

from models.checkpoints import layout
from models.checkpoints.read import read
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


def network(config: Config) -> Model:
    """A new network, with random weights."""
    if isinstance(config, LogoCapConfig):
        return LogoCap(config)
    if isinstance(config, CapeFormerConfig):
        return CapeFormer(config)
    return CenterGroup(config)


def layout_of(model: Model) -> layout.Layout:
    """The names and shapes of a network's tensors, without the counters of its norms."""
    return {
        name: list(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def load(config: Config, path: Path) -> Model:
    """The network of `config` with the weights in `path`, in eval mode. Raises `CheckpointError`."""
    state = read(path)
    if isinstance(config, CapeFormerConfig):
        state = layout.one_backbone(path, state)
    model = network(config)
    layout.check(path, state, config.name, {config.name: layout_of(model)})
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, strict=False)
    return model.eval()


def contents(model: Model, flip: bool = False, sampling: Sampling = "gather") -> bundle.Contents:
    """A bundle of an official network: the reference's hyper-parameters and behaviour."""
    if isinstance(model, LogoCap):
        return logocap_bundle.contents(model, logocap_bundle.Decode.reference(), flip, sampling)
    if isinstance(model, CapeFormer):
        return capeformer_bundle.contents(model, capeformer_bundle.Decode.reference())
    return centergroup_bundle.contents(model, centergroup_bundle.Decode.reference(), flip)
