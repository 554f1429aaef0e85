"""OKS-AP of a model under training, on a held-out set in COCO's format."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from models.data.images import read_image

Predict = Callable[[Tensor], list[tuple[np.ndarray, np.ndarray]]]
"""u8 images `[B, H, W, 3]` -> for each, poses `[n, 17, 2]` and scores `[n]`."""


class HeldOut:
    """The images and labels of a directory with `annotations.json`; the first `limit` images."""

    def __init__(self, directory: Path, limit: int | None = None) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO(str(directory / "annotations.json"))
        self.ids = sorted(self.coco.imgs)[:limit]
        loaded = [read_image(directory / self.coco.imgs[i]["file_name"]) for i in self.ids]
        self.images = torch.from_numpy(np.stack(loaded))

    def average_precision(self, predict: Predict, device: torch.device, batch: int = 10) -> dict[str, float]:
        """AP, AP50 and AP75 of what `predict` results."""
        results = []
        for start in range(0, len(self.ids), batch):
            for offset, (poses, scores) in enumerate(predict(self.images[start : start + batch].to(device))):
                for pose, score in zip(poses, scores):
                    points = np.concatenate([pose, np.ones((17, 1))], 1).flatten().round(2).tolist()
                    result = {
                        "image_id": self.ids[start + offset],
                        "category_id": 1,
                        "keypoints": points,
                        "score": float(score),
                    }
                    results.append(result)
        if not results:
            return {"ap": 0.0, "ap50": 0.0, "ap75": 0.0}
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self.coco, self.coco.loadRes(json.loads(json.dumps(results))), "keypoints")
            evaluation.params.imgIds = self.ids
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return dict(zip(("ap", "ap50", "ap75"), (round(float(v), 4) for v in evaluation.stats[:3])))
