"""Two raylets on this machine, one model on both; what is done to them while they answer is an argument.

python -m tests.two_nodes STORE QUESTIONS nothing|worker|node|driver
"""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

# Ray reads these as it is imported: nothing but the loopback address is listened at, nothing is sent home
os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "180",  # a busy machine is no failure
    "RAY_agent_register_timeout_ms": "180000",
    "PYTHONPATH": str(Path(__file__).parents[1]),
}

import psutil  # noqa: E402
import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

import cclib  # noqa: E402
from cclib import recording  # noqa: E402
from cclib.recording import cluster  # noqa: E402

AGENTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)


def node() -> dict[str, object]:
    """What a node has.

    Ray gives a node's agents 15 seconds to write down their ports, too few on a busy machine. So the ports
    are given, and the one that Ray waits for all the same is written here.
    """
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in AGENTS]
    ports = dict(zip(AGENTS, (s.getsockname()[1] for s in sockets)))
    for s in sockets:
        s.close()
    name, waited_for = os.urandom(28).hex(), "dashboard_agent_listen_port"

    def write() -> None:
        while not (session := [*Path("/tmp/ray").glob(f"session_*_{os.getpid()}")]):
            time.sleep(0.1)
        (session[0] / f"{waited_for}_{name}").write_text(str(ports[waited_for]))

    threading.Thread(target=write, daemon=True).start()
    small = {"num_cpus": 2, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    return small | ports | {"env_vars": {"RAY_OVERRIDE_NODE_ID_FOR_TESTING": name}}


def workers() -> list[psutil.Process]:
    return [
        p for p in psutil.process_iter(["cmdline"]) if any("MapWorker" in c for c in p.info["cmdline"] or ())
    ]


def harm(what: str, folder: Path, second: object) -> None:
    """Once two parts are written, kill -9 what is named."""
    while len(list(folder.glob("part-*"))) < 2:
        time.sleep(0.05)
    if what == "driver":
        os.kill(os.getpid(), signal.SIGKILL)
    raylet = second.all_processes["raylet"][0].process
    if what == "worker":
        ours = {p.pid for p in psutil.Process(raylet.pid).children(recursive=True)}
        victim = next((p for p in workers() if p.pid in ours), None) or workers()[0]
        print("killed a worker", victim.pid, flush=True)
        victim.kill()
    if what == "node":
        for process in [*psutil.Process(raylet.pid).children(recursive=True), psutil.Process(raylet.pid)]:
            process.kill()
        print("killed a raylet and its workers", flush=True)


def main(store: str, n: int, what: str) -> None:
    nodes = Cluster(initialize_head=True, head_node_args=node())
    second = nodes.add_node(**node())
    ray.init(address=nodes.address, logging_level="error", log_to_driver=False)
    cluster.BATCH, recording.FLUSH_ROWS = 20, 1
    if what != "nothing":
        threading.Thread(target=harm, args=(what, Path(store) / "atlas-s", second), daemon=True).start()
    questions = cclib.load_benchmark("atlas", limit=n)
    began = time.monotonic()
    trace = cclib.collect(
        "atlas-s", questions, store, device="cpu", engine="ray", worker={"num_cpus": 1}, progress=False
    )
    print(f"{len(trace)} rows in {time.monotonic() - began:.0f} s", flush=True)
    if what == "nothing":
        ours = [os.getpid(), *(p.pid for p in psutil.Process().children(recursive=True))]
        open_to = {
            c.laddr.ip
            for c in psutil.net_connections("inet")
            if c.status == psutil.CONN_LISTEN and c.pid in ours
        }
        print("listening at", *sorted(open_to), flush=True)
    ray.shutdown()
    nodes.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
