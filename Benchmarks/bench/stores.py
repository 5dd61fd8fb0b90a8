"""Stores: SQLite and etcd, each beside a bare client doing the same."""
import json
import os
import signal
import socket
import subprocess
import tempfile
import time

from .figures import against, alone

WORKS = ("put", "guarded", "writers", "get", "range")


def free_ports(count):
    """Ports of 127.0.0.1 that are free now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Etcd:
    """Members of one cluster on loopback, with their data on a disk; ended and removed at the end."""

    def __init__(self, count):
        self.folder = tempfile.mkdtemp(prefix="covey-bench-etcd-", dir="/var/tmp")
        ports = free_ports(2 * count)
        self.clients, self.peers = ports[:count], ports[count:]
        self.running = [None] * count

    @property
    def address(self):
        return "etcd://" + ",".join(f"127.0.0.1:{port}" for port in self.clients) + "/bench"

    def start(self, index):
        cluster = ",".join(f"m{i}=http://127.0.0.1:{port}" for i, port in enumerate(self.peers))
        client, peer = (f"http://127.0.0.1:{ports[index]}" for ports in (self.clients, self.peers))
        with open(f"{self.folder}/m{index}.log", "ab") as log:
            self.running[index] = subprocess.Popen(
                ["etcd", "--name", f"m{index}", "--data-dir", f"{self.folder}/m{index}", "--logger", "zap", "--log-level",
                 "error", "--pre-vote", "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster,
                 "--initial-cluster-token", self.folder], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def control(self, *words):
        endpoints = ",".join(f"127.0.0.1:{port}" for port in self.clients)
        return subprocess.run(["etcdctl", "--endpoints", endpoints, *words], capture_output=True, text=True,
                              env={**os.environ, "ETCDCTL_API": "3"}, timeout=30)

    def await_health(self):
        end = time.monotonic() + 60
        while self.control("endpoint", "health").returncode != 0:
            if time.monotonic() > end:
                raise SystemExit(f"error: etcd is not healthy: see {self.folder}")
            time.sleep(0.2)

    def leader(self):
        for status in json.loads(self.control("endpoint", "status", "-w", "json").stdout):
            if status["Status"]["leader"] == status["Status"]["header"]["member_id"]:
                return self.clients.index(int(status["Endpoint"].rsplit(":", 1)[1]))
        raise SystemExit("error: etcd has no leader")

    def __enter__(self):
        for index in range(len(self.clients)):
            self.start(index)
        self.await_health()
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.kill()
            process.wait()
        subprocess.run(["rm", "-rf", self.folder], check=False)


def bench(programs, *arguments):
    done = subprocess.run([f"{programs}/covey-bench", *arguments], capture_output=True, text=True, timeout=1200)
    if done.returncode != 0:
        raise SystemExit(f"error: covey-bench {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def milliseconds(values):
    return [value * 1000 for value in values]


def store(_, rounds, programs):
    """Values of 1,200 bytes; one caller, one call after the other, unless said otherwise. put: one key; guarded: one key,
    compared with its revision; writers: 64 callers that put; get: one key; range: 1,000 keys at once. Rate: first call to
    last answer; p50 and p99: each call to its answer. One etcd member on loopback, its data beside SQLite's file.
    Reference: for SQLite one table, one commit a write, synchronous=FULL; for etcd the generated client, one connection."""
    def figures(engine, reference, answer):
        found = []
        for work in WORKS:
            for figure, unit, better in (("rate", "/s", "more"), ("p50", "ms", "less"), ("p99", "ms", "less")):
                ours, bare = answer[f"ours {work} {figure}"], answer[f"bare {work} {figure}"]
                if unit == "ms":
                    ours, bare = milliseconds(ours), milliseconds(bare)
                found.append(against(f"store-{engine}-{work}-{figure}", ours, bare, unit, reference, better=better))
        return found

    with tempfile.TemporaryDirectory(prefix="covey-bench-store-", dir="/var/tmp") as folder:
        found = figures("sqlite", "bare SQLite commits", bench(programs, "store", folder, str(rounds)))
    with Etcd(1) as etcd:
        return found + figures("etcd", "the generated client", bench(programs, "store", etcd.address, str(rounds)))


def watch_fanout(_, rounds, programs):
    """1,000 watchers of one key in one process. Clock: the call of a write to the last watcher's event; -commit: the
    write's answer to the last watcher's event. Reference for etcd: 1,000 streams of the generated client on one
    connection."""
    count = str(rounds * 4)
    with tempfile.TemporaryDirectory(prefix="covey-bench-watch-", dir="/var/tmp") as folder:
        sqlite = bench(programs, "watch-fanout", folder, "1000", count)
    with Etcd(1) as etcd:
        answer = bench(programs, "watch-fanout", etcd.address, "1000", count)
    return [
        alone("watch-fanout-sqlite", milliseconds(sqlite["ours"]), "ms"),
        alone("watch-fanout-sqlite-commit", milliseconds(sqlite["ours-commit"]), "ms"),
        against("watch-fanout-etcd", milliseconds(answer["ours"]), milliseconds(answer["bare"]), "ms",
                "the generated client"),
        alone("watch-fanout-etcd-commit", milliseconds(answer["ours-commit"]), "ms"),
    ]


def leader_kill(_, rounds, programs):
    """Three members on loopback. Clock: SIGKILL of the leader to the first acknowledged write that was sent after it;
    writes begin every 20 ms. Reference, on the same kill: the generated client, which begins a write through each member
    every 20 ms: as soon as etcd itself can."""
    ours, bare = [], []
    with Etcd(3) as etcd:
        for _ in range(max(rounds, 5)):
            writers = {
                kind: subprocess.Popen([f"{programs}/covey-bench", "steady-writes", kind, etcd.address, "14"],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for kind in ("ours", "bare")
            }
            time.sleep(3)
            index = etcd.leader()
            start = time.monotonic()
            etcd.running[index].send_signal(signal.SIGKILL)
            etcd.running[index].wait()
            for kind, times in (("ours", ours), ("bare", bare)):
                output, errors = writers[kind].communicate(timeout=60)
                pairs = [line.split() for line in output.splitlines() if line.count(" ") == 1]
                acked = [float(acked) for sent, acked in pairs if float(sent) > start]
                if not acked:
                    raise SystemExit(f"error: no write of {kind} was acknowledged after the kill: {errors[-300:]}")
                times.append(min(acked) - start)
            etcd.start(index)
            etcd.await_health()
    return [
        against("leader-kill", milliseconds(ours), milliseconds(bare), "ms", "the generated client through every member"),
        alone("leader-kill-bare", milliseconds(bare), "ms"),
    ]
