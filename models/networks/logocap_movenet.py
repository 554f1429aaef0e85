"""LOGO-CAP whose first stage is MoveNet MultiPose; embedding and message passing are trained on top.

    >>> import torch
    >>> from models.networks.logocap_movenet import MoveNetLogoCap, config
    >>> from models.networks.movenet import MoveNetConfig
    >>> model = MoveNetLogoCap(config(MoveNetConfig.small()))
    >>> heatmaps, offsets, embedding = model.forward_backbone(torch.randn(1, 3, 64, 96))
    >>> heatmaps.shape, offsets.shape, embedding.shape
    (torch.Size([1, 18, 16, 24]), torch.Size([1, 34, 16, 24]), torch.Size([1, 33, 16, 24]))

| LOGO-CAP | MoveNet |
|---|---|
| `heatmaps[0:17]`, `heatmaps[17]` | sigmoid of its keypoint heatmaps, sigmoid of its centre |
| `offsets[2k]` (x), `[2k+1]` (y), centre minus keypoint | `0.5 - regress[2k+1]`, `0.5 - regress[2k]` |
| `embedding[0:16]` | ReLU of a trained mix of MoveNet's hidden layers and of a separable layer of its own |
| `embedding[16:33]` | the keypoint heatmaps before the sigmoid, moved by 3/8 of a cell, see `on_the_mesh` |

The half: MoveNet's keypoint lies at `4 (c + r) - 0.5` where pixel centres are whole numbers and `c` is the
centre's cell. The runtime finds a centre at any pixel `4c + j` and subtracts four offsets from it; for a
bilinearly upsampled peak `j` is 1 or 2, 1.5 on average, and `4c + 1.5 - 4 (0.5 - r)` is that place. Sign,
order and half are folded into the last convolution, see `fold_offsets`. LOGO-CAP has no use for MoveNet's
boxes and local offsets; the hidden layer of the latter feeds the embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.logocap import KEYPOINTS, LogoCapConfig, SecondStage
from models.networks.movenet import Head, MoveNet, MoveNetBackbone, MoveNetConfig, Separable

SHORT_SIDE = 256
EVIDENCE_SHARE = 0.3
"""REPORT.md of the bundle has what was measured; scores at `full` are those of maps without evidence."""


def config(backbone: MoveNetConfig | None = None, short_side: int = SHORT_SIDE) -> LogoCapConfig:
    """Sizes of the network; without `backbone` those of MoveNet MultiPose."""
    return LogoCapConfig(
        name="logocap-movenet",
        backbone=backbone or MoveNetConfig.multipose(),
        short_side=short_side,
        multiple=32,
        embedding=16,
        evidence=KEYPOINTS,
        evidence_share=EVIDENCE_SHARE,
        kernel_divisor=121 * (1 - EVIDENCE_SHARE),
        message_widths=(64, 32, 32),
        affine_mixture=10,
        window_radius=36,
        prior_sigma=20.0,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


class MoveNetLogoCap(SecondStage):
    """The network in two halves: image to maps, and sampled embedding to attraction kernels."""

    def __init__(self, config: LogoCapConfig) -> None:
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
        self.offsets = Head(features, hidden, 2 * KEYPOINTS)
        self.local = Separable(features, hidden)
        self.own = Separable(features, hidden)
        taps = torch.tensor([0.375, 0.625])
        shift = (taps[:, None] * taps).expand(KEYPOINTS, 1, 2, 2)
        self.register_buffer("mesh_shift", shift.clone(), persistent=False)
        self.mix = nn.Sequential(
            nn.Conv2d(3 * hidden, config.embedding, 1, bias=False), nn.BatchNorm2d(config.embedding)
        )

    @classmethod
    def from_movenet(cls, movenet: MoveNet, short_side: int = SHORT_SIDE) -> MoveNetLogoCap:
        """A network that begins with MoveNet's weights; the second stage is random."""
        model = cls(config(movenet.config, short_side))
        heads = movenet.heads
        model.movenet.load_state_dict(movenet.backbone.state_dict())
        model.center.load_state_dict(heads["center"].state_dict())
        model.keypoints.load_state_dict(heads["heatmap"].state_dict())
        model.offsets.load_state_dict(heads["regress"].state_dict())
        fold_offsets(model.offsets.last)
        model.local.load_state_dict(heads["offset"].hidden.state_dict())
        return model

    def second_stage(self) -> list[nn.Parameter]:
        """The parameters that MoveNet does not have."""
        return [*self.own.parameters(), *self.mix.parameters(), *self.joints_mlp.parameters()]

    def maps(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The backbone's features -> heatmaps (0 to 1), offsets in cells, embedding; see
        `forward_backbone`."""
        hidden = self.keypoints.hidden(features)
        logits = self.keypoints.last(hidden)
        heatmaps = torch.cat([logits, self.center(features)], 1).sigmoid()
        seen = torch.cat([self.own(features), hidden, self.local(features)], 1)
        embedding = torch.cat([functional.relu(self.mix(seen)), self.on_the_mesh(logits)], 1)
        return heatmaps, self.offsets(features), embedding

    def on_the_mesh(self, logits: Tensor) -> Tensor:
        """Logits `[B, 17, h, w]` moved by 3/8 of a cell, to be sampled where the mesh lies.

        A keypoint at pixel `p` peaks at cell `(p - 1.5) / 4`; the runtime samples the embedding at `p / 4`.
        The first row and column repeat the border.
        """
        wide = torch.cat([logits[:, :, :1], logits], 2)
        wide = torch.cat([wide[..., :1], wide], 3)
        return functional.conv2d(wide, self.mesh_shift, groups=KEYPOINTS)

    def forward_backbone(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.maps(self.movenet(image))


@torch.no_grad()
def fold_offsets(last: nn.Conv2d) -> None:
    """Turns a convolution that predicts MoveNet's `regress` (y, x, from the centre's cell) into one that
    predicts LOGO-CAP's offsets (x, y, centre minus keypoint): `0.5 - regress`, reordered."""
    order = torch.arange(last.out_channels) ^ 1
    last.weight.copy_(-last.weight[order])
    last.bias.copy_(0.5 - last.bias[order])
