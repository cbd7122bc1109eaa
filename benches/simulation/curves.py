"""Curves as SVG, with a logarithmic height: the same look as the bars of head_to_head/plots.py."""

import math

from plots import FONT, line, plain, text

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 44, 48
COLORS = ("#cf222e", "#1f6feb", "#8c959f")
# Below this a wait is none.
LEAST = 0.001


def lines(title: str, x_name: str, y_name: str, series: dict[str, list[tuple]]) -> str:
    """Each series is a list of (x, y); the places of x are evenly spaced."""
    places = sorted({x for points in series.values() for x, _ in points})
    highest = max(max(y for _, y in points) for points in series.values())
    top, low = math.ceil(math.log10(max(highest, LEAST * 10))), math.log10(LEAST)

    def at_x(x) -> float:
        share = places.index(x) / max(len(places) - 1, 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def at_y(y: float) -> float:
        share = (math.log10(max(y, LEAST)) - low) / (top - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    out = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}'"
        f" width='{WIDTH}' height='{HEIGHT}' role='img' {FONT}>",
        f"<title>{title}</title>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>",
        text(16, 24, title, size=14, weight="600"),
    ]
    for power in range(round(low), top + 1):
        y = at_y(10**power)
        out.append(line(LEFT, y, WIDTH - RIGHT, y, "#eaeef2"))
        out.append(text(LEFT - 6, y + 4, plain(10**power), size=11, anchor="end"))
    for x in places:
        out.append(text(at_x(x), HEIGHT - BOTTOM + 16, plain(x), size=11, anchor="middle"))
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    out.append(text(middle, HEIGHT - 10, f"{x_name} ({y_name} upwards)", anchor="middle"))
    for color, (name, points) in zip(COLORS, series.items(), strict=False):
        path = "L".join(f"{at_x(x):.1f} {at_y(y):.1f}" for x, y in sorted(points))
        out.append(f"<path d='M{path}' fill='none' stroke='{color}' stroke-width='2'/>")
    ends = sorted((at_y(max(points)[1]), name) for name, points in series.items())
    label_y = 0.0
    for y, name in ends:
        label_y = max(y + 4, label_y + 14)
        color = COLORS[list(series).index(name)]
        out.append(text(WIDTH - RIGHT + 8, label_y, name, size=12, color=color))
    return "\n".join([*out, "</svg>", ""])
