"""Writes raw-corpus.csv: what `--check-config` says of each configuration of tests/configs."""
import collections
import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
VERDICTS = "honoured adapted ignored absent variable suspicious refused error".split()
FORMATS = {".ini": "--ini", ".yaml": "--yaml", ".yml": "--yaml", ".xml": "--xml"}


def main(uwring):
    site = pathlib.Path(tempfile.mkdtemp())
    shutil.copytree(HERE.parent.parent / "tests" / "configs", site, dirs_exist_ok=True)
    (site / "run").mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("UWSGI_", "PYTHON"))}
    env.update(PORT="0", WORKERS="3", HARAKIRI="20", RUN_AS="root", CFG_MODE="production")
    rows = []
    for path in sorted(site.iterdir()):
        option = FORMATS.get(path.suffix)
        if option is None:
            continue
        # A socket of our own: some of them leave it to the command line.
        words = [uwring, "--check-config", "--json", option, path.name, "--http-socket", ":0"]
        told = json.loads(subprocess.run(words, cwd=site, env=env, capture_output=True).stdout)
        own = [f for f in told["findings"] if not f["origin"].startswith("argument")]
        counts = collections.Counter(finding["verdict"] for finding in own)
        rows.append([path.name, int(told["would_start"])] + [counts[v] for v in VERDICTS])
    with open(HERE / "raw-corpus.csv", "w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["configuration", "would_start"] + VERDICTS)
        writer.writerows(rows)
    print(len(rows), "configurations,", sum(row[1] for row in rows), "start")


main(os.path.abspath(sys.argv[1]))
