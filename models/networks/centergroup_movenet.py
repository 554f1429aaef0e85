"""CenterGroup on the backbone, heatmaps and offsets of `logocap-movenet`; upsampling, rows and grouping are
trained on top.

    >>> import torch
    >>> from models.networks.centergroup_movenet import MoveNetCenterGroup, config
    >>> from models.networks.movenet import MoveNetConfig
    >>> model = MoveNetCenterGroup(config(MoveNetConfig.small())).eval()
    >>> heat_half, rows = model.forward_backbone(torch.randn(1, 3, 64, 96))
    >>> heat_half.shape, rows.shape
    (torch.Size([1, 18, 32, 48]), torch.Size([1, 768, 96]))

| CenterGroup | from |
|---|---|
| `heat_half` | sigmoid of the keypoints' and the centre's logits, twice as fine, see `Upsampling` |
| rows of keypoints | a trained linear mix of the pyramid and of the hidden layer of the keypoints' head |
| rows of centres, first 34 | the offsets, divided by `OFFSET_SCALE` |
| rows of centres, others | a trained linear mix of the pyramid and of the hidden layer of the centre's head |

Rows are linear in these features, so that what bilinear taps read of rows is a mix of what they read of
features: training keeps the features of tokens and computes no map (`models.train.token_bank`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.centergroup import CenterGroupConfig, Grouper, GroupModel, double
from models.networks.logocap_movenet import MoveNetLogoCap
from models.networks.movenet import KEYPOINTS, Head, MoveNetBackbone, MoveNetConfig, Separable

SHORT_SIDE = 256
OFFSETS = 2 * KEYPOINTS
OFFSET_SCALE = 8.0
"""Of `OffsetPrior`; rows stay small."""
HALF_PIXEL = 0.125
"""In cells. LOGO-CAP's maps peak at a keypoint, CenterGroup's half a pixel before it."""
PHASES = (-0.25 + HALF_PIXEL, 0.25 + HALF_PIXEL)
"""Where the finer map's two cells read the coarse one, in cells from a cell's middle."""


def config(backbone: MoveNetConfig | None = None, short_side: int = SHORT_SIDE) -> CenterGroupConfig:
    """Sizes of the network; without `backbone` those of MoveNet MultiPose."""
    return CenterGroupConfig(
        name="centergroup-movenet",
        backbone=backbone or MoveNetConfig.multipose(),
        short_side=short_side,
        multiple=32,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        width=96,
        feed_forward=192,
        head_width=16,
        offset_prior=True,
    )


class Upsampling(nn.Module):
    """Logits at stride 4 and features -> logits at stride 2.

    Each finer cell begins as the value there of the parabola through the three nearest cells on either axis:
    around a peak, where heatmaps are bells, their logarithms are parabolas. A correction from the features,
    nothing at first, is learnt.
    """

    def __init__(self, features: int, hidden: int, types: int) -> None:
        super().__init__()
        self.types = types
        self.interpolate = nn.Conv2d(types, 4 * types, 3, groups=types, bias=False)
        self.own = Separable(features, hidden)
        self.correct = nn.Conv2d(hidden, 4 * types, 1)
        at = torch.tensor(PHASES)
        taps = torch.stack([at * (at - 1) / 2, 1 - at.square(), at * (at + 1) / 2], 1)
        phases = taps[:, None, :, None] * taps[None, :, None, :]
        with torch.no_grad():
            self.interpolate.weight.copy_(phases.reshape(4, 1, 3, 3).repeat(types, 1, 1, 1))
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """`[B, types, h, w]`, `[B, C, h, w]` -> `[B, types, 2h, 2w]`."""
        phases = self.interpolate(self.bordered(logits)) + self.correct(self.own(features))
        return functional.pixel_shuffle(phases, 2)

    @staticmethod
    def bordered(logits: Tensor) -> Tensor:
        """One more cell on every side, the border repeated; not every backend pads so by itself."""
        wide = torch.cat([logits[:, :, :1], logits, logits[:, :, -1:]], 2)
        return torch.cat([wide[..., :1], wide, wide[..., -1:]], 3)


class MoveNetCenterGroup(Grouper):
    """The whole network, as two halves with the choice of peaks between them."""

    def __init__(self, config: CenterGroupConfig) -> None:
        super().__init__(config)
        sizes = config.backbone
        if not isinstance(sizes, MoveNetConfig):
            raise TypeError(
                f"{config.name}: the backbone is a {type(sizes).__name__}, expected MoveNetConfig"
            )
        features, hidden = sizes.pyramid[2], sizes.hidden
        self.movenet = MoveNetBackbone(sizes)
        self.center = Head(features, hidden, 1)
        self.keypoints = Head(features, hidden, KEYPOINTS)
        self.offsets = Head(features, hidden, OFFSETS)
        self.upsampling = Upsampling(features, hidden // 2, KEYPOINTS + 1)
        self.learnt = config.width - OFFSETS
        """Channels of a centre's rows behind the offsets."""
        first, second, third = sizes.pyramid
        both = config.width + self.learnt
        self.coarse_rows = nn.ModuleList(nn.Conv2d(c, both, 1, bias=False) for c in (first, second, third))
        self.keypoint_rows = nn.Conv2d(third + hidden, config.width, 1)
        self.center_rows = nn.Conv2d(third + hidden, self.learnt, 1)
        self.group_model = GroupModel(config)

    @classmethod
    def from_logocap(cls, logocap: MoveNetLogoCap, short_side: int = SHORT_SIDE) -> MoveNetCenterGroup:
        """A network that begins with the weights of `logocap-movenet`; grouping begins with its offsets as
        prior and is random otherwise."""
        model = cls(config(logocap.config.backbone, short_side))
        for part in ("movenet", "center", "keypoints", "offsets"):
            getattr(model, part).load_state_dict(getattr(logocap, part).state_dict())
        model.group_model.begin_nearby()
        model.begin_prior()
        return model

    @torch.no_grad()
    def begin_prior(self) -> None:
        """The prior's offsets are LOGO-CAP's, which point from the keypoint to the centre."""
        linear = self.group_model.prior.linear
        linear.weight.zero_()
        linear.weight[:, :OFFSETS] = -torch.eye(OFFSETS) * OFFSET_SCALE / self.group_model.prior.scale
        linear.bias.fill_(-HALF_PIXEL / self.group_model.prior.scale)

    def frozen(self) -> list[nn.Module]:
        """The parts that training leaves as `logocap-movenet` has them."""
        return [self.movenet, self.center, self.keypoints, self.offsets]

    def maps(self, pyramid: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The backbone's pyramid, coarsest first -> the finer heatmaps, and both maps that tokens read."""
        *coarse, features = pyramid
        keypoints, center = self.keypoints.hidden(features), self.center.hidden(features)
        logits = torch.cat([self.keypoints.last(keypoints), self.center.last(center)], 1)
        heat_half = self.upsampling(logits, features).sigmoid()
        mixed: Tensor | None = None
        for level, mix in zip(coarse, self.coarse_rows, strict=True):
            mixed = mix(level) if mixed is None else double(mixed) + mix(level)
        of_keypoints, of_centers = double(mixed).split([self.config.width, self.learnt], 1)
        of_keypoints = of_keypoints + self.keypoint_rows(torch.cat([features, keypoints], 1))
        of_centers = of_centers + self.center_rows(torch.cat([features, center], 1))
        offsets = self.offsets(features) / OFFSET_SCALE
        return heat_half, of_keypoints, torch.cat([offsets, of_centers], 1)

    def forward_backbone(self, image: Tensor) -> tuple[Tensor, Tensor]:
        heat_half, *maps = self.maps(self.movenet.pyramid(*self.movenet.early(image)))
        return heat_half, torch.cat([part.flatten(2).transpose(1, 2) for part in maps], 1)
