#!/usr/bin/env python3
"""Simulates the waiting of requests on 1 to 64 cores and writes a folder of bench-results/.

    python3 benches/simulation/simulate.py             # one or two minutes
    python3 benches/simulation/simulate.py --requests 5000 --out /tmp/look

Nothing is measured here: queues.py tells what is modelled. Equal seeds give equal figures.
"""

import argparse
import csv
import datetime
import itertools
import multiprocessing
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "head_to_head"))

import curves  # noqa: E402
from queues import ONE_QUEUE, SERVICES, SHARDED, STALL_RULE, Setting, Simulation  # noqa: E402

CORES = (1, 2, 4, 8, 16, 32, 64)
LOADS = (0.3, 0.5, 0.7, 0.8, 0.9)
WORKERS = (1, 4)
CONNECTIONS = (4, 16, 64, 256)
RULES = (SHARDED, STALL_RULE, ONE_QUEUE)
PER_SHARD = 64
COLUMNS = [
    "cores", "workers_per_shard", "connections_per_shard", "load", "service", "rule", "requests",
    "seed", "p50_wait_ms", "p99_wait_ms", "p999_wait_ms", "used", "moved",
]  # fmt: skip


def settings(requests: int, seed: int) -> list[Setting]:
    """Cores and loads against each other; then the connections, which the hash spreads unevenly."""
    found = [
        Setting(cores, workers, PER_SHARD, load, service, rule, requests, seed)
        for service, workers, cores, load, rule in itertools.product(
            SERVICES, WORKERS, CORES, LOADS, RULES
        )
    ]
    found += [
        Setting(64, 1, connections, 0.7, service, rule, requests, seed)
        for service, connections, rule in itertools.product(SERVICES, CONNECTIONS, RULES)
        if connections != PER_SHARD
    ]
    return found


def simulated(setting: Setting) -> dict:
    outcome = Simulation(setting).run()
    values = (
        setting.shards, setting.workers_per_shard, setting.connections_per_shard, setting.load,
        setting.service, setting.rule, setting.requests, setting.seed, round(outcome.p50_ms, 4),
        round(outcome.p99_ms, 4), round(outcome.p999_ms, 4), round(outcome.used, 4),
        round(outcome.moved, 5),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=40_000, help="counted in each setting")
    parser.add_argument("--seed", type=int, default=64)
    name = f"{datetime.date.today().isoformat()}-sixty-four-cores-simulated"
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results" / name)
    args = parser.parse_args()
    with multiprocessing.Pool() as pool:
        rows = pool.map(simulated, settings(args.requests, args.seed), chunksize=1)
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "raw.csv").open("w") as file:
        raw = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        raw.writeheader()
        raw.writerows(rows)
    (args.out / "summary.md").write_text("\n".join(summary(rows, args.out)) + "\n")
    print(args.out / "summary.md")


def summary(rows: list[dict], out: Path) -> list[str]:
    def pick(**wanted) -> list[dict]:
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    lines = [
        "# Sixty-four cores, simulated: summary", "",
        "Written by `benches/simulation/simulate.py` from `raw.csv`. Waits in ms, from the arrival"
        f" of a request to the moment a worker begins it; {rows[0]['requests']:,} requests in each"
        " setting; services are 1 ms in the mean.",
    ]  # fmt: skip
    for service, workers in itertools.product(SERVICES, WORKERS):
        own = dict(service=service, workers_per_shard=workers, connections_per_shard=PER_SHARD)
        what = f"{service}, {workers} worker{'s' * (workers > 1)} a shard"
        lines += ["", f"## {what[:1].upper()}{what[1:]}", ""]
        for title, axis, fixed, over in (
            ("64 cores", "load", {"cores": 64}, "load"),
            ("load 0.7", "cores", {"load": 0.7}, "cores"),
        ):
            name = f"{service}-w{workers}-over-{over}.svg"
            series = {
                rule: [(row[over], row["p99_wait_ms"]) for row in pick(**own, **fixed, rule=rule)]
                for rule in RULES
            }
            chart = curves.lines(f"{what}, {title}: p99 wait", axis, "p99 wait, ms", series)
            (out / name).write_text(chart)
            lines += [f"![p99 wait over the {axis}]({name})", ""]
        lines.append(head(["cores", "load", *(f"{rule}: p50 / p99 / p99.9" for rule in RULES)]))
        for cores, load in itertools.product(CORES, LOADS):
            cells = [waits(pick(**own, cores=cores, load=load, rule=rule)[0]) for rule in RULES]
            lines.append(f"| {cores} | {load} | {' | '.join(cells)} |")
    lines += ["", "## Connections a shard (64 cores, load 0.7, 1 worker a shard)", ""]
    names = [f"{rule}: p50 / p99 / p99.9" for rule in RULES]
    lines.append(head(["service", "connections", *names]))
    for service, connections in itertools.product(SERVICES, CONNECTIONS):
        own = dict(service=service, cores=64, load=0.7, workers_per_shard=1)
        found = [pick(**own, connections_per_shard=connections, rule=rule)[0] for rule in RULES]
        lines.append(f"| {service} | {connections} | {' | '.join(map(waits, found))} |")
    return lines


def waits(row: dict) -> str:
    moved = f" ({row['moved']:.1%} moved)" if row["rule"] == STALL_RULE else ""
    return (
        " / ".join(f"{row[name]:.3g}" for name in ("p50_wait_ms", "p99_wait_ms", "p999_wait_ms"))
        + moved
    )


def head(names: list[str]) -> str:
    return f"| {' | '.join(names)} |\n|{'--:|' * len(names)}"


if __name__ == "__main__":
    main()
