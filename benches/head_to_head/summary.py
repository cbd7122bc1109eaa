"""summary.md and the plots: all figures of a run, case by case."""

import statistics
from pathlib import Path

import plots
from cases import FIGURES
from cells import NOISY, Cells
from peers import BASELINES, FLOOR, OWN


def write(folder: Path, cells: Cells, about, cases: list) -> None:
    (folder / "plots").mkdir(exist_ok=True)
    measured = [case for case in cases if case.name in cells.cases]
    lines = [
        f"# {about.title()}: summary",
        "",
        "Written by `benches/head_to_head/run.py` from `raw.csv`."
        f" Medians of {about.rounds} interleaved rounds of {about.seconds} s"
        " (wrk: whole seconds).",
        f"~ marks a figure whose rounds differ by more than {NOISY:.0%} of it"
        " ((highest - lowest) / median).",
        "",
        *overview(cells, measured),
    ]
    for name, why in about.left_out.items():
        lines += ["", f"**Not measured: {name}: {why}**"]
    for case in measured:
        lines += ["", f"## {case.name}", "", described(case), ""]
        for column in (case.figure, *case.also):
            if plot := draw(folder, cells, about, case, column):
                lines += [f"![{FIGURES[column]}]({plot})", ""]
        lines += [*detail(cells, case), *missing(cells, case)]
    silent = [case for case in cases if case not in measured]
    if silent:
        lines += ["", "## Cases without a measurement"]
    for case in silent:
        lines += ["", f"### {case.name}", "", described(case), *missing(cells, case)]
    if cells.failed:
        lines += ["", "## Failed measurements", ""]
        for row in cells.failed:
            lines.append(f"- round {row['round']}, {row['case']}, {row['peer']}: {row['failure']}")
    (folder / "summary.md").write_text("\n".join(lines) + "\n")


def overview(cells: Cells, cases: list) -> list[str]:
    """A table for each figure that cases are about: peers against cases."""
    lines = []
    for figure, name in FIGURES.items():
        rows = [
            (case.name, [cells.median(case.name, peer) for peer in cells.peers])
            for case in cases
            if case.figure == figure
        ]
        if not rows:
            continue
        peers = [
            (place, peer)
            for place, peer in enumerate(cells.peers)
            if any(values[place] is not None for _, values in rows)
        ]
        owns = [peer for _, peer in peers if peer.startswith(OWN)]
        head = ["case", *(peer for _, peer in peers), *(f"{peer} x best peer" for peer in owns)]
        lines += [f"## {name[:1].upper()}{name[1:]}", "", table_head(head)]
        for case, values in rows:
            # The floor is no server: nobody can choose it.
            servers = zip(cells.peers, values, strict=True)
            servers = [value for peer, value in servers if value and peer != FLOOR.name]
            best = min(servers, default=None)
            shown = []
            for place, peer in peers:
                mark = " ~" * cells.is_noisy(case, peer)
                is_best = best is not None and values[place] == best
                shown.append(bold(number(values[place]) + mark, is_best))
            for peer in owns:
                shown.append(times(cells.ratio(case, peer, cells.best_peer(case))))
            lines.append(f"| {case} | {' | '.join(shown)} |")
        lines.append("")
    return lines[:-1]


def described(case) -> str:
    def many(count: int, what: str) -> str:
        return f"{count:,} {what}{'s' * (count != 1)}"

    method = f"POST of {many(case.body_bytes, 'byte')} to" if case.body_bytes else "GET"
    life = "closed after each request" if case.close else "kept"
    parts = [
        f"App `{case.app}`, {method} `{case.path}`",
        f"{many(case.connections, 'connection')} {life}",
        many(case.headers, "request header"),
        f"{many(case.workers, 'worker')} of {many(case.threads, 'thread')}",
        f"{case.rate:,} requests/s at random moments" if case.rate else case.load,
        f"cores: {case.cores}",
    ]
    if case.pipeline > 1:
        parts.append(f"{case.pipeline} requests sent together")
    if case.idle:
        parts.append(f"beside {many(case.idle, 'idle connection')}, idle for {case.settle_s} s")
    if case.burns:
        parts.append("beside two requests that compute all the time, on one shard (in the CPU too)")
    if case.logged:
        parts.append("each request logged to a file")
    return f"{', '.join(parts)}."


def draw(folder: Path, cells: Cells, about, case, column: str) -> str:
    rows = []
    for peer in cells.peers:
        values = cells.values(case.name, peer, column)
        if values:
            own = "own" if peer.startswith(OWN) else "floor" if peer == FLOOR.name else "peer"
            mark = " ~" * cells.is_noisy(case.name, peer, column)
            rows.append((peer + mark, own, statistics.median(values), min(values), max(values)))
    if not rows or max(row[4] for row in rows) <= 0:
        return ""
    rows = [(*row[:2], *(max(value, 0.0) for value in row[2:])) for row in rows]
    name = f"plots/{case.name.replace('%', '')}{'' if column == case.figure else '-' + column}.svg"
    below = (
        f"median of {about.rounds} rounds, whiskers: lowest and highest round, ~: they differ by"
        f" more than {NOISY:.0%}; {about.start:%Y-%m-%d}, {about.commit_short()}"
    )
    title = f"{case.name}: {FIGURES[column]}"
    (folder / name).write_text(plots.bars(title, below, FIGURES[column], rows))
    return name


DETAIL = [
    ("user_us_per_request", "user us"), ("system_us_per_request", "system us"),
    ("requests_per_second", "req/s"), ("p50_us", "p50 us"), ("p99_us", "p99 us"),
    ("p999_us", "p99.9 us"), ("pss_kib", "PSS KiB"), ("idle_kib_each", "KiB per idle"),
    ("switched_in_per_request", "switched in per req"), ("reconnects", "reconnects"),
]  # fmt: skip


def detail(cells: Cells, case) -> list[str]:
    columns = [
        (column, name)
        for column, name in DETAIL
        if any(cells.values(case.name, peer, column) for peer in cells.peers)
    ]
    about_cpu = case.figure == "cpu_us_per_request"
    ratios = [peer for peer in BASELINES if about_cpu and cells.median(case.name, peer)]
    head = ["server", "CPU us/req (lowest-highest)", *(f"x {peer}" for peer in ratios)]
    lines = [table_head([*head, *(name for _, name in columns)])]
    for peer in cells.peers:
        cpu = cells.values(case.name, peer, "cpu_us_per_request")
        if not cpu:
            continue
        mark = " ~" * cells.is_noisy(case.name, peer, "cpu_us_per_request")
        shown = [
            f"{number(statistics.median(cpu))}{mark} ({number(min(cpu))}-{number(max(cpu))})",
            *(times(cells.ratio(case.name, peer, other)) for other in ratios),
        ]
        for column, _ in columns:
            mark = " ~" * (column == "p99_us" and cells.is_noisy(case.name, peer, column))
            shown.append(number(cells.median(case.name, peer, column)) + mark)
        lines.append(f"| {peer} | {' | '.join(shown)} |")
    return lines


def missing(cells: Cells, case) -> list[str]:
    """Who is not in the table of a case, and why."""
    found: dict[str, list[str]] = {}
    for (name, peer), why in cells.untimed.items():
        if name == case.name:
            found.setdefault(why, []).append(peer)
    lines = [f"- not timed: {', '.join(peers)}: {why}" for why, peers in found.items()]
    return ["", *lines] if lines else []


def table_head(names: list[str]) -> str:
    return f"| {' | '.join(names)} |\n|---|{'--:|' * (len(names) - 1)}"


def number(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def bold(shown: str, is_best: bool) -> str:
    return f"**{shown}**" if is_best else shown
