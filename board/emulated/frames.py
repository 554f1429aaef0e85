#!/usr/bin/env python3
"""Frames for the cameras of the tests.

frames.py bare IN.jpg OUT.jpg           a JPEG without its Huffman tables, as many cameras send them
frames.py known OUT.yuyv OUT.y4m        the same images twice: bytes for a driver, and a video
"""

import random
import sys
from pathlib import Path

WIDTH, HEIGHT, FRAMES = 640, 480, 8
# Dark grains, so that every byte is another, and the white spots are the brightest.
DARK = bytes(16 + value % 60 for value in range(256))
GREYISH = bytes(118 + value % 20 for value in range(256))


def bare(source: str, target: str) -> None:
    data = Path(source).read_bytes()
    kept, position = bytearray(data[:2]), 2
    while data[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        kept += b"" if data[position + 1] == 0xC4 else data[position:end]
        position = end
    Path(target).write_bytes(kept + data[position:])


def known(packed_path: str, video_path: str) -> None:
    chance = random.Random(8)
    packed, video = bytearray(), bytearray(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 C422\n".encode())
    for frame in range(FRAMES):
        luma = bytearray(chance.randbytes(WIDTH * HEIGHT).translate(DARK))
        u, v = (chance.randbytes(WIDTH * HEIGHT // 2).translate(GREYISH) for _ in range(2))
        for spot in range(1 + frame % 4):
            left, top = 60 + 130 * spot + 7 * frame, 80 + 90 * spot + 11 * frame
            for row in range(top, top + 40):
                luma[row * WIDTH + left : row * WIDTH + left + 40] = bytes([235]) * 40
        pixels = bytearray(2 * WIDTH * HEIGHT)
        pixels[0::2], pixels[1::4], pixels[3::4] = luma, u, v
        packed += pixels
        video += b"FRAME\n" + luma + u + v
    Path(packed_path).write_bytes(packed)
    Path(video_path).write_bytes(video)


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"bare": bare, "known": known}[command](*paths)
