"""Bar charts as SVG: the median of each peer as a bar, lowest and highest round as a whisker."""

import math
from html import escape

WIDTH, LABEL, RIGHT = 760, 190, 110
ROW, TOP, BOTTOM = 26, 56, 52
COLORS = {"own": "#1f6feb", "peer": "#8c959f", "floor": "#c9d1d9"}
FONT = "font-family='system-ui, -apple-system, Segoe UI, sans-serif'"


def bars(title: str, below: str, axis: str, rows: list[tuple]) -> str:
    """`rows`: name, kind (own, peer, floor), median, lowest, highest."""
    height = TOP + ROW * len(rows) + BOTTOM
    step, end = scale(max(row[4] for row in rows))
    room = WIDTH - LABEL - RIGHT

    def x(value: float) -> float:
        return LABEL + value / end * room

    bottom = TOP + ROW * len(rows)
    out = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}'"
        f" width='{WIDTH}' height='{height}' role='img' {FONT}>",
        f"<title>{escape(title)}</title>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        text(16, 24, title, size=15, weight="600"),
        text(16, 43, below, size=11, color="#57606a"),
    ]
    for number in range(round(end / step) + 1):
        at = x(number * step)
        out.append(line(at, TOP - 4, at, bottom, "#eaeef2"))
        out.append(text(at, bottom + 16, plain(number * step), size=11, anchor="middle"))
    for index, (name, kind, median, lowest, highest) in enumerate(rows):
        y = TOP + ROW * index
        middle = y + ROW / 2
        out.append(text(LABEL - 8, middle + 4, name, size=12, anchor="end"))
        out.append(
            f"<rect x='{LABEL}' y='{y + 5}' width='{x(median) - LABEL:.1f}' height='{ROW - 10}'"
            f" fill='{COLORS[kind]}'/>"
        )
        out.append(line(x(lowest), middle, x(highest), middle, "#24292f"))
        for end_of_whisker in (lowest, highest):
            at = x(end_of_whisker)
            out.append(line(at, middle - 4, at, middle + 4, "#24292f"))
        out.append(text(x(highest) + 8, middle + 4, plain(median), size=12))
    out.append(line(LABEL, TOP - 4, LABEL, bottom, "#57606a"))
    out.append(text(LABEL + room / 2, bottom + 38, axis, size=12, anchor="middle"))
    return "\n".join([*out, "</svg>", ""])


def scale(highest: float) -> tuple[float, float]:
    """The distance of the grid's lines, and where the axis ends."""
    rough = max(highest, 1e-9) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough)
    return step, step * math.ceil(highest / step)


def plain(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def text(x, y, content, size=12, anchor="start", weight="400", color="#24292f") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}'"
        f" font-weight='{weight}' fill='{color}'>{escape(content)}</text>"
    )


def line(x1, y1, x2, y2, color) -> str:
    return f"<path d='M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}' stroke='{color}'/>"
