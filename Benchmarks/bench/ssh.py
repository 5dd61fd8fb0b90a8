"""`covey exec` against ssh, whose master connection is open."""
import os
import subprocess
import time

from .figures import against


def timed(command, environment):
    """Seconds from the start of a process to its end."""
    start = time.monotonic()
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    taken = time.monotonic() - start
    if done.returncode != 0:
        raise SystemExit(f"error: {' '.join(command)}: {done.stderr.decode().strip()[-500:]}")
    return taken * 1000


def exec_ssh(daemon, rounds, programs):
    """exec-vs-ssh: a `covey exec VM -- true` process. Reference: `ssh VM.vm true` over a master connection that is open.
    ssh-first: `ssh VM.vm true` that makes its own connection, over the guest channel. Clock: start to end of the
    process; in turns."""
    daemon.start("login")
    environment = {**daemon.environment, "XDG_CONFIG_HOME": f"{daemon.folder}/config"}
    file, socket = f"{daemon.folder}/ssh-config", f"{daemon.folder}/master"
    timed([daemon.covey, "ssh-config", "--install", "--file", file], environment)
    ssh = ["ssh", "-F", file]
    master = subprocess.Popen(
        [*ssh, "-M", "-N", "-S", socket, "login.vm"], env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not os.path.exists(socket):
            if master.poll() is not None or time.monotonic() > end:
                raise SystemExit("error: ssh made no master connection")
            time.sleep(0.02)
        ours, theirs, first = [], [], []
        command = [daemon.covey, "exec", "login", "--", "true"]
        reference = [*ssh, "-S", socket, "login.vm", "true"]
        timed(command, environment)
        timed(reference, environment)
        for _ in range(rounds * 4):
            theirs.append(timed(reference, environment))
            ours.append(timed(command, environment))
        for _ in range(rounds):
            first.append(timed([*ssh, "-S", "none", "login.vm", "true"], environment))
    finally:
        master.terminate()
        master.wait(20)
    daemon.run("vm", "rm", "-f", "login")
    return [
        against("exec-vs-ssh", ours, theirs, "ms", "ssh, master connection open", goal="at most 0.5"),
        against("ssh-first", first, theirs, "ms", "ssh, master connection open"),
    ]
