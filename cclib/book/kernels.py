"""Kernels that start warm: forked from one process that has what all chapters begin with.

A kernel of its own takes some seconds to import torch, transformers and the rest and to make Atlas'
questions, more than most chapters take to run. Where a system cannot fork, Jupyter's own kernels are used.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache, partialmethod
from threading import Lock
from typing import Any

from jupyter_client.manager import AsyncKernelManager

IMPORTED = (
    "cclib", "ipykernel.kernelapp", "seaborn", "sklearn.linear_model", "statsmodels.stats.proportion",
    "torch", "transformers", "cclib.study", "cclib.confidence.p_t", "cclib.display.plots",
)  # fmt: skip

_ONE_AT_A_TIME = Lock()  # chapters that run side by side ask the same server


class WarmKernelManager(AsyncKernelManager):
    """Starts a kernel by forking; all else is Jupyter's."""

    async def _async_launch_kernel(self, kernel_cmd: Sequence[str], **options: Any) -> None:
        arguments = list(kernel_cmd[kernel_cmd.index("ipykernel_launcher") + 1 :])
        process = _Forked(arguments, options.get("cwd") or os.getcwd(), options.get("env") or {})
        self.provisioner.process, self.provisioner.pid = process, process.pid
        self._reconcile_connection_info(self.provisioner.connection_info)


def manager() -> type[AsyncKernelManager]:
    """How kernels are best started here."""
    return WarmKernelManager if hasattr(os, "fork") else AsyncKernelManager


@cache
def _server() -> subprocess.Popen:
    """The process that forks; it ends with this one, whose end closes its input."""
    command = [sys.executable, "-m", "cclib.book.kernels"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class _Forked:
    """A forked kernel with the part of `subprocess.Popen` that Jupyter asks for."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
        with _ONE_AT_A_TIME:
            server = _server()
            print(json.dumps([arguments, folder, environment]), file=server.stdin, flush=True)
            self.pid = int(server.stdout.readline())

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self, timeout: float | None = None) -> int:
        while self.poll() is None:
            time.sleep(0.01)
        return 0

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    kill = partialmethod(send_signal, getattr(signal, "SIGKILL", signal.SIGTERM))
    terminate = partialmethod(send_signal, signal.SIGTERM)


def serve() -> None:
    """Fork a kernel for each line of the input, and write its process's number."""
    for name in IMPORTED:
        importlib.import_module(name)
    importlib.import_module("cclib").load_benchmark("atlas")  # made anew it takes a chapter some seconds
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the kernels: they leave nothing behind
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            return _run(*json.loads(line))
        print(pid, flush=True)


def _run(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """In the fork: a kernel as `python -m ipykernel_launcher` starts it, which ends with its parent."""
    import matplotlib
    from ipykernel.kernelapp import IPKernelApp

    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)  # the pipes are the server's
    os.dup2(2, 1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(environment)
    os.chdir(folder)
    matplotlib.rcParams["backend"] = "module://matplotlib_inline.backend_inline"  # as Jupyter sets it
    sys.argv = ["ipykernel_launcher", *arguments]
    IPKernelApp.launch_instance(arguments, parent_handle=os.getppid())
    os._exit(0)  # what is inherited from the server is not this process's to end


if __name__ == "__main__":
    serve()
