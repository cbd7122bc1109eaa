"""Makes what a run needs: the generator, and virtual environments with the peers in them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def build_generator() -> Path:
    build(HERE.parent / "io_floor", "io_floor")
    return build(HERE / "lockstep", "lockstep")


def build(crate: Path, name: str) -> Path:
    target = ROOT / "target" / name
    subprocess.run(
        ["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", target],
        cwd=crate,
        check=True,
    )
    return target / "release" / name


def say_loudly(text: str) -> None:
    print(f"\n*** {text}\n", file=sys.stderr, flush=True)


class Pythons:
    """One virtual environment for each Python, filled as peers ask for it."""

    def __init__(self, wanted: str):
        self.wanted = wanted
        self.found = dict(
            line.split(" ", 1)
            for line in subprocess.run(
                [ROOT / "scripts" / "find-python"], capture_output=True, text=True
            ).stdout.splitlines()
        )
        if wanted not in self.found:
            raise SystemExit(
                f"run.py: Python {wanted} was not found; scripts/find-python sees:"
                f" {', '.join(self.found) or 'none'}"
            )

    def venv(self, minor: str) -> Path:
        venv = ROOT / ".cache" / "head_to_head" / f"venv-{minor}"
        if not (venv / "bin" / "python").exists():
            subprocess.run([self.found[minor], "-m", "venv", venv], check=True)
        return venv

    def in_order(self) -> list[str]:
        """The wanted Python, then the others, the newest first."""
        others = sorted(self.found, key=lambda minor: int(minor.split(".")[1]), reverse=True)
        return [self.wanted] + [minor for minor in others if minor != self.wanted]

    def install(self, peer) -> tuple[str, Path]:
        """The Python that the peer runs on and its venv; RuntimeError says why there is none."""
        if not peer.install:
            return self.wanted, self.venv(self.wanted)
        reasons = []
        for minor in self.in_order():
            venv = self.venv(minor)
            if self.version(venv, peer.install):
                return minor, venv
            # Only what has to be built needs the header, and only once.
            need_header(peer)
            print(f"installing {peer.install} for Python {minor}", file=sys.stderr, flush=True)
            pip = subprocess.run(
                [venv / "bin" / "python", "-m", "pip", "install", "--quiet",
                 "--disable-pip-version-check", peer.install],
                capture_output=True, text=True,
            )  # fmt: skip
            if pip.returncode == 0:
                if minor != self.wanted:
                    say_loudly(f"{peer.name} does not build for {self.wanted}: it runs on {minor}")
                return minor, venv
            last = pip.stderr.strip().splitlines()[-1:] or ["no reason given"]
            reasons.append(f"Python {minor}: {last[0]}")
        raise RuntimeError(f"{peer.install} does not install ({'; '.join(reasons)})")

    @staticmethod
    def version(venv: Path, package: str) -> str:
        code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
        asked = subprocess.run(
            [venv / "bin" / "python", "-c", code, package], capture_output=True, text=True
        )
        return asked.stdout.strip()


def need_header(peer) -> None:
    if not peer.header:
        return
    probe = ["cc", "-E", "-xc", "-", "-o", os.devnull]
    text = f"#include <{peer.header}>\n"

    def is_there() -> bool:
        return subprocess.run(probe, input=text, text=True, capture_output=True).returncode == 0

    if is_there():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"apt-get install {peer.debian}", file=sys.stderr, flush=True)
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", peer.debian], capture_output=True)
    if not is_there():
        raise RuntimeError(f"{peer.header} is missing: install {peer.debian}")
