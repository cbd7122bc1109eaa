"""Writes a run down: raw.csv's columns, README.md and the index of bench-results/."""

import csv
import datetime
import os
import platform
import re
import shlex
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

import summary
from cells import NOISY, Cells
from peers import BASELINES, DIRECT, PEERS, Peer

ROOT = Path(__file__).resolve().parent.parent.parent
# Rounds from which on a figure may be quoted.
ROUNDS_TO_QUOTE = 7

COLUMNS = [
    "round", "case", "peer", "cpu_us_per_request", "user_us_per_request",
    "system_us_per_request", "requests_per_second", "p50_us", "p99_us", "p999_us", "pss_kib",
    "idle_kib_each", "idle_kept", "switched_in_per_request", "requests", "seconds", "errors",
    "hung", "reconnects", "cpu_ns", "cpu_source", "processes", "threads", "load_average", "time",
    "failure", "untimed",
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

    def title(self) -> str:
        text = self.question.replace("-", " ")
        return text[:1].upper() + text[1:]

    def commit_short(self) -> str:
        return self.commit.split(",")[0]


def shown(argv: list[str]) -> list[str]:
    """Paths as seen from the repository, or their last part: other machines have others."""
    return [
        re.sub(r"^(--[a-z]+=)?(/.*)", lambda found: (found[1] or "") + relative(found[2]), word)
        for word in argv
    ]


def relative(path: str) -> str:
    inside = os.path.relpath(path, ROOT)
    return os.path.basename(path) if inside.startswith("..") else inside


def first_line(command: list) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ((ended.stdout + ended.stderr).strip().splitlines() or [""])[0]


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
    """Writes what raw.csv says; false, and no more than that, when nothing was measured."""
    with (folder / "raw.csv").open(newline="") as file:
        cells = Cells(list(csv.DictReader(file)), cases)
    if not cells.rows:
        return False
    # An interrupted run has fewer rounds than were asked for.
    about.rounds = max(int(row["round"]) for row in cells.rows)
    summary.write(folder, cells, about, cases)
    answer = headline(cells)
    (folder / "README.md").write_text(readme(cells, about, " ".join([answer, *details(cells)])))
    index(folder, answer)
    return True


def headline(cells: Cells) -> str:
    """The answer in one plain sentence."""
    cases = [case for case in cells.cases if cells.figure_of[case] == "cpu_us_per_request"]
    parts = []
    for own in main_rows(cells):
        ratios = []
        for base in BASELINES:
            found = [ratio for case in cases if (ratio := cells.ratio(case, own, base))]
            if found:
                count = f"{len(found)} case{'s' * (len(found) > 1)}"
                ratios.append(f"{times(statistics.median(found))} x {base}'s ({count})")
        if ratios:
            parts.append(f"{own} takes {' and '.join(ratios)} server CPU per request")
    if parts:
        return f"{'; '.join(parts)} (median of the cases)."
    case = cells.cases[0] if cells.cases else ""
    order = [(cells.median(case, peer), peer) for peer in cells.peers] if case else []
    order = [f"{peer} {value:.4g}" for value, peer in sorted(o for o in order if o[0])]
    return f"{cells.figure_of[case] if case else 'nothing'} in {case}: {', '.join(order) or '-'}."


def main_rows(cells: Cells) -> list[str]:
    """The rows of uwring that are in most cases, or those that there are."""
    main = [peer.name for peer in PEERS if peer.groups == DIRECT]
    return [own for own in cells.owns() if own in main] or cells.owns()


def details(cells: Cells) -> list[str]:
    """The same by the best peer of each case, the bad news included."""
    sentences = []
    for own in main_rows(cells):
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
        sentences.append(
            f"{len(cells.failed)} of {len(cells.rows)} measurements failed and are not in this."
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
            f" {spreads[-1]:.0%} in the worst;"
            f" {sum(spread > NOISY for spread in spreads)} of {len(spreads)} cells are marked"
        )
    lines = [
        f"# {about.title()}",
        "",
        answer,
        "",
    ]
    if about.rounds < ROUNDS_TO_QUOTE:
        lines += [f"**A trial: {about.rounds} rounds are too few to be quoted.**", ""]
    lines += [
        f"- **Question**: {about.question}",
        f"- **Commit**: {about.commit or 'unknown'}",
        f"- **Command**: `{about.command}`",
        f"- **When**: {about.start:%Y-%m-%d %H:%M} UTC; {about.rounds} interleaved rounds of"
        f" {about.seconds} s each after {about.warmup} s of warm-up",
        f"- **Machine**: {machine()}",
        f"- **Mitigations**: {mitigations()}",
        f"- **Tools**: {tools()}",
        f"- **Noise**: {noise}",
        "",
        "The figures are in [summary.md](summary.md), each measurement in [raw.csv](raw.csv); the"
        " method is told in [benches/head_to_head](../../benches/head_to_head/README.md).",
        "",
        "## Versions and commands",
        "",
        "| server | version | Python | command | without, with a request log | remark |",
        "|---|---|---|---|---|---|",
    ]
    for peer in about.peers:
        row = peer.row
        version = peer.version or "unknown"
        log = f"`{row.quiet or ' '}`, `{row.logged or ' '}`" if "{log}" in row.command else ""
        before = f" `{row.nginx}`" if row.nginx else ""
        lines.append(
            f"| {row.name} | {version} | {peer.minor} | `{row.command}` | {log} |"
            f" {row.note}{before} |"
        )
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


def mitigations() -> str:
    """What the kernel does against faults of the processor: it costs in each system call."""
    folder = Path("/sys/devices/system/cpu/vulnerabilities")
    found = []
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        state = file.read_text().strip()
        if state != "Not affected":
            found.append(f"{file.name}: {state}")
    return "; ".join(found) or "none are listed"


def tools() -> str:
    asked = {
        "wrk": ["wrk", "--version"],
        "nginx": ["nginx", "-v"],
        "rustc": ["rustc", "--version"],
        "cc": ["cc", "--version"],
    }
    lines = {name: first_line(command) for name, command in asked.items()}
    # wrk says more than its version.
    lines["wrk"] = " ".join(lines["wrk"].split()[:2])
    return ", ".join(line or f"no {name}" for name, line in lines.items())


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
    """What others said, without the paths and addresses of this machine, in one line."""
    for path in (str(ROOT), str(Path.home())):
        text = text.replace(path + "/", "")
    return " ".join(re.sub(r"\w+://\S+", "(address)", text).split())[:400]


def times(ratio: float) -> str:
    return f"{ratio:.2f}"
