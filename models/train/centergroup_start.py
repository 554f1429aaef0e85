"""Lets `centergroup-tiny` begin where `logocap-tiny` ends: with its backbone, heatmaps and offsets."""

from __future__ import annotations

import torch
from torch import Tensor

from models.networks.centergroup import CenterGroup


@torch.no_grad()
def begin_from_logocap(model: CenterGroup, values: dict[str, Tensor]) -> int:
    """Copies what both networks have in common from the weights of a LOGO-CAP network of the same sizes; how
    many tensors.

    Tokens' features begin with LOGO-CAP's features for offsets, so that the offsets' prior begins with its
    offsets. The finer heatmaps, the tag channels and all grouping start anew.
    """
    own = model.state_dict()
    taken: dict[str, Tensor] = {}
    for name, value in values.items():
        if name.startswith("backbone."):
            taken["bu_model." + name] = value
    heads = ("transition_cls", "transition_reg", "transition_embedding")
    for part in ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
        taken[f"bu_model.mix.{part}"] = torch.cat([values[f"{head}.{part}"] for head in heads])
    for part in ("weight", "bias"):
        first = values[f"final_layer_cls.{part}"]
        whole = own[f"bu_model.keypoint_head.final_layers.0.{part}"] * 0.01
        whole[: len(first)] = first
        taken[f"bu_model.keypoint_head.final_layers.0.{part}"] = whole
        # Faint at first, so that what is there already is not disturbed.
        taken[f"bu_model.keypoint_head.final_layers.1.{part}"] = (
            own[f"bu_model.keypoint_head.final_layers.1.{part}"] * 0.01
        )
    taken |= _offset_features(own, values)
    unfit = [name for name, value in taken.items() if own[name].shape != value.shape]
    if unfit:
        raise ValueError(f"{unfit[0]}: the weights have another shape; they must be logocap-tiny's")
    model.load_state_dict(taken, strict=False)
    return len(taken)


def _offset_features(own: dict[str, Tensor], values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The centre's embedding passes the features for offsets on, and the prior reads them."""
    taken = {}
    before, count = len(values["transition_cls.1.bias"]), len(values["transition_reg.1.bias"])
    convolution = own["person_embed_cnn.0.weight"].clone()
    convolution[:count] = 0
    convolution[:count, before : before + count] = torch.eye(count)[:, :, None, None]
    taken["person_embed_cnn.0.weight"] = convolution
    bias = own["person_embed_cnn.0.bias"].clone()
    bias[:count] = 0
    taken["person_embed_cnn.0.bias"] = bias
    # The norm that follows should change nothing: it is given the statistics that a normal distribution has
    # behind a ReLU.
    mean, deviation = _behind_relu(values["transition_reg.1.bias"], values["transition_reg.1.weight"].abs())
    changes = {
        "1.bias": mean,
        "1.weight": deviation,
        "1.running_mean": mean,
        "1.running_var": deviation.square(),
    }
    for part, value in changes.items():
        whole = own[f"person_embed_cnn.{part}"].clone()
        whole[:count] = value
        taken[f"person_embed_cnn.{part}"] = whole
    linear = torch.zeros_like(own["group_model.prior.linear.weight"])
    linear[:, :count] = values["final_layer_reg.weight"][:, :, 0, 0]
    taken["group_model.prior.linear.weight"] = linear
    taken["group_model.prior.linear.bias"] = values["final_layer_reg.bias"]
    return taken


def _behind_relu(mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of `max(x, 0)`, x normal."""
    ratio = mean / deviation.clamp(min=1e-6)
    normal = torch.distributions.Normal(0.0, 1.0)
    below, height = normal.cdf(ratio), normal.log_prob(ratio).exp()
    first = mean * below + deviation * height
    second = (mean.square() + deviation.square()) * below + mean * deviation * height
    return first, (second - first.square()).clamp(min=1e-4).sqrt()
