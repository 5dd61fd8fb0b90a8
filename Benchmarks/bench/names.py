"""Names of machines: our names service against dnsmasq with the same names."""
import json
import os
import socket
import subprocess
import tempfile
import time

from .figures import alone, against

NAMES = 1000
QUESTIONS = 100_000


def free_port():
    """A port of 127.0.0.1 that is free for UDP and TCP."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.bind(("127.0.0.1", 0))
            try:
                datagram.bind(stream.getsockname())
            except OSError:
                continue
            return stream.getsockname()[1]


def names(_, rounds, programs):
    """Answers for 1,000 names of machines over UDP on loopback, one client in a process of its own.
    names-rate: 100,000 questions, 64 under way, clock from the first question to the last answer. names-latency,
    names-latency-p99: 10,000 questions one after the other, clock from the question to its answer.
    names-cpu: processor time of the server for one answer of these, user and system.
    Reference: dnsmasq with the same names in a hosts file."""
    def processor(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(port, pid):
        before = processor(pid)
        done = subprocess.run([f"{programs}/covey-bench", "names-load", str(port), str(NAMES), str(QUESTIONS)],
                              capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise SystemExit(f"error: covey-bench names-load: {done.stderr.strip()[-500:]}")
        figures = {key: values[0] for key, values in json.loads(done.stdout).items()}
        figures["processor"] = (processor(pid) - before) / (QUESTIONS * 1.2)
        return figures

    ours, theirs = [], []
    port, reference = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="covey-bench-names-", dir="/tmp") as folder:
        with open(f"{folder}/hosts", "w", encoding="ascii") as file:
            for number in range(NAMES):
                file.write(f"10.64.{number >> 8}.{number & 255} m{number}.vm\n")
        server = subprocess.Popen([f"{programs}/covey-bench", "names-serve", str(port), str(NAMES)],
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        dnsmasq = subprocess.Popen(
            ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
             "--pid-file=", f"--addn-hosts={folder}/hosts", f"--port={reference}", "--listen-address=127.0.0.1",
             "--bind-interfaces", "--local=/vm/"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            for _ in range(rounds):
                theirs.append(load(reference, dnsmasq.pid))
                ours.append(load(port, server.pid))
        finally:
            server.stdin.close()
            dnsmasq.terminate()
            server.wait(timeout=10)
            dnsmasq.wait(timeout=10)

    def column(rows, key, scale=1.0):
        return [row[key] * scale for row in rows]

    return [
        against("names-rate", column(ours, "rate"), column(theirs, "rate"), "/s", "dnsmasq", better="more"),
        alone("names-rate-dnsmasq", column(theirs, "rate"), "/s", better="more"),
        against("names-latency", column(ours, "median", 1e6), column(theirs, "median", 1e6), "us", "dnsmasq"),
        alone("names-latency-dnsmasq", column(theirs, "median", 1e6), "us"),
        against("names-cpu", column(ours, "processor", 1e6), column(theirs, "processor", 1e6), "us", "dnsmasq"),
        against("names-latency-p99", column(ours, "p99", 1e6), column(theirs, "p99", 1e6), "us", "dnsmasq"),
    ]
