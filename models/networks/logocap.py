"""LOGO-CAP: centre and offsets give quick poses, attraction kernels and heatmaps refine them.

    >>> import torch
    >>> from models.networks.logocap import LogoCap, LogoCapConfig
    >>> from models import losses
    >>> model = LogoCap(LogoCapConfig.tiny())
    >>> image = torch.randn(2, 3, 256, 256)           # normalised by LogoCapConfig.mean and .std
    >>> heatmaps, offsets, embedding = model.forward_backbone(image)
    >>> heatmaps.shape, offsets.shape, embedding.shape
    (torch.Size([2, 18, 64, 64]), torch.Size([2, 34, 64, 64]), torch.Size([2, 16, 64, 64]))
    >>> batch_index = torch.tensor([0, 0, 1])                     # three people in two images
    >>> centers = torch.tensor([[60.0, 80.0], [180.0, 120.0], [128.0, 128.0]])       # network pixels
    >>> poses = model.initial_poses(offsets, batch_index, centers)          # [3, 17, 2]
    >>> kernels = model.attraction_maps(embedding, batch_index, poses)      # [3, 17, 11, 11], raw
    >>> refined = model.adapt(heatmaps, batch_index, poses, kernels)        # [3, 17, 73, 73]
    >>> people = losses.People(torch.zeros(3, dtype=torch.long), torch.rand(3, 17, 2) * 256,
    ...                        torch.ones(3, 17, dtype=torch.bool), torch.full((3,), 5000.0))
    >>> match = losses.match_people(model.local_mesh(poses), batch_index, people)
    >>> loss = losses.kernel_loss(kernels, match) + losses.refined_loss(refined, poses, match)

Where a keypoint lies. A cell `i` of the stride-4 maps covers pixels `4i .. 4i+3`, so a keypoint at pixel
`p` (pixel centres at whole numbers) belongs at cell `(p - 1.5) / 4` of a heatmap; upsampling puts it back
at `p`. The runtime takes a centre at any of those four pixels and subtracts four times the offset found in
the cell, so the offset's target that is right on average is `i + 0.375 - p / 4`. The official networks were
trained with `p / 4` and `i - p / 4`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models import skeleton
from models.networks import adaptation
from models.networks.hrnet import HRNet, HRNetConfig, convolution_norm_relu, mix_branches
from models.networks.movenet import MoveNetConfig

KEYPOINTS = len(skeleton.NAMES)


@dataclass(frozen=True)
class LogoCapConfig:
    """Sizes of a LOGO-CAP network, and the constants that it is trained with."""

    name: str
    backbone: HRNetConfig | MoveNetConfig
    short_side: int
    """Network pixels of an image's short side."""
    multiple: int = 64
    """Both sides of the network's input are multiples of this."""
    heatmap_width: int = 32
    """Channels between features and heatmaps (C1 of eq. 3)."""
    offset_width: int = 256
    """Channels between features and offsets (C2 of eq. 4)."""
    embedding: int = 64
    """Channels of the map that the local meshes are sampled from (C3 of eq. 6)."""
    evidence: int = 0
    """Channels behind those, the heatmaps' logits, of which every keypoint reads its own: all or none."""
    evidence_share: float = 0.0
    """Of attraction maps; the rest is what message passing learnt."""
    evidence_sharpness: float = 4.0
    """By which logits are multiplied around the best cell: the higher, the less mass lies beside it."""
    message_widths: tuple[int, int, int] = (512, 256, 128)
    """Channels between the convolutions of the message passing (C4, C5, C6 of eq. 7)."""
    affine_mixture: int = 20
    """Affine transforms that the attentive norm mixes."""
    offset_scale: float = 1.0
    """The last convolution predicts offsets divided by this, so that a small network need not learn large
    numbers."""
    mesh_radius: int = 5
    window_radius: int = 48
    prior_sigma: float = 16.0
    kernel_divisor: float = 121.0
    stride: int = 4
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @classmethod
    def tiny(cls) -> LogoCapConfig:
        """0.5 GMAC at 256x256: made to train on two CPU cores and to run on a small board.

        The coarse branches are the deep ones, because a person may fill the image.
        """
        backbone = HRNetConfig(
            widths=(16, 32, 64, 128),
            stem=16,
            layer1_planes=8,
            layer1_blocks=1,
            modules=(1, 1, 2),
            blocks=(1, 1, 2, 2),
        )
        return cls(
            name="logocap-tiny",
            backbone=backbone,
            short_side=288,
            multiple=32,
            heatmap_width=32,
            offset_width=48,
            embedding=16,
            message_widths=(64, 32, 32),
            affine_mixture=10,
            offset_scale=8.0,
            window_radius=36,
        )

    @classmethod
    def w32(cls) -> LogoCapConfig:
        """The paper's HRNet-W32 network, as released for COCO."""
        return cls(name="logocap-w32", backbone=HRNetConfig((32, 64, 128, 256)), short_side=512)

    @classmethod
    def w48(cls) -> LogoCapConfig:
        """The paper's HRNet-W48 network, as released for COCO."""
        return cls(
            name="logocap-w48", backbone=HRNetConfig((48, 96, 192, 384)), short_side=640, heatmap_width=48
        )


class AttentionWeights(nn.Module):
    """The mixture weights of the attentive norm, from each channel's mean over its standard deviation."""

    def __init__(self, channels: int, mixture: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.Conv2d(channels, mixture, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        # As plain numbers: in a traced graph sizes are integer tensors, whose quotient below would be 1.
        count = int(x.shape[-2]) * int(x.shape[-1])
        mean = x.mean((-2, -1), keepdim=True)
        # The unbiased variance, written out because the exporter makes many small nodes of `torch.var`.
        variance = (x - mean).square().mean((-2, -1), keepdim=True) * (count / (count - 1))
        logits = self.attention(mean / torch.sqrt(variance + 1e-3))
        return (functional.relu6(logits + 3) / 6).flatten(1)


class AttentiveNorm(nn.Module):
    """Batch norm whose scale and shift are mixed per instance from several learnt ones.

    The statistics of the attention are taken over one instance, so candidates never influence each other.
    """

    def __init__(self, channels: int, mixture: int) -> None:
        super().__init__()
        self.weight_ = nn.Parameter(torch.ones(mixture, channels))
        self.bias_ = nn.Parameter(torch.zeros(mixture, channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))
        self.attn_weights = AttentionWeights(channels, mixture)
        nn.init.normal_(self.weight_, 1.0, 0.1)
        nn.init.normal_(self.bias_, 0.0, 0.1)
        self.momentum, self.eps = 0.1, 1e-5

    def forward(self, x: Tensor) -> Tensor:
        attention = self.attn_weights(x)
        scale = (attention @ self.weight_)[:, :, None, None]
        shift = (attention @ self.bias_)[:, :, None, None]
        if self.training:
            self.num_batches_tracked.add_(1)
            normal = functional.batch_norm(
                x, self.running_mean, self.running_var, None, None, True, self.momentum, self.eps
            )
        else:
            # The running statistics as one scale and one shift, which every runtime can fuse.
            factor = torch.rsqrt(self.running_var + self.eps)
            normal = x * factor[:, None, None] - (self.running_mean * factor)[:, None, None]
        return normal * scale + shift


class SecondStage(nn.Module):
    """What every LOGO-CAP network shares: message passing, and local-global adaptation.

    A subclass builds its first stage and defines `forward_backbone`.
    """

    def __init__(self, config: LogoCapConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.message_widths
        self.joints_mlp = nn.Sequential(
            nn.Conv2d(KEYPOINTS * config.embedding, first, 3, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            AttentiveNorm(second, config.affine_mixture),
            nn.ReLU(inplace=True),
            nn.Conv2d(second, third, 3, padding=1, bias=False),
            nn.BatchNorm2d(third),
            nn.ReLU(inplace=True),
            nn.Conv2d(third, KEYPOINTS, 1),
        )
        spacing = torch.tensor(skeleton.SIGMAS) / min(skeleton.SIGMAS)
        self.register_buffer("mesh_spacing", spacing, persistent=False)
        steps = torch.arange(-config.mesh_radius, config.mesh_radius + 1.0)
        away = (steps.square() + steps.square()[:, None]) * spacing.square()[:, None, None]
        self.register_buffer("mesh_prior", away / (2 * config.prior_sigma**2), persistent=False)
        self.reset_kernels()

    def reset_kernels(self) -> None:
        """Kernels start as a faint box, which leaves heatmaps in place."""
        nn.init.normal_(self.joints_mlp[9].weight, std=1e-3)
        nn.init.constant_(self.joints_mlp[9].bias, 0.1)

    def forward_backbone(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`image [B, 3, H, W]` -> `heatmaps [B, 18, h, w]`, `offsets [B, 34, h, w]`, `embedding [B, C3, h,
        w]`."""
        raise NotImplementedError

    def forward_kernels(self, local: Tensor) -> Tensor:
        """Convolutional message passing (eq. 7): `local [N, 17*C3, 11, 11]` -> raw attraction maps `[N, 17,
        11, 11]`.

        With evidence `local` is `[N, 17*(C3+17), 11, 11]`, and every map also says where its own heatmap is
        highest, see `with_evidence`.
        """
        if not self.config.evidence:
            return self.joints_mlp(local)
        sizes = [self.config.embedding, self.config.evidence]
        learnt, evidence = local.unflatten(1, (KEYPOINTS, -1)).split(sizes, 2)
        own = evidence.diagonal(dim1=1, dim2=2).permute(0, 3, 1, 2)
        return self.with_evidence(self.joints_mlp(learnt.flatten(1, 2)), own)

    def with_evidence(self, learnt: Tensor, own: Tensor) -> Tensor:
        """Attraction maps of what message passing `learnt` and of `own`, the logits of each keypoint's own
        heatmap on its mesh; all `[N, 17, 11, 11]`.

        The evidence is heatmap times prior (eq. 8) as a sharp bump, as high as its best cell is likely. Level
        `partial` takes a map's best cell and so finds it. Level `full` convolves by the map, where mass
        beside the middle carries keypoints past heatmap peaks that are right already: a sharp bump has
        little.
        """
        share, sharpness = self.config.evidence_share, self.config.evidence_sharpness
        likely = own - self.mesh_prior
        best = likely.amax((-2, -1), keepdim=True)
        bump = torch.exp(sharpness * (likely - best)) * best.sigmoid()
        return (1 - share) * learnt + share * bump

    def initial_poses(self, offsets: Tensor, batch_index: Tensor, centers: Tensor) -> Tensor:
        """See `adaptation.initial_poses`."""
        return adaptation.initial_poses(offsets, batch_index, centers, self.config.stride)

    def local_mesh(self, poses: Tensor) -> Tensor:
        """`poses [N, 17, 2]` -> the mesh `[N, 17, 11, 11, 2]`, in network pixels, wider for keypoints of
        larger sigma."""
        return adaptation.mesh(poses, self.config.mesh_radius, self.mesh_spacing)

    def sample(self, features: Tensor, batch_index: Tensor, positions: Tensor) -> Tensor:
        """See `adaptation.sample`."""
        return adaptation.sample(features, batch_index, positions)

    def local_maps(self, embedding: Tensor, batch_index: Tensor, poses: Tensor) -> Tensor:
        """The local keypoint expansion maps (eq. 6): `[N, 17*C3, 11, 11]`, keypoint by keypoint."""
        positions = self.local_mesh(poses) / self.config.stride
        return self.sample(embedding, batch_index, positions).permute(0, 1, 4, 2, 3).flatten(1, 2)

    def attraction_maps(self, embedding: Tensor, batch_index: Tensor, poses: Tensor) -> Tensor:
        """Raw attraction maps `[N, 17, 11, 11]` of the people at `poses [N, 17, 2]` (network pixels)."""
        return self.forward_kernels(self.local_maps(embedding, batch_index, poses))

    def adapt(self, heatmaps: Tensor, batch_index: Tensor, poses: Tensor, kernels: Tensor) -> Tensor:
        """The refined maps `[N, 17, window, window]` (eq. 8 and 9), pixel by pixel around each initial
        keypoint; in float32."""
        config = self.config
        with torch.autocast(heatmaps.device.type, enabled=False):
            maps = adaptation.global_maps(
                heatmaps.float(),
                batch_index,
                poses.float(),
                config.window_radius,
                config.prior_sigma,
                config.stride,
            )
            return adaptation.adapt(maps, kernels.float(), config.kernel_divisor)


class LogoCap(SecondStage):
    """The network in two halves: image to maps, and sampled embedding to attraction kernels."""

    def __init__(self, config: LogoCapConfig) -> None:
        super().__init__(config)
        self.backbone = HRNet(config.backbone)
        features = sum(config.backbone.widths)
        self.transition_cls = convolution_norm_relu(features, config.heatmap_width)
        self.transition_reg = convolution_norm_relu(features, config.offset_width)
        self.final_layer_cls = nn.Conv2d(config.heatmap_width, KEYPOINTS + 1, 1)
        self.final_layer_reg = nn.Conv2d(config.offset_width, 2 * KEYPOINTS, 1)
        self.transition_embedding = convolution_norm_relu(features, config.embedding)
        self.reset_heads()

    def reset_heads(self) -> None:
        """Small last layers, so that maps start near zero."""
        for layer in (self.final_layer_cls, self.final_layer_reg):
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)

    def forward_backbone(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`image [B, 3, H, W]` -> `heatmaps [B, 18, h, w]`, `offsets [B, 34, h, w]`, `embedding [B, C3, h,
        w]` (eq. 3, 4, 6).

        The centre is the last heatmap. Offsets are in cells. The features are the four branches, upsampled
        and concatenated.
        """
        branches = self.backbone(image)
        layers = (self.transition_cls, self.transition_reg, self.transition_embedding)
        weight = torch.cat([layer[0].weight for layer in layers])
        mixed = mix_branches(branches, weight)
        inner = [
            # Made contiguous, because the norm's backward pass is several times slower on a slice.
            functional.relu(layer[1](part.contiguous(memory_format=torch.channels_last)))
            for layer, part in zip(layers, mixed.split([layer[0].out_channels for layer in layers], dim=1))
        ]
        offsets = self.final_layer_reg(inner[1]) * self.config.offset_scale
        return self.final_layer_cls(inner[0]), offsets, inner[2]
