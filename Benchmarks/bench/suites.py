"""The benchmarks. Each says where its clocks start and stop, and returns figures."""
import json
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time

from .copies import copy
from .daemon import Daemon
from .figures import alone, against
from .names import names
from .networks import network
from .rawqemu import RawQEMU
from .ssh import exec_ssh
from .stores import leader_kill, store, watch_fanout


def first_byte(command, environment):
    """Seconds from the start of a process to the first byte of its output."""
    start = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = process.stdout.read(1)
    taken = time.monotonic() - start
    _, errors = process.communicate(timeout=60)
    if not seen or process.returncode != 0:
        raise SystemExit(f"error: {' '.join(command)}: {errors.decode().strip()[-500:]}")
    return taken


def whole(command, environment, limit=60):
    """Seconds from the start of a process to its end."""
    start = time.monotonic()
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit)
    taken = time.monotonic() - start
    if done.returncode != 0:
        raise SystemExit(f"error: {' '.join(command)}: {done.stderr.decode().strip()[-500:]}")
    return taken


def milliseconds(values):
    return [value * 1000 for value in values]


def cold_run(daemon, rounds, programs):
    """covey run --rm busybox -- echo x. Clock: start of `covey` to its first byte of output.
    Reference: raw QEMU with the same command line; start of QEMU to the first byte its init prints on the console,
    root mounted. Raw QEMU's overlay, memory file and sockets are made before its clock starts."""
    with tempfile.TemporaryDirectory(prefix="covey-bench-raw-", dir="/tmp") as folder:
        raw = RawQEMU(daemon.start("model")["status"]["pid"], daemon.root, folder)
        daemon.run("vm", "rm", "-f", "model")
        command = [daemon.covey, "run", "--rm", "busybox", "--", "echo", "x"]
        ours, theirs = [], []
        raw.run()
        for _ in range(rounds):
            theirs.append(raw.run())
            ours.append(first_byte(command, daemon.environment))
    return [
        against("cold-run", milliseconds(ours), milliseconds(theirs), "ms", "raw QEMU", goal="at most 1.10"),
        alone("cold-run-raw-qemu", milliseconds(theirs), "ms"),
    ]


def exec_rate(daemon, rounds, programs):
    """exec of `true` in a running machine, one after the other.
    exec-rate: a `covey exec` process each, clock from its start to its end; reference: `covey version`, which is a
    process start and one call. Against ssh: exec-ssh.
    exec-api: over one open connection, clock from the call to the exit code; reference: the version call."""
    daemon.start("exec")
    command = [daemon.covey, "exec", "exec", "--", "true"]
    reference = [daemon.covey, "version"]
    ours, theirs = [], []
    whole(command, daemon.environment)
    for _ in range(rounds * 4):
        theirs.append(whole(reference, daemon.environment))
        ours.append(whole(command, daemon.environment))
    figures = [against(
        "exec-rate", [1 / value for value in ours], [1 / value for value in theirs], "/s", "covey version",
        better="more")]
    if os.path.exists(f"{programs}/covey-bench"):
        calls = 20
        answer = bench(programs, "exec-rate", daemon.socket, "exec", str(calls), str(rounds))
        figures.append(against(
            "exec-api-rate", [calls / value for value in answer["exec"]],
            [calls / value for value in answer["version"]], "/s", "the version call", better="more"))
    daemon.run("vm", "rm", "-f", "exec")
    return figures


def sessions(daemon, rounds, programs):
    """100 programs (cat) in one machine at once, each with its standard input, over one connection; all pass tokens.
    sessions-open: from the first call until each has sent its first token back. sessions-token: a token's way into
    the machine and back while all of them pass theirs. Reference: the same with one program."""
    daemon.start("sessions")
    many, few, opened = [], [], []
    for _ in range(rounds):
        alone_ = bench(programs, "sessions", daemon.socket, "sessions", "1", "20")
        together = bench(programs, "sessions", daemon.socket, "sessions", "100", "20")
        few.append(statistics.median(alone_["token"]))
        many.append(statistics.median(together["token"]))
        opened += together["opened"]
    daemon.run("vm", "rm", "-f", "sessions")
    return [
        alone("sessions-open", milliseconds(opened), "ms"),
        against("sessions-token", milliseconds(many), milliseconds(few), "ms", "one program"),
    ]


def bench(programs, *arguments):
    done = subprocess.run([f"{programs}/covey-bench", *arguments], capture_output=True, text=True, timeout=1200)
    if done.returncode != 0:
        raise SystemExit(f"error: covey-bench {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def create_rate(_, rounds, programs):
    """Creations with a simulated host and SQLite with full durability, 16 callers.
    create-rate: clock from the first call until all are stored; create-to-running: until all run.
    Reference: as many bare SQLite commits of one record, full durability, one after the other."""
    count = 200
    with tempfile.TemporaryDirectory(prefix="covey-bench-create-", dir="/var/tmp") as folder:
        answer = bench(programs, "create-rate", folder, str(count), str(rounds))
    rates = {key: [count / value for value in values] for key, values in answer.items()}
    reference = "bare SQLite commits"
    return [
        against("create-rate", rates["stored"], rates["commits"], "/s", reference, goal="500/s", better="more"),
        against("create-to-running", rates["running"], rates["commits"], "/s", reference, better="more"),
    ]


def memory(daemon, rounds, programs):
    """Resident and anonymous memory, read from /proc once after a second of rest: daemon and guard without a machine,
    the guest agent and the VMM of an idle machine of 256 MiB."""
    subprocess.run([daemon.covey, "version"], env=daemon.environment, capture_output=True, check=True)
    time.sleep(1)
    figures = []

    def add(name, text, goal=""):
        for key, suffix in (("VmRSS", ""), ("RssAnon", "-anonymous")):
            size = int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) / 1024
            figures.append(alone(name + suffix, [size], "MiB", goal=goal if not suffix else ""))

    def status(pid):
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            return file.read()

    add("memory-daemon", status(daemon.process.pid), "80 with 100 machines")
    add("memory-guard", status(daemon.guard()), "8")
    machine = daemon.start("memory")
    time.sleep(1)
    add("memory-vmm", status(machine["status"]["pid"]))
    add("memory-guest-agent", daemon.run("exec", "memory", "--", "cat", "/proc/1/status"), "8")
    daemon.run("vm", "rm", "-f", "memory")
    return figures


def boot_timeline(daemon, rounds, programs):
    """The stages of a start as `covey vm inspect` shows them: medians over boots, measured by the daemon."""
    stages = {}
    for number in range(max(rounds, 5)):
        for stage in daemon.start(f"boot{number}")["status"]["timeline"]:
            stages.setdefault(stage["stage"], []).append(stage["milliseconds"])
        daemon.run("vm", "rm", "-f", f"boot{number}")
    return [alone(f"boot-{stage}", values, "ms") for stage, values in stages.items()]


def disk_strategies(_, rounds, programs):
    """Start of a machine from a cached image with each strategy for its root disk, on a loop-mounted XFS of its own, where
    all but device-mapper work. disk-start-*: `vm create --wait ready`, clock from the process's start to its end.
    Reference: the same with qcow2, in the same rounds. disk-make-*: the stage `disk` of those starts, measured by the
    daemon. The image is busybox with a disk of 1 GiB; copying a larger image takes longer, the others do not."""
    strategies = ["qcow2", "reflink", "copy"]
    starts, stages = {name: [] for name in strategies}, {name: [] for name in strategies}
    with tempfile.TemporaryDirectory(prefix="covey-bench-xfs-", dir="/tmp") as folder:
        subprocess.run(["truncate", "-s", "4G", f"{folder}/disk"], check=True)
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", f"{folder}/disk"], check=True)
        os.mkdir(f"{folder}/xfs")
        subprocess.run(["mount", "-o", "loop", f"{folder}/disk", f"{folder}/xfs"], check=True)
        try:
            for name in strategies:
                os.environ["COVEY_DISK_STRATEGY"] = name
                with Daemon(programs, f"{folder}/xfs") as daemon:
                    for number in range(rounds):
                        machine = f"disk{number}"
                        starts[name].append(whole(
                            [daemon.covey, "vm", "create", "--name", machine, "--disk", "1G", "busybox"],
                            daemon.environment))
                        timeline = daemon.machine(machine)["status"]["timeline"]
                        stages[name] += [stage["milliseconds"] for stage in timeline if stage["stage"] == "disk"]
                        daemon.run("vm", "rm", "-f", machine)
        finally:
            os.environ.pop("COVEY_DISK_STRATEGY", None)
            subprocess.run(["umount", "-R", f"{folder}/xfs"], check=False)
    figures = [alone("disk-start-qcow2", milliseconds(starts["qcow2"]), "ms")]
    for name in strategies[1:]:
        figures.append(against(
            f"disk-start-{name}", milliseconds(starts[name]), milliseconds(starts["qcow2"]), "ms", "qcow2"))
    return figures + [alone(f"disk-make-{name}", stages[name], "ms") for name in strategies]


REGISTRY = """version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %s/storage}}
http: {addr: "127.0.0.1:%d", secret: x}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_image(kind, folder):
    """An image of one layer: a Debian minbase, a gigabyte that does not pack, or 100,000 small files."""
    def shell(line):
        subprocess.run(["bash", "-ceu", line], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=900)
    shell(f"[ -d lay ] || umoci init --layout lay; umoci new --image lay:{kind}; umoci unpack --image lay:{kind} b")
    tree = f"{folder}/b/rootfs"
    if kind == "debian":
        shell("mmdebstrap --variant=minbase bookworm deb.tar; tar -C b/rootfs -xf deb.tar; rm deb.tar")
    elif kind == "gigabyte":
        shell("head -c 1000000000 /dev/urandom > b/rootfs/ballast")
    else:
        for outer in range(100):
            os.mkdir(f"{tree}/{outer}")
            for inner in range(1000):
                with open(f"{tree}/{outer}/{inner}", "w", encoding="ascii") as file:
                    file.write(f"file {outer} {inner}\n" * 20)
    shell(f"umoci repack --image lay:{kind} b; rm -rf b")


def pull(daemon, rounds, programs):
    """covey image pull of an image that is not there, until it is ready; against skopeo copy, umoci unpack and
    mke2fs -d of the same image from the same registry. The daemon's peak of resident memory is read per image."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="covey-bench-oci-", dir="/tmp") as folder:
        port = free_port()
        with open(f"{folder}/registry.yml", "w", encoding="ascii") as file:
            file.write(REGISTRY % (folder, port))
        registry = subprocess.Popen(["docker-registry", "serve", f"{folder}/registry.yml"], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for kind in ("debian", "gigabyte", "files"):
                make_image(kind, folder)
                name = f"127.0.0.1:{port}/bench/{kind}:1"
                subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false",
                                f"oci:{folder}/lay:{kind}", f"docker://{name}"], check=True, timeout=600)
                reference = ["bash", "-ceu", f"cd {folder}; rm -rf s u e; skopeo --insecure-policy copy -q "
                             f"--src-tls-verify=false docker://{name} oci:s:x; umoci unpack --image s:x u; "
                             "truncate -s 4G e; mke2fs -q -F -t ext4 -d u/rootfs e"]
                ours, theirs, peaks = [], [], []
                for _ in range(rounds):
                    theirs.append(whole(reference, daemon.environment, 600))
                    with open(f"/proc/{daemon.process.pid}/clear_refs", "w", encoding="ascii") as file:
                        file.write("5")
                    ours.append(whole([daemon.covey, "image", "pull", "--plain-http", name], daemon.environment, 600))
                    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as file:
                        peaks.append(int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) / 1024)
                    daemon.run("image", "rm", name)
                figures.append(against(f"pull-{kind}", milliseconds(ours), milliseconds(theirs), "ms",
                                       "skopeo, umoci and mke2fs", goal="at most 0.8"))
                figures.append(alone(f"pull-{kind}-memory", peaks, "MiB", goal="under 150"))
        finally:
            registry.kill()
            registry.wait()
    return figures


# Name, function, whether it needs a daemon, whether it needs covey-bench.
SUITES = {
    "cold-run": (cold_run, True, False),
    "boot-timeline": (boot_timeline, True, False),
    "exec-rate": (exec_rate, True, True),
    "exec-ssh": (exec_ssh, True, False),
    "sessions": (sessions, True, True),
    "copy": (copy, True, False),
    "memory": (memory, True, False),
    "create-rate": (create_rate, False, True),
    "disk-strategies": (disk_strategies, False, False),
    "pull": (pull, True, False),
    "network": (network, False, False),
    "names": (names, False, True),
    "store": (store, False, True),
    "watch-fanout": (watch_fanout, False, True),
    "leader-kill": (leader_kill, False, True),
}
