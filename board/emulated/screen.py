#!/usr/bin/env python3
"""The image that the board's screens show in tests, and whether they show it.

screen.py make OUT.png                    an image as large as the screens
screen.py compare DRAWN.png SHOT.ppm      a screen that QEMU has photographed
screen.py compare DRAWN.png MEMORY.rgb555 the memory of one with 16 bits a pixel, rows without gaps
"""

import struct
import sys
import zlib
from pathlib import Path

WIDTH, HEIGHT = 720, 576


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make(path):
    rows = bytearray()
    for y in range(HEIGHT):
        rows.append(0)
        for x in range(WIDTH):
            spot = (x % 240 - 120) ** 2 + (y % 288 - 144) ** 2 < 400
            rows += bytes([255, 255, 255] if spot else [x * 200 // WIDTH, y * 200 // HEIGHT, (x ^ y) & 127])
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(rows))), chunk(b"IEND", b"")]
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def png(data):
    """The pixels of an RGB image without interlacing, 3 bytes each."""
    position, packed = 8, b""
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            assert struct.unpack(">IIBBBBB", body) == (WIDTH, HEIGHT, 8, 2, 0, 0, 0), (
                "another kind of image"
            )
        packed += body if kind == b"IDAT" else b""
        position += 12 + length
    raw, size = zlib.decompress(packed), 3 * WIDTH
    above, pixels = bytearray(size), bytearray()
    for y in range(HEIGHT):
        method, *row = raw[y * (size + 1) : (y + 1) * (size + 1)]
        for i in range(size):
            left, up, corner = (row[i - 3] if i >= 3 else 0), above[i], (above[i - 3] if i >= 3 else 0)
            near = min((left, up, corner), key=lambda value: abs(left + up - corner - value))
            row[i] = (row[i] + (0, left, up, (left + up) // 2, near)[method]) & 255
        above = row
        pixels += bytes(row)
    return bytes(pixels)


def compare(drawn, shown):
    drawn, data = png(Path(drawn).read_bytes()), Path(shown).read_bytes()
    if shown.endswith(".ppm"):
        head = f"P6\n{WIDTH} {HEIGHT}\n255\n".encode()
        same = data == head + drawn
    else:
        channels = zip(drawn[::3], drawn[1::3], drawn[2::3])
        pixels = [(r >> 3) << 10 | (g >> 3) << 5 | b >> 3 for r, g, b in channels]
        same = data[: 2 * WIDTH * HEIGHT] == struct.pack(f"<{len(pixels)}H", *pixels)
    return 0 if same else 1


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    sys.exit({"make": make, "compare": compare}[command](*paths))
