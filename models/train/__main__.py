"""Train a bundle's network on generated images: `python -m models.train logocap-tiny`.

The run has no planned end: the learning rate warms up and then stays, until `--finish` lets it cool down to
nothing over `--minutes`. It may be interrupted and resumed at any time, and picks up new sprites whenever it
starts. The state directory holds `checkpoint.pt` (all that resuming needs), `weights.pt` (the averaged
weights, for export) and `log.jsonl`.
"""

from __future__ import annotations

import sys

from models.train.run import main

if __name__ == "__main__":
    sys.exit(main())
