"""What Covey's bridge, tap and firewall cost, in a network namespace of our own."""
import re
import subprocess
import time
from contextlib import contextmanager

from .daemon import Daemon
from .figures import against

# Runs in the namespace: seconds for so many bytes from or to a port of the machine.
MOVE = """
import socket, sys, time
host, port, count, sends = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "send"
link = socket.create_connection((host, port), timeout=20)
piece, moved, start = bytes(1 << 18), 0, time.monotonic()
while moved < count:
    moved += link.send(piece) if sends else len(link.recv(1 << 18))
if sends:
    link.shutdown(socket.SHUT_WR)
    while link.recv(65536): pass
print(time.monotonic() - start)
"""

# Runs in the namespace: milliseconds of the median of 500 round trips of one byte on an open connection.
TURN = """
import socket, statistics, sys, time
link = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
turns = []
for _ in range(500):
    start = time.monotonic()
    link.sendall(b"x")
    link.recv(1)
    turns.append((time.monotonic() - start) * 1000)
print(statistics.median(turns))
"""


@contextmanager
def namespace():
    """A process with a network of its own."""
    process = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 1800"],
                               stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait()


def network(_, rounds, programs):
    """Bytes per second and round trips between the host and a machine over Covey's bridge, tap and firewall.
    Clock: in the host's program, connection open, first to last byte (64 MiB); a round trip of one byte on an open
    connection, the median of 500.
    Reference: a bridge by hand without a rule of a firewall, with the very same QEMU and guest: its tap is moved over
    while the daemon stands still. network-set-up: the stage `network` of a start (tap, addresses, firewall, names)
    against three calls of ip(8) for tap, bridge and up."""
    with namespace() as pid:
        enter = ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]

        def here(*words):
            done = subprocess.run([*enter, *words], capture_output=True, text=True, timeout=120)
            if done.returncode != 0:
                raise SystemExit(f"error: {' '.join(words)}: {done.stderr.strip()[-500:]}")
            return done.stdout

        with Daemon(programs, namespace=pid) as daemon:
            daemon.start("model")
            address = daemon.machine("model")["status"]["addresses"][0]
            for port, words in ((5001, "nc -ll -p 5001 -e sh -c 'cat > /dev/null'"),
                                (5002, "nc -ll -p 5002 -e cat /dev/zero"), (5003, "nc -ll -p 5003 -e cat")):
                daemon.run("exec", "-d", "model", "--", "sh", "-c", words)
            time.sleep(1)

            def measure():
                rates = {}
                for name, port, way in (("to", 5001, "send"), ("from", 5002, "take")):
                    count = 64 << 20
                    rates[name] = [count / float(here("python3", "-c", MOVE, address, str(port), str(count), way)) / 1e6
                                   for _ in range(rounds)]
                rates["round-trip"] = [
                    float(here("python3", "-c", TURN, address, "5003")) for _ in range(rounds)]
                return rates

            ours = measure()
            tap = re.search(r"(t[0-9a-f]{14})[@:]", here("ip", "-o", "link", "show", "up"))[1]
            gateway = re.search(r"inet ([\d./]+)", here("ip", "-o", "address", "show", "type", "bridge"))[1]
            made, hand = [], []
            for turn in range(rounds):
                daemon.start(f"m{turn}")
                stages = daemon.machine(f"m{turn}")["status"]["timeline"]
                made.append(next(one["milliseconds"] for one in stages if one["stage"] == "network"))
                daemon.run("vm", "rm", "-f", f"m{turn}", limit=120)
                start = time.monotonic()
                here("sh", "-c", "ip tuntap add dev hand0 mode tap && ip link set hand0 master "
                     "$(ip -o link show type bridge | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/' | head -1) && "
                     "ip link set hand0 up")
                hand.append((time.monotonic() - start) * 1000)
                here("ip", "link", "delete", "hand0")
            # By hand from here on: nothing of Covey's is left in the way, and nobody puts it back.
            daemon.process.send_signal(19)
            try:
                here("sh", "-c",
                     f"nft flush ruleset; ip link add hand type bridge; ip link set {tap} master hand; "
                     f"for b in $(ip -o link show type bridge | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/' | grep -v hand); "
                     f"do ip address flush dev $b; done; ip link set hand up; ip address add {gateway} dev hand")
                # Until the guest's next packet the new bridge does not know where it is.
                here("python3", "-c", TURN, address, "5003")
                theirs = measure()
            finally:
                daemon.process.send_signal(18)
            # A round trip has one figure: ping's own mean.
            return [
                against("network-set-up", made, hand, "ms", "ip(8) by hand, without a firewall"),
                against("network-to-machine", ours["to"], theirs["to"], "MB/s", "a bridge by hand"),
                against("network-from-machine", ours["from"], theirs["from"], "MB/s", "a bridge by hand"),
                against("network-round-trip", ours["round-trip"], theirs["round-trip"], "ms", "a bridge by hand"),
            ]
