"""How far one gets without looking at the image: `python -m models.evaluate.mean_pose FOLDER`.

One pose for all people, the mean place of each keypoint in the crops that `lofr-tiny` would see, measured as
`sinew eval --metric pck` does. `FOLDER` holds images and `annotations.json` in COCO's keypoint format.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from models.evaluate.crops import HeldOutCrops
from models.networks.lofr import LofrConfig


def main() -> None:
    """Prints PCK at every threshold."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluate.mean_pose", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    config = LofrConfig.tiny()
    crops = HeldOutCrops.read(parser.parse_args().folder, (config.network_width, config.height))
    print(json.dumps({name: round(value, 4) for name, value in crops.mean_pose().items()}))


if __name__ == "__main__":
    main()
