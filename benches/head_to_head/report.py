"""Writes a run down: raw.csv's columns, summary.md, README.md and the index of bench-results/."""

import csv
import datetime
import os
import platform
import re
import shlex
import statistics
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tables import BASELINES, FLOOR, OWN, Peer

ROOT = Path(__file__).resolve().parent.parent.parent

COLUMNS = [
    "round", "case", "peer", "cpu_us_per_request", "requests_per_second", "p50_us", "p99_us",
    "p999_us", "pss_kib", "switched_in_per_request", "requests", "seconds", "errors", "hung",
    "reconnects", "cpu_ns", "cpu_source", "processes", "threads", "load_average", "time",
    "failure",
]  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """A peer that could be installed."""

    row: Peer
    venv: Path
    minor: str
    version: str


class About:
    """What README.md says besides the figures; taken before the run."""

    def __init__(self, args, argv: list[str], peers: list[Measured], left_out: dict[str, str]):
        self.question = args.question
        self.rounds, self.seconds, self.warmup = args.rounds, args.seconds, args.warmup
        self.command = shlex.join(["python3", "benches/head_to_head/run.py", *shown(argv[1:])])
        self.commit = first_line(["git", "-C", ROOT, "rev-parse", "--short=10", "HEAD"])
        if first_line(["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no"]):
            self.commit += ", with changes that were not committed"
        self.peers, self.left_out = peers, left_out
        self.start = datetime.datetime.now(datetime.UTC)


def shown(argv: list[str]) -> list[str]:
    """Paths as they are seen from the repository: another machine has others."""
    return [
        re.sub(r"^(--[a-z]+=)?(/.*)", lambda found: (found[1] or "") + relative(found[2]), word)
        for word in argv
    ]


def relative(path: str) -> str:
    return os.path.relpath(path, ROOT)


def first_line(command: list) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (ended.stdout.strip().splitlines() or [""])[0]


def new_folder(out: Path, question: str) -> Path:
    """A folder of its own for each run: nothing is ever written over."""
    slug = re.sub(r"[^a-z0-9]+", "-", question.lower()).strip("-")
    name = f"{datetime.date.today().isoformat()}-{slug}"
    for number in range(1, 1000):
        folder = out / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise SystemExit(f"run.py: {out} has too many runs of this name today")


def write(folder: Path, about: About, cases: list) -> bool:
    """Writes what raw.csv says; false, and nothing, when it says nothing."""
    with (folder / "raw.csv").open(newline="") as file:
        cells = Cells(list(csv.DictReader(file)))
    if not cells.rows:
        return False
    (folder / "summary.md").write_text(summary(cells, about, cases))
    answer = headline(cells)
    (folder / "README.md").write_text(readme(cells, about, " ".join([answer, *details(cells)])))
    index(folder, answer)
    return True


class Cells:
    """The measurements by case and peer, without the failed ones."""

    def __init__(self, rows: list[dict]):
        self.rows = rows
        self.failed = [row for row in rows if row["failure"]]
        self.by_cell = defaultdict(list)
        for row in rows:
            if not row["failure"]:
                self.by_cell[row["case"], row["peer"]].append(row)
        self.cases = list(dict.fromkeys(row["case"] for row in rows))
        self.peers = list(dict.fromkeys(row["peer"] for row in rows))

    def values(self, case: str, peer: str | None, column: str) -> list[float]:
        return [float(row[column]) for row in self.by_cell.get((case, peer), [])]

    def median(
        self, case: str, peer: str | None, column: str = "cpu_us_per_request"
    ) -> float | None:
        values = self.values(case, peer, column)
        return statistics.median(values) if values else None

    def ratio(self, case: str, peer: str, base: str | None) -> float | None:
        own, other = self.median(case, peer), self.median(case, base)
        return own / other if own and other else None

    def best_peer(self, case: str) -> str | None:
        # The floor is no server: nobody can choose it.
        others = [peer for peer in self.peers if peer != FLOOR.name]
        peers = [peer for peer in others if not peer.startswith(OWN)]
        peers = [peer for peer in peers if self.median(case, peer)]
        return min(peers, key=lambda peer: self.median(case, peer), default=None)

    def spreads(self) -> list[float]:
        """(highest - lowest) / median of each cell."""
        found = []
        for case, peer in self.by_cell:
            values = self.values(case, peer, "cpu_us_per_request")
            if len(values) > 1:
                found.append((max(values) - min(values)) / statistics.median(values))
        return sorted(found)


def summary(cells: Cells, about: About, cases: list) -> str:
    rounds = sorted({int(row["round"]) for row in cells.rows})
    lines = [
        f"# {sentence_case(about.question)}: summary",
        "",
        "Written by `benches/head_to_head/run.py` from `raw.csv`."
        f" Medians of {len(rounds)} interleaved rounds of {about.seconds} s.",
        "A case is named by: connections kept or closed after each request, how many at a time,"
        " request headers (h), workers (w); server and generator on the same core, or apart.",
        "",
        "## Server CPU per request, us",
        "",
        table_head(["case", *cells.peers, *(f"{own} x best peer" for own in owns(cells))]),
    ]
    for case in cells.cases:
        found = [cells.median(case, peer) for peer in cells.peers]
        best = min((cpu for cpu in found if cpu), default=None)
        shown_cells = [bold(us(cpu), cpu is not None and cpu == best) for cpu in found]
        for own in owns(cells):
            shown_cells.append(times(cells.ratio(case, own, cells.best_peer(case))))
        lines.append(f"| {case} | {' | '.join(shown_cells)} |")
    for name, why in about.left_out.items():
        lines += ["", f"**Not measured: {name}: {why}**"]
    for case in cases:
        if case.name in cells.cases:
            lines += ["", f"## {case.name}", "", *detail(cells, case)]
    if cells.failed:
        lines += ["", "## Failed measurements", ""]
        for row in cells.failed:
            lines.append(f"- round {row['round']}, {row['case']}, {row['peer']}: {row['failure']}")
    return "\n".join(lines) + "\n"


def detail(cells: Cells, case) -> list[str]:
    lines = [
        f"App `{case.app}`, {case.connections} connection{'s' * (case.connections > 1)}"
        f" {'each closed after one request' if case.close else 'kept'}, {case.headers} request"
        f" header{'s' * (case.headers > 1)}, {case.workers} worker{'s' * (case.workers > 1)} of"
        f" {case.threads} thread{'s' * (case.threads > 1)}, cores: {case.cores}.",
        "",
        table_head(
            ["server", "CPU us/req (lowest-highest)", *(f"x {base}" for base in BASELINES),
             "req/s", "p50 us", "p99 us", "p99.9 us", "PSS MiB", "switched in per req",
             "reconnects per req"]
        ),
    ]  # fmt: skip
    for peer in cells.peers:
        cpu = cells.values(case.name, peer, "cpu_us_per_request")
        if not cpu:
            lines.append(f"| {peer} | {' | '.join(['-'] * (8 + len(BASELINES)))} |")
            continue

        def median(column: str, name: str = peer) -> float:
            return cells.median(case.name, name, column)

        ratios = [times(cells.ratio(case.name, peer, base)) for base in BASELINES]
        requests = max(median("requests"), 1)
        lines.append(
            f"| {peer} | {us(statistics.median(cpu))} ({us(min(cpu))}-{us(max(cpu))}) |"
            f" {' | '.join(ratios)} | {median('requests_per_second'):.0f} |"
            f" {median('p50_us'):.0f} | {median('p99_us'):.0f} | {median('p999_us'):.0f} |"
            f" {median('pss_kib') / 1024:.1f} | {median('switched_in_per_request'):.2f} |"
            f" {median('reconnects') / requests:.2g} |"
        )
    return lines


def headline(cells: Cells) -> str:
    """The answer in one plain sentence."""
    parts = []
    for own in owns(cells):
        ratios = []
        for base in BASELINES:
            found = [ratio for case in cells.cases if (ratio := cells.ratio(case, own, base))]
            if found:
                ratios.append(f"{times(statistics.median(found))} x {base}'s")
        if ratios:
            parts.append(f"{own} takes {' and '.join(ratios)} server CPU per request")
    if parts:
        count = len(cells.cases)
        return f"{', '.join(parts)} (median of {count} case{'s' * (count > 1)})."
    case = next((case for case in cells.cases if "keep-64-" in case), cells.cases[0])
    order = [(cells.median(case, peer), peer) for peer in cells.peers]
    order = [f"{peer} {us(cpu)} us" for cpu, peer in sorted(o for o in order if o[0])]
    why = "has nothing to be compared with" if owns(cells) else "was not measured"
    return f"uwring {why}; server CPU per request in {case}: {', '.join(order) or 'none'}."


def owns(cells: Cells) -> list[str]:
    """The rows of uwring that were measured."""
    rows = [peer for peer in cells.peers if peer.startswith(OWN)]
    return [peer for peer in rows if any(cells.median(case, peer) for case in cells.cases)]


def details(cells: Cells) -> list[str]:
    """The same by the best peer of each case, the bad news included."""
    sentences = []
    for own in owns(cells):
        best = {case: cells.best_peer(case) for case in cells.cases}
        ratios = {
            case: ratio
            for case, peer in best.items()
            if peer and (ratio := cells.ratio(case, own, peer))
        }
        if not ratios:
            continue
        cases = f"{len(ratios)} case{'s' * (len(ratios) > 1)}"
        behind = [
            f"{case} ({times(ratio)} x {best[case]})"
            for case, ratio in ratios.items()
            if ratio >= 1
        ]
        if behind:
            sentences.append(
                f"In {len(behind)} of {cases} {own} is not ahead of the best peer:"
                f" {', '.join(behind)}."
            )
        else:
            case = max(ratios, key=ratios.get)
            sentences.append(
                f"In all of {cases} {own} is ahead of the best peer; nearest is {case}"
                f" ({times(ratios[case])} x {best[case]})."
            )
    if cells.failed:
        count = len(cells.failed)
        sentences.append(
            f"{count} of {len(cells.rows)} measurements failed and are not in this."
        )
    return sentences


def readme(cells: Cells, about: About, answer: str) -> str:
    loads = [float(row["load_average"]) for row in cells.rows]
    spreads = cells.spreads()
    noise = (
        f"load average {min(loads):.1f} to {max(loads):.1f},"
        f" median {statistics.median(loads):.1f}"
    )
    if spreads:
        noise += (
            "; (highest - lowest) / median over the rounds of a cell:"
            f" {statistics.median(spreads):.0%} in the median cell,"
            f" {spreads[int(len(spreads) * 0.9)]:.0%} at the 90th percentile,"
            f" {spreads[-1]:.0%} in the worst"
        )
    lines = [
        f"# {sentence_case(about.question)}",
        "",
        answer,
        "",
        f"- **Question**: {about.question}",
        f"- **Commit**: {about.commit or 'unknown'}",
        f"- **Command**: `{about.command}`",
        f"- **When**: {about.start:%Y-%m-%d %H:%M} UTC; {about.rounds} interleaved rounds of"
        f" {about.seconds} s each after {about.warmup} s of warm-up",
        f"- **Machine**: {machine()}",
        f"- **Noise**: {noise}",
        "",
        "The figures are in [summary.md](summary.md), each measurement in [raw.csv](raw.csv); the"
        " method is told in [benches/head_to_head](../../benches/head_to_head/README.md).",
        "",
        "## Versions and commands",
        "",
        "| server | version | Python | command | remark |\n|---|---|---|---|---|",
    ]
    for peer in about.peers:
        row = peer.row
        version = peer.version or "unknown"
        lines.append(f"| {row.name} | {version} | {peer.minor} | `{row.command}` | {row.note} |")
    for name, why in about.left_out.items():
        lines += ["", f"**Not measured: {name}: {why}**"]
    return "\n".join(lines) + "\n"


def machine() -> str:
    model = first_line(["sed", "-n", "s/^model name[^:]*: //p", "/proc/cpuinfo"])
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    virtual = " hypervisor " in f"{Path('/proc/cpuinfo').read_text()} ".replace("\n", " ")
    return (
        f"{model or platform.machine()}, {os.cpu_count()} cores{' (virtual)' * virtual},"
        f" {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"
    )


def index(folder: Path, answer: str) -> None:
    """One line for each folder; the lines of others stay as they are."""
    path = folder.parent / "README.md"
    text = path.read_text() if path.exists() else (
        "# Results of benches\n\nOne folder for each question. Raw figures are never edited, and"
        " bad news stays.\n\n"
    )  # fmt: skip
    line = f"- [{folder.name}]({folder.name}/README.md): {answer}"
    kept = [old for old in text.splitlines() if not old.startswith(f"- [{folder.name}](")]
    path.write_text("\n".join([*kept, line]) + "\n")


def scrubbed(text: str) -> str:
    """What others said, without the paths and addresses of this machine."""
    for path in (str(ROOT), str(Path.home())):
        text = text.replace(path + "/", "")
    return re.sub(r"\w+://\S+", "(address)", text)


def sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def table_head(names: list[str]) -> str:
    return f"| {' | '.join(names)} |\n|---|{'--:|' * (len(names) - 1)}"


def us(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 100 else f"{value:.1f}"


def times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def bold(text: str, is_best: bool) -> str:
    return f"**{text}**" if is_best else text
