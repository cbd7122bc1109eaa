"""Makes what a run needs: the generator, the files, Debian's tools, and virtual environments with
the peers in them."""

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "head_to_head"
# apps/file.py and the static cases serve them.
FILES = {"64k.bin": 64 * 1024, "1m.bin": 1024 * 1024}


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


def make_files() -> Path:
    folder = CACHE / "files"
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in FILES.items():
        if not (folder / name).exists():
            (folder / name).write_bytes(random.Random(size).randbytes(size))
    return folder


def need_tool(tool: str, package: str) -> None:
    """RuntimeError says that a tool is not there and cannot be had."""
    if shutil.which(tool) or shutil.which(tool, path="/usr/sbin"):
        return
    apt_install(package)
    if not (shutil.which(tool) or shutil.which(tool, path="/usr/sbin")):
        raise RuntimeError(f"{tool} is missing: install {package}")


def apt_install(package: str) -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"apt-get install {package}", file=sys.stderr, flush=True)
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", package], capture_output=True)


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
        venv = CACHE / f"venv-{minor}"
        if not (venv / "bin" / "python").exists():
            subprocess.run([self.found[minor], "-m", "venv", venv], check=True)
        return venv

    def in_order(self) -> list[str]:
        """The wanted Python, then the others, the newest first."""
        others = sorted(self.found, key=lambda minor: int(minor.split(".")[1]), reverse=True)
        return [self.wanted] + [minor for minor in others if minor != self.wanted]

    def install(self, peer) -> tuple[str, Path]:
        """The Python that the peer runs on and its venv; RuntimeError says why there is none."""
        if peer.nginx:
            need_tool("nginx", "nginx")
        if not peer.install:
            return self.wanted, self.venv(self.wanted)
        reasons = []
        for minor in self.in_order():
            if not all(self.version(self.venv(minor), package) for package in peer.install):
                # Only what has to be built needs the header, and only once.
                need_header(peer)
                if why := self.pip(minor, peer.install):
                    reasons.append(f"Python {minor}: {why}")
                    continue
            if minor != self.wanted:
                say_loudly(f"{peer.name} does not build for {self.wanted}: it runs on {minor}")
            return minor, self.venv(minor)
        raise RuntimeError(f"{peer.install[0]} does not install ({'; '.join(reasons)})")

    def require(self, minor: str, package: str) -> None:
        """Puts what an app needs beside the peer; RuntimeError says why it is not there."""
        if not self.version(self.venv(minor), package) and (why := self.pip(minor, (package,))):
            raise RuntimeError(f"{package} does not install for Python {minor}: {why}")

    def pip(self, minor: str, packages: tuple[str, ...]) -> str:
        """Installs; says why it could not."""
        print(f"installing {' '.join(packages)} for Python {minor}", file=sys.stderr, flush=True)
        pip = subprocess.run(
            [self.venv(minor) / "bin" / "python", "-m", "pip", "install", "--quiet",
             "--disable-pip-version-check", *packages],
            capture_output=True, text=True,
        )  # fmt: skip
        return "" if pip.returncode == 0 else (pip.stderr.strip().splitlines() or ["no reason"])[-1]

    @staticmethod
    def version(venv: Path, package: str) -> str:
        code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
        name = re.split("[<>=]", package)[0]
        asked = subprocess.run(
            [venv / "bin" / "python", "-c", code, name], capture_output=True, text=True
        )
        return asked.stdout.strip()


def need_header(peer) -> None:
    if not peer.header:
        return
    probe = ["cc", "-E", "-xc", "-", "-o", os.devnull]
    text = f"#include <{peer.header}>\n"

    def is_there() -> bool:
        return subprocess.run(probe, input=text, text=True, capture_output=True).returncode == 0

    if not is_there():
        apt_install(peer.debian)
        if not is_there():
            raise RuntimeError(f"{peer.header} is missing: install {peer.debian}")
