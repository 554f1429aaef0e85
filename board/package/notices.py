#!/usr/bin/env python3
"""Third-party notices: the licence texts of every crate in the program, for packages and archives.

    notices.py TARGET [--list]     such as aarch64-unknown-linux-gnu

Reads what `cargo metadata` resolves for that target with default features, and the licence files in each
crate's own sources. Crates that share a text stand above it together. `--list` prints one line per crate
instead. Fails where a crate names no licence. Only Python's standard library is used.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
LICENCE_FILES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")
RULE = "=" * 80


def resolved(target: str) -> list[dict[str, Any]]:
    """The packages that the program links for `target`, sorted by name and version.

    Build dependencies, test dependencies and procedural macros are not among them.
    """
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=PROJECT, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    linked: set[str] = set()
    queue = deque([root])
    while queue:
        for dependency in nodes[queue.popleft()]["deps"]:
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            is_macro = any("proc-macro" in made["kind"] for made in packages[dependency["pkg"]]["targets"])
            if is_linked and not is_macro and dependency["pkg"] not in linked:
                linked.add(dependency["pkg"])
                queue.append(dependency["pkg"])
    return sorted(
        (packages[name] for name in linked), key=lambda package: (package["name"], package["version"])
    )


def licence_texts(package: dict[str, Any]) -> list[str]:
    """The licence files that stand beside a crate's manifest, trailing white space removed."""
    folder = Path(package["manifest_path"]).parent
    named = [folder / package["license_file"]] if package.get("license_file") else []
    found = [path for path in sorted(folder.iterdir()) if path.name.upper().startswith(LICENCE_FILES)]
    files = [path for path in dict.fromkeys(named + found) if path.is_file()]
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in files)
    return ["\n".join(line.rstrip() for line in text.splitlines()).strip() for text in texts]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("target", help="the Rust target that the program was built for")
    parser.add_argument("--list", action="store_true", help="one line per crate: name, version, licence")
    arguments = parser.parse_args()
    packages = resolved(arguments.target)
    unlicensed = [
        package["name"] for package in packages if not (package["license"] or package["license_file"])
    ]
    if unlicensed:
        print(
            f"no licence is named by: {', '.join(unlicensed)}; find it out before shipping", file=sys.stderr
        )
        return 1
    if arguments.list:
        for package in packages:
            print(f"{package['name']} {package['version']}  {package['license'] or package['license_file']}")
        return 0
    crates_of: dict[str, list[str]] = defaultdict(list)
    without_text: list[str] = []
    for package in packages:
        label = f"{package['name']} {package['version']} ({package['license'] or 'see below'})"
        texts = licence_texts(package)
        if not texts:
            authors = "; ".join(package["authors"]) or "no author named"
            without_text.append(f"{label}: {authors}; {package['repository'] or 'no repository named'}")
        for text in texts:
            crates_of[text].append(label)
    print(f"Sinew contains the following {len(packages)} crates. Their licences follow.")
    for text, labels in sorted(crates_of.items(), key=lambda entry: entry[1]):
        print(f"\n{RULE}\n" + "\n".join(labels) + f"\n{RULE}\n\n{text}")
    if without_text:
        print(f"\n{RULE}\nCrates without a licence file; the terms are those that they name\n{RULE}\n")
        print("\n".join(without_text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
