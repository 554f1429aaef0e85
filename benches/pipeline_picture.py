"""The picture of docs/performance.md: throughput and age against people and cameras."""

from __future__ import annotations

# A count, and milliseconds of the build before and of this one: a frame, and the age of 99 of 100 frames.
Point = tuple[int, list[float], list[float]]

WIDTH, HEIGHT = 360, 220
LEFT, TOP, RIGHT, BOTTOM = 52, 34, 12, 40
COLOURS = ("#999999", "#0b6fa4")


def ceiling(value: float) -> float:
    """A round number above."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200) if value <= 5.5 * step)
    return float(step * int(value / step + 1))


def panel(place: tuple[int, int], title: str, below: str, points: list[tuple[int, list[float]]]) -> list[str]:
    """One diagram: a line for each build."""
    x0, y0 = place[0] * WIDTH, place[1] * HEIGHT
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    counts = [count for count, _ in points]
    top = ceiling(max(max(values) for _, values in points))

    def at(count: float, value: float) -> tuple[float, float]:
        share = (count - counts[0]) / (counts[-1] - counts[0])
        return x0 + LEFT + share * inner_width, y0 + TOP + (1 - value / top) * inner_height

    lines = [f'<text x="{x0 + LEFT}" y="{y0 + TOP - 12}" class="title">{title}</text>']
    for tick in range(5):
        value = top * tick / 4
        _, y = at(counts[0], value)
        lines.append(
            f'<line x1="{x0 + LEFT}" x2="{x0 + WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        )
        lines.append(f'<text x="{x0 + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for count in counts:
        x, _ = at(count, 0)
        lines.append(f'<text x="{x:.1f}" y="{y0 + HEIGHT - BOTTOM + 16}" text-anchor="middle">{count}</text>')
    lines.append(
        f'<text x="{x0 + LEFT + inner_width / 2}" y="{y0 + HEIGHT - 8}" text-anchor="middle">{below}</text>'
    )
    for side, colour in enumerate(COLOURS):
        places = [at(count, values[side]) for count, values in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in places]
    return lines


def draw(people: list[Point], cameras: list[Point], base: str) -> str:
    """An SVG of four diagrams."""
    rates = [
        [(count, [1e3 / value for value in each]) for count, each, _ in points]
        for points in (people, cameras)
    ]
    ages = [[(count, age) for count, _, age in points] for points in (people, cameras)]
    below = ("people, one fast camera", "cameras of 30 frames a second, 5 people")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {2 * HEIGHT + 30}" '
        'font-family="sans-serif" font-size="11" fill="#333333">',
        "<style>.title{font-weight:bold;font-size:12px}.grid{stroke:#dddddd}</style>",
        f'<rect width="{2 * WIDTH}" height="{2 * HEIGHT + 30}" fill="#ffffff"/>',
    ]
    for column in (0, 1):
        lines += panel((column, 0), "frames a second", below[column], rates[column])
        lines += panel((column, 1), "age that 99 of 100 results are below, ms", below[column], ages[column])
    for side, name in enumerate((f"in turns ({base})", "in two lanes (this build)")):
        x, y = LEFT + side * WIDTH, 2 * HEIGHT + 14
        lines.append(
            f'<line x1="{x}" x2="{x + 24}" y1="{y}" y2="{y}" stroke="{COLOURS[side]}" stroke-width="3"/>'
        )
        lines.append(f'<text x="{x + 30}" y="{y + 4}">{name}</text>')
    return "\n".join([*lines, "</svg>", ""])
