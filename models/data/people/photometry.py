"""What a cheap camera does to a scene: contrast, colour, gamma, blur, noise, compression."""

from __future__ import annotations

import cv2
import numpy as np

_NOISE_SIDE = 700
_noise: np.ndarray | None = None


def _noise_patch(generator: np.random.Generator, side: int) -> np.ndarray:
    """Unit Gaussian noise cut from one fixed field: fresh noise would cost a third of a scene's time."""
    global _noise
    if _noise is None:
        _noise = np.random.default_rng(0).standard_normal((_NOISE_SIDE, _NOISE_SIDE, 3), np.float32)
    y, x = generator.integers(0, _NOISE_SIDE - side, 2)
    return _noise[y : y + side, x : x + side]


def degrade(colour: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """f32 [side, side, 3] in 0..255 -> u8, strongly varied; for training."""
    draw = generator.random
    image = colour
    if draw() < 0.8:
        image = (image - 128) * np.float32(generator.uniform(0.55, 1.3)) + np.float32(
            128 + generator.normal(0, 24)
        )
    if draw() < 0.5:
        image = image * (1 + 0.12 * generator.normal(size=3)).astype(np.float32)
    if draw() < 0.12:
        image = np.repeat(image.mean(2, keepdims=True), 3, 2)
    image = np.clip(image, 0, 255)
    if draw() < 0.3:
        image = 255 * (image / 255) ** np.float32(np.exp(generator.normal(0, 0.4)))
    if draw() < 0.12:
        image = image * _light_gradient(image.shape[0], generator)
    if draw() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.4, 1.6))
    if draw() < 0.12:
        image = _poor_resolution(image, generator.uniform(0.35, 0.8))
    if draw() < 0.5:
        image = image + np.float32(generator.uniform(1, 14)) * _noise_patch(generator, image.shape[0])
    return compress(image, generator, 25, 90, 0.35)


def soften(colour: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The mild version for images to measure on: a little blur and noise."""
    image = np.clip(colour, 0, 255)
    if generator.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.3, 0.7))
    image = image + np.float32(generator.uniform(0.5, 4)) * _noise_patch(generator, image.shape[0])
    return np.clip(image, 0, 255).astype(np.uint8)


def compress(
    image: np.ndarray, generator: np.random.Generator, low: int, high: int, probability: float
) -> np.ndarray:
    """To u8, and sometimes through JPEG of a quality in low..high."""
    image = np.clip(image, 0, 255).astype(np.uint8)
    if generator.random() < probability:
        quality = int(generator.integers(low, high))
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        assert decoded is not None, "OpenCV reads what it wrote"
        image = decoded
    return image


def _light_gradient(side: int, generator: np.random.Generator) -> np.ndarray:
    """A window or lamp to one side: brightness that changes across the image."""
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    slope = generator.normal(0, 0.35, 2).astype(np.float32)
    return np.clip(1 + slope[0] * ramp[None] + slope[1] * ramp[:, None], 0.25, 1.9)[..., None]


def _poor_resolution(image: np.ndarray, scale: float) -> np.ndarray:
    side = image.shape[0]
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
