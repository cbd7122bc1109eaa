#!/usr/bin/env python3
"""Compares the criterion benches with the baseline of bench-results/criterion-baseline/.

    make bench-compare                              # every bench; about three minutes
    make bench-compare BENCH='parse encode'         # these files of benches/ alone
    make bench-compare BENCH=--instructions         # instructions as callgrind counts them
    make bench-compare BENCH=--save                 # the new baseline, after a look at the figures

Times move with the machine and its neighbours: compare only on the machine that made the baseline,
and run a bench that is marked once more. Instructions hardly move, but say nothing of misses.
"""

import argparse
import csv
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "bench-results" / "criterion-baseline"
MARKED = 10.0
# callgrind runs each piece so often, and so often more; those that are long once, and once more.
FEW, MORE = 100, 1000
LONG = 1_000_000

sys.path.insert(0, str(Path(__file__).resolve().parent / "head_to_head"))
import report  # noqa: E402


def main() -> int:
    args = arguments()
    files = args.files or benches()
    kind = "instructions" if args.instructions else "times"
    found = instructions(files) if args.instructions else times(files, args.seconds)
    if not found:
        sys.exit("compare.py: nothing was measured")
    path = BASELINE / f"{kind}.csv"
    before = read(path)
    marked = show(found, before, "instructions" if args.instructions else "ns")
    if args.save:
        save(path, before | found)
        return 0
    return int(args.strict and marked > 0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"of {', '.join(benches())}")
    parser.add_argument("--instructions", action="store_true", help="count with callgrind")
    parser.add_argument("--seconds", type=float, default=3, help="measured for each bench")
    parser.add_argument("--save", action="store_true", help="write the figures as the baseline")
    parser.add_argument("--strict", action="store_true", help=f"fail beyond {MARKED:.0f} %%")
    args = parser.parse_args()
    for file in args.files:
        if file not in benches():
            parser.error(f"there is no benches/{file}.rs")
    return args


def benches() -> list[str]:
    files = sorted(path.stem for path in (ROOT / "benches").glob("*.rs"))
    return [file for file in files if file != "instructions"]


def target() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def times(files: list[str], seconds: float) -> dict[str, dict]:
    """The medians of criterion, in ns."""
    start = datetime.datetime.now().timestamp()
    command = ["cargo", "bench", *(word for file in files for word in ("--bench", file))]
    command += ["--", "--noplot", "--measurement-time", str(seconds)]
    subprocess.run(command, cwd=ROOT, check=True)
    found = {}
    for path in (target() / "criterion").rglob("new/estimates.json"):
        # Those of benches that are gone stay in the folder.
        if path.stat().st_mtime < start:
            continue
        name = json.loads((path.parent / "benchmark.json").read_text())["full_id"]
        median = json.loads(path.read_text())["median"]
        interval = median["confidence_interval"]
        found[name] = {
            "value": round(median["point_estimate"], 2),
            "lowest": round(interval["lower_bound"], 2),
            "highest": round(interval["upper_bound"], 2),
        }
    return dict(sorted(found.items()))


def instructions(files: list[str]) -> dict[str, dict]:
    """Instructions of one run of each piece."""
    binary = build()
    listed = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True)
    found = {}
    for line in listed.stdout.splitlines():
        file, name = line.split("\t")
        if file not in files:
            continue
        value = counted(binary, file, name, 2) - counted(binary, file, name, 1)
        if value < LONG:
            few, more = (counted(binary, file, name, count) for count in (FEW, FEW + MORE))
            value = (more - few) / MORE
        found[name] = {"value": round(value, 1)}
        print(f"{name}: {found[name]['value']}", file=sys.stderr, flush=True)
    return dict(sorted(found.items()))


def build() -> str:
    command = ["cargo", "bench", "--bench", "instructions", "--no-run"]
    built = subprocess.run(
        [*command, "--message-format", "json"], cwd=ROOT, capture_output=True, text=True
    )
    if built.returncode != 0:
        sys.exit(built.stderr)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "instructions" and message.get("executable"):
            return message["executable"]
    sys.exit("compare.py: cargo built no benches/instructions.rs")


def counted(binary: str, file: str, name: str, count: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", binary, file,
            name, str(count),
        ]  # fmt: skip
        # A seed of its own would order the names in Python's dicts anew each time.
        env = os.environ | {"PYTHONHASHSEED": "0"}
        ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        total = re.search(r"Collected : (\d+)", ended.stderr)
        if ended.returncode != 0 or not total:
            sys.exit(f"compare.py: {name}: {ended.stderr[-800:]}")
        return int(total[1])


def read(path: Path) -> dict[str, dict]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def show(found: dict[str, dict], before: dict[str, dict], unit: str) -> int:
    """Prints each change; returns how many are marked."""
    machine = report.machine()
    for other in {row["machine"] for row in before.values()} - {machine}:
        print(f"the baseline is of another machine: {other}; this is {machine}")
    marked = 0
    width = max(len(name) for name in found)
    for name, row in found.items():
        line = f"{name:{width}}  {row['value']:12.1f} {unit}"
        if old := before.get(name):
            percent = (row["value"] / float(old["value"]) - 1) * 100
            is_marked = abs(percent) > MARKED
            marked += is_marked
            line += f"  {percent:+7.1f} %  of {float(old['value']):.1f} ({old['date']})"
            line += "  <-- slower" * (is_marked and percent > 0)
            line += "  <-- faster" * (is_marked and percent < 0)
        else:
            line += "  new"
        print(line)
    print(f"{marked} of {len(found)} changed by more than {MARKED:.0f} %")
    return marked


COLUMNS = ["name", "value", "lowest", "highest", "date", "commit", "machine"]


def save(path: Path, rows: dict[str, dict]) -> None:
    about = {
        "date": datetime.date.today().isoformat(),
        "commit": report.first_line(["git", "-C", ROOT, "rev-parse", "--short=10", "HEAD"]),
        "machine": report.machine(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for name, row in sorted(rows.items()):
            # Those that were not measured now keep their own date.
            table.writerow({"name": name} | about | {k: v for k, v in row.items() if k in COLUMNS})
    print(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
