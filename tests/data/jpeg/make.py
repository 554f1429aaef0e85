#!/usr/bin/env python3
"""Generates JPEGs that cover what encoders write, with checksums of the pixels that libjpeg-turbo decodes.

    make.py FOLDER            the whole grid: several hundred files
    make.py FOLDER --subset   the small part that is committed beside this script

Needs cjpeg and djpeg (Debian: libjpeg-turbo-progs), NumPy and Pillow. FOLDER/expected.json has for each file
the width, the height, the channels and the SHA-256 of the pixels as djpeg decodes them, or "unsupported" or
"broken" where the file is to be refused.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

# Sampling factors of the three components, as cjpeg's -sample takes them.
SAMPLINGS = {
    "444": "1x1,1x1,1x1",
    "422": "2x1,1x1,1x1",
    "420": "2x2,1x1,1x1",
    "440": "1x2,1x1,1x1",
    "411": "4x1,1x1,1x1",
    "410": "4x2,1x1,1x1",
    "441": "1x4,1x1,1x1",
    "311": "3x1,1x1,1x1",
    "331": "3x3,1x1,1x1",
    # Luma is stored with fewer samples than allowed, or chroma components differ.
    "444-as-22": "2x2,2x2,2x2",
    "444-as-21": "2x1,2x1,2x1",
    "cb-full": "2x2,2x1,1x1",
    "cr-wide": "2x2,1x1,1x2",
    "cb-wide": "2x1,2x1,1x1",
    "luma-half": "1x1,2x2,2x2",
    # 3 is no multiple of 2.
    "fraction": "3x2,2x1,1x1",
}
USUAL = ("444", "422", "420", "440", "411")
SCANS = {
    "interleaved": None,
    "y-cb-cr": "0;\n1;\n2;\n",
    "cb-cr-y": "1;\n2;\n0;\n",
    "cr-y-cb": "2;\n0;\n1;\n",
    "ycb-cr": "0,1;\n2;\n",
    "y-cbcr": "0;\n1,2;\n",
}
# Spectral selection and successive approximation in an unusual order: chroma before luma, luma refined twice.
PROGRESSIVE = {
    "usual": None,
    "selection": "0,1,2: 0-0, 0, 0;\n0: 1-5, 0, 0;\n2: 1-63, 0, 0;\n1: 1-63, 0, 0;\n0: 6-63, 0, 0;\n",
    "separate-dc": "2: 0-0, 0, 0;\n1: 0-0, 0, 0;\n0: 0-0, 0, 0;\n"
    "1: 1-63, 0, 0;\n0: 1-63, 0, 0;\n2: 1-63, 0, 0;\n",
    "refined": "0,1,2: 0-0, 0, 2;\n0: 1-63, 0, 3;\n1: 1-63, 0, 1;\n2: 1-63, 0, 1;\n0: 1-63, 3, 2;\n"
    "0: 1-63, 2, 1;\n0,1,2: 0-0, 2, 1;\n0,1,2: 0-0, 1, 0;\n1: 1-63, 1, 0;\n2: 1-63, 1, 0;\n0: 1-63, 1, 0;\n",
}
# Of the subset, what stands between headers and behind the end.
SMALL_VARIANTS = (
    *(
        "zeros",
        "junk",
        "fill",
        "thumbnail",
        "app14-other",
        "fill-before-end",
        "extended",
        "wide-quantisation",
    ),
    "image-behind",
)
# Of the subset, those that also come with restarts.
RESTARTED = {("420", "y-cb-cr"), ("444", "y-cb-cr"), ("420", "interleaved")}
SIZES = ((64, 48), (61, 45), (33, 17), (17, 33), (8, 8), (7, 5), (1, 1), (2, 1), (1, 19), (95, 3))


def synthetic(width: int, height: int, colour: bool = True) -> np.ndarray:
    """Gradients, edges and texture, in every channel another."""
    rng = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[:height, :width].astype(float)
    planes = [
        255 * x / max(width - 1, 1),
        127 + 120 * np.sin(x / 5) * np.cos(y / 7),
        255 * y / max(height - 1, 1),
    ]
    image = np.stack(planes, -1)
    image[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 4) ** 2] = (230, 40, 30)
    image += rng.normal(0, 6, image.shape)
    image = np.clip(image, 0, 255).astype(np.uint8)
    return image if colour else image[..., 1]


def cjpeg(image: np.ndarray, *options: str, scans: str | None = None) -> bytes:
    """What cjpeg writes of an image. Raises CalledProcessError where the format does not allow it."""
    pnm = io.BytesIO()
    Image.fromarray(image).save(pnm, "PPM")
    with tempfile.NamedTemporaryFile("w", suffix=".scans") as script:
        if scans:
            script.write(scans)
            script.flush()
            options += ("-scans", script.name)
        command = ["cjpeg", "-quality", "90", *options]
        return subprocess.run(command, input=pnm.getvalue(), capture_output=True, check=True).stdout


def djpeg(jpeg: bytes) -> np.ndarray:
    """The pixels that libjpeg-turbo decodes; it may warn, as of bytes between segments."""
    command = ["djpeg", "-pnm"]
    done = subprocess.run(command, input=jpeg, capture_output=True, check=False)
    if done.returncode not in (0, 2) or not done.stdout:
        raise RuntimeError(f"djpeg: {done.stderr.decode()}")
    return np.asarray(Image.open(io.BytesIO(done.stdout)))


def segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of every segment up to the first scan's header."""
    at = 2
    while True:
        marker = jpeg[at + 1]
        end = at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        yield marker, at, end
        if marker == 0xDA:
            return
        at = end


def segment(marker: int, body: bytes) -> bytes:
    """A segment with its marker and length."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def without_tables(jpeg: bytes) -> bytes:
    """The file without its Huffman tables, which must be the standard's."""
    kept = jpeg[:2]
    for marker, start, end in segments(jpeg):
        if marker != 0xC4:
            kept += jpeg[start:end]
    return kept + jpeg[end:]


def before_each(jpeg: bytes, inserted: bytes, markers: tuple[int, ...] = ()) -> bytes:
    """The file with bytes before every segment, or before those of some markers."""
    result = jpeg[:2]
    for marker, start, end in segments(jpeg):
        if not markers or marker in markers:
            result += inserted
        result += jpeg[start:end]
    return result + jpeg[end:]


def remarked(jpeg: bytes, marker: int) -> bytes:
    """The file with another start-of-frame marker."""
    start = next(start for found, start, _ in segments(jpeg) if 0xC0 <= found <= 0xC2)
    return jpeg[: start + 1] + bytes([marker]) + jpeg[start + 2 :]


def one_segment_of_tables(jpeg: bytes, marker: int) -> bytes:
    """The file with all tables of a kind in one segment, where the first stood."""
    bodies = [jpeg[start + 4 : end] for found, start, end in segments(jpeg) if found == marker]
    result, placed = jpeg[:2], False
    for found, start, end in segments(jpeg):
        if found != marker:
            result += jpeg[start:end]
        elif not placed:
            result += segment(marker, b"".join(bodies))
            placed = True
    return result + jpeg[end:]


def wide_quantisation(jpeg: bytes) -> bytes:
    """The file with quantisation tables of 16 bits, as extended sequential."""
    result = jpeg[:2]
    for found, start, end in segments(jpeg):
        part = jpeg[start:end]
        if found == 0xDB:
            body, wide = part[4:], b""
            while body:
                wide += bytes([0x10 | body[0]]) + b"".join(struct.pack(">H", value) for value in body[1:65])
                body = body[65:]
            part = segment(0xDB, wide)
        result += part
    return remarked(result + jpeg[end:], 0xC1)


def coded(jpeg: bytes) -> int:
    """Where the coded data of the first scan begins."""
    return [end for _, _, end in segments(jpeg)][-1]


def files(subset: bool) -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes and verdict ("" where libjpeg-turbo's pixels decide) of every file."""
    size = (37, 27) if subset else (64, 48)
    sizes = (size,) if subset else SIZES
    image = synthetic(*size)

    # Sampling x scans x restarts x tables, sequential.
    for sampling, factors in SAMPLINGS.items():
        for scans, script in SCANS.items():
            for restarts in ("0", "1", "3B"):
                for tables in ("standard", "optimised", "missing"):
                    if subset:
                        usual = sampling in ("420", "444", "411", "cb-full")
                        plain = (scans, restarts) == ("interleaved", "0")
                        if not (usual or plain) or tables == "optimised":
                            continue
                        if (tables == "missing") != (restarts == "3B"):
                            continue
                        if restarts != "0" and (sampling, scans) not in RESTARTED:
                            continue
                        if scans in ("cr-y-cb", "ycb-cr") and sampling != "420":
                            continue
                    elif sampling not in USUAL and (
                        restarts == "3B" or tables == "optimised" or scans == "cr-y-cb"
                    ):
                        continue
                    options = ["-sample", factors, "-restart", restarts]
                    if tables == "optimised":
                        options.append("-optimize")
                    try:
                        jpeg = cjpeg(image, *options, scans=script)
                    except subprocess.CalledProcessError:
                        continue  # more blocks in a scan than the format allows
                    if tables == "missing":
                        jpeg = without_tables(jpeg)
                    yield f"seq-{sampling}-{scans}-r{restarts}-{tables}", jpeg, ""

    # Progressive.
    for sampling, factors in SAMPLINGS.items():
        for scans, script in PROGRESSIVE.items():
            for restarts in ("0", "1"):
                if subset and (sampling not in ("420", "411") or (restarts == "1" and scans != "refined")):
                    continue
                try:
                    options = [
                        "-sample",
                        factors,
                        "-restart",
                        restarts,
                        *([] if script else ["-progressive"]),
                    ]
                    jpeg = cjpeg(image, *options, scans=script)
                except subprocess.CalledProcessError:
                    continue
                yield f"prog-{sampling}-{scans}-r{restarts}", jpeg, ""

    # Odd sizes.
    for width, height in sizes if not subset else ((1, 1), (7, 5)):
        for sampling in USUAL if not subset else ("420",):
            for name, options, script in (
                ("seq", (), None),
                ("scans", (), SCANS["y-cb-cr"]),
                ("prog", ("-progressive",), None),
                ("restart", ("-restart", "1"), None),
            ):
                if subset and name in ("prog", "restart"):
                    continue
                jpeg = cjpeg(synthetic(width, height), "-sample", SAMPLINGS[sampling], *options, scans=script)
                yield f"size-{width}x{height}-{sampling}-{name}", jpeg, ""

    # One, three and four components in other colour spaces.
    grey = synthetic(*size, colour=False)
    for name, options in (
        ("seq", ()),
        ("22", ("-sample", "2x2")),
        ("41", ("-sample", "4x1")),
        ("prog", ("-progressive",)),
        ("restart", ("-restart", "1B")),
        ("prog22", ("-progressive", "-sample", "2x2")),
    ):
        if not subset or name in ("22", "restart"):
            yield f"grey-{name}", cjpeg(grey, *options), ""
    for name, options in (("seq", ()), ("prog", ("-progressive",)), ("restart", ("-restart", "1"))):
        if not subset or name == "seq":
            rgb = cjpeg(image, "-rgb", *options)
            yield f"rgb-ids-{name}", rgb, ""
    rgb = cjpeg(image, "-rgb")
    adobe = segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0))
    yield "rgb-adobe", before_each(rgb, adobe, (0xC0,)), ""
    # RGB by Adobe's segment alone: the components have the names of luma and chroma, and nothing says JFIF.
    ycc = cjpeg(image)
    yield "rgb-adobe-123", before_each(ycc[:2] + ycc[20:], adobe, (0xC0,)), ""
    yield "jfif-adobe-123", before_each(ycc, adobe, (0xC0,)), ""
    if not subset:
        yield "rgb-scans", cjpeg(image, "-rgb", scans=SCANS["y-cb-cr"]), ""
    for quality in (40, 100):
        if not subset:
            yield f"quality-{quality}", cjpeg(image, "-quality", str(quality)), ""
            yield f"quality-{quality}-prog", cjpeg(image, "-quality", str(quality), "-progressive"), ""
    cmyk = io.BytesIO()
    Image.fromarray(image).convert("CMYK").save(cmyk, "JPEG", quality=90)
    yield "cmyk", cmyk.getvalue(), "unsupported"
    yield "ycck", cmyk.getvalue().replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\x02"), "unsupported"

    # What stands between headers, and behind the end.
    for kind, options in (("seq", ()), ("prog", ("-progressive",)), ("scans", None)):
        if subset and kind != "seq":
            continue
        script = SCANS["y-cb-cr"] if options is None else None
        plain = cjpeg(image, *(options or ()), scans=script)
        variants = {
            "comments": before_each(plain, segment(0xFE, b"a comment")),
            "applications": before_each(
                plain, segment(0xE5, b"\xff\xd8\xff\xda\xff\xd9") + segment(0xE2, b"x" * 300)
            ),
            "fill": before_each(plain, b"\xff\xff\xff"),
            "zeros": before_each(plain, b"\0\0"),
            "junk": before_each(plain, b"\0\x12\x34"),
            "junk-once": before_each(plain, b"abcd", (0xC4,)),
            "thumbnail": before_each(plain, segment(0xE1, b"Exif\0\0" + plain[:600]), (0xDB,)),
            "app14-other": before_each(plain, segment(0xEE, b"XAP\0whatever it is")),
            "adobe-ycc": before_each(
                plain, segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 1)), (0xDB,)
            ),
            "two-ends": plain + b"\xff\xd9",
            "zeros-behind": plain + bytes(500),
            "image-behind": plain + plain,
            "fill-before-end": plain[:-2] + b"\xff\xff\xff" + plain[-2:],
            "one-dht": one_segment_of_tables(plain, 0xC4),
            "one-dqt": one_segment_of_tables(plain, 0xDB),
            "no-jfif": plain[:2] + plain[20:],
            "restarts-off": before_each(plain, segment(0xDD, b"\0\0")),
        }
        if kind != "prog":
            variants["extended"] = remarked(plain, 0xC1)
            variants["wide-quantisation"] = wide_quantisation(plain)
        for name, jpeg in variants.items():
            if not subset or name in SMALL_VARIANTS:
                yield f"between-{kind}-{name}", jpeg, ""
    # Standard tables that the file brings only for some, and tables that change between scans.
    plain = cjpeg(image)
    dht = [(start, end) for marker, start, end in segments(plain) if marker == 0xC4]
    if not subset:
        for number, (start, end) in enumerate(dht):
            yield f"tables-lacks-{number}", plain[:start] + plain[end:], ""
    # djpeg takes the number of rows from the frame's header; a file that gives it after the scan has 0 there.
    rows = next(start for marker, start, _ in segments(plain) if marker == 0xC0) + 5
    dnl = (
        plain[:rows] + b"\0\0" + plain[rows + 2 : -2] + segment(0xDC, struct.pack(">H", size[1])) + plain[-2:]
    )
    yield "dnl", dnl, "unsupported"

    # What is a JPEG and refused by its name.
    yield "arithmetic", cjpeg(image, "-arithmetic"), "unsupported"
    yield "arithmetic-prog", cjpeg(image, "-arithmetic", "-progressive"), "unsupported"
    yield "lossless", remarked(plain, 0xC3), "unsupported"
    yield "hierarchical", remarked(plain, 0xC5), "unsupported"
    twelve = next(start for marker, start, _ in segments(plain) if marker == 0xC0) + 4
    yield "twelve-bits", remarked(plain[:twelve] + b"\x0c" + plain[twelve + 1 :], 0xC1), "unsupported"
    components = next(start for marker, start, _ in segments(plain) if marker == 0xC0)
    two = segment(
        0xC0, plain[components + 4 : components + 9] + b"\x02" + plain[components + 10 : components + 16]
    )
    yield "two-components", plain[:components] + two + plain[components + 19 :], "unsupported"

    # Broken.
    for kind, options in (("seq", ()), ("prog", ("-progressive",)), ("restart", ("-restart", "1"))):
        if subset and kind == "prog":
            continue
        jpeg = cjpeg(image, *options)
        at = coded(jpeg)
        yield f"broken-{kind}-cut-in-scan", jpeg[: (at + len(jpeg)) // 2], "broken"
        yield f"end-missing-{kind}", jpeg[:-2], ""
        yield f"broken-{kind}-cut-in-header", jpeg[: at - 30], "broken"
        yield f"broken-{kind}-ends-early", jpeg[: (at + len(jpeg)) // 2] + b"\xff\xd9", "broken"
        if not subset:
            parts = [(marker, jpeg[start:end]) for marker, start, end in segments(jpeg)]
            for lack, markers in (("quantisation", (0xDB,)), ("frame", (0xC0, 0xC1, 0xC2))):
                kept = b"".join(part for marker, part in parts if marker not in markers)
                yield f"broken-{kind}-no-{lack}", jpeg[:2] + kept + jpeg[at:], "broken"
            yield f"broken-{kind}-no-scan", jpeg[: at - len(parts[-1][1])] + b"\xff\xd9", "broken"
    scans = cjpeg(image, scans=SCANS["y-cb-cr"])
    last = scans.rindex(b"\xff\xda")
    yield "broken-scan-missing", scans[:last] + b"\xff\xd9", "broken"


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--subset", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    expected: dict[str, object] = {}
    for name, jpeg, verdict in files(arguments.subset):
        assert name not in expected, name
        (arguments.folder / f"{name}.jpg").write_bytes(jpeg)
        if verdict:
            expected[name] = verdict
        else:
            pixels = djpeg(jpeg)
            height, width, *channels = pixels.shape
            checksum = hashlib.sha256(pixels.tobytes()).hexdigest()
            expected[name] = [width, height, channels[0] if channels else 1, checksum]
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in expected.items())
    (arguments.folder / "expected.json").write_text(f"{{\n{lines}\n}}\n")
    refused = sum(isinstance(value, str) for value in expected.values())
    print(f"{len(expected)} files, {refused} of them to be refused")


if __name__ == "__main__":
    main()
