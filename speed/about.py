"""What the tables of the other scripts were measured on: date, machine, versions. Runs first."""

import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

import cclib


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"date: {date.today()}")
    print(f"processor: {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB")
    print(f"vector instructions used by torch: {torch.backends.cpu.get_cpu_capability()}")
    print(f"GPU: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'}")
    packages = {name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy", "pyarrow")}
    print(f"versions: Python {platform.python_version()}, cclib {cclib.__version__},", end=" ")
    print(", ".join(f"{name} {number}" for name, number in packages.items()))
