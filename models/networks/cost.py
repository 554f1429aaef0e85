"""What the networks cost: multiply-adds of the part that sees the image, and parameters.

python -m models.networks.cost [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.networks import centergroup_movenet, logocap_movenet
from models.networks.capeformer import CapeFormer, CapeFormerConfig
from models.networks.centergroup import CenterGroup, CenterGroupConfig
from models.networks.centergroup_movenet import MoveNetCenterGroup
from models.networks.lofr import Lofr, LofrConfig
from models.networks.logocap import LogoCap, LogoCapConfig
from models.networks.logocap_movenet import MoveNetLogoCap

SIZES = {
    "logocap-tiny": ((256, 256), (288, 288)),
    "logocap-movenet": ((256, 256),),
    "centergroup-tiny": ((256, 256), (320, 320)),
    "centergroup-movenet": ((256, 256),),
    "capeformer-tiny": ((256, 256),),
    "capeformer-lite0": ((256, 256),),
    "lofr-tiny": ((128, 96),),
}
"""Height and width of an input: what the others are measured at, and what the bundle runs at."""


@torch.no_grad()
def lines() -> list[dict[str, float | str]]:
    """One for every network and size."""
    logocap, centergroup = LogoCap(LogoCapConfig.tiny()), CenterGroup(CenterGroupConfig.tiny())
    capeformer, lofr = CapeFormer(CapeFormerConfig.tiny()), Lofr(LofrConfig.tiny())
    lite = CapeFormer(CapeFormerConfig.lite0())
    movenet = MoveNetLogoCap(logocap_movenet.config())
    grouping = MoveNetCenterGroup(centergroup_movenet.config())
    networks: dict[str, tuple[nn.Module, Callable[[Tensor], object]]] = {
        "logocap-tiny": (logocap, logocap.forward_backbone),
        "logocap-movenet": (movenet, movenet.forward_backbone),
        "centergroup-tiny": (centergroup, centergroup.forward_backbone),
        "centergroup-movenet": (grouping, grouping.forward_backbone),
        "capeformer-tiny": (capeformer, capeformer.features),
        "capeformer-lite0": (lite, lite.features),
        "lofr-tiny": (lofr, lofr),
    }
    found: list[dict[str, float | str]] = []
    for name, (model, forward) in networks.items():
        model.eval()
        for height, width in SIZES[name]:
            with FlopCounterMode(display=False) as counter:
                forward(torch.zeros(1, 3, height, width))
            parameters = sum(parameter.numel() for parameter in model.parameters())
            gmac = round(counter.get_total_flops() / 2e9, 3)
            size = {"height": height, "width": width}
            found.append({"network": name} | size | {"gmac": gmac, "parameters": parameters})
    return found


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m models.networks.cost", description=main.__doc__)
    parser.add_argument("--json", action="store_true")
    if parser.parse_args().json:
        print(json.dumps(lines()))
        return
    for line in lines():
        size = f"{line['network']:20}{line['width']:5}x{line['height']}"
        print(f"{size}  {line['gmac']:6.3f} GMAC  {line['parameters']:9,} parameters")


if __name__ == "__main__":
    main()
