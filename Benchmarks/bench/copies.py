"""Copies into a machine and out of it."""
import hashlib
import os
import subprocess
import tempfile
import time

from .figures import against


def timed(command, environment, limit=600, **streams):
    start = time.monotonic()
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, timeout=limit, **streams)
    taken = time.monotonic() - start
    if done.returncode != 0:
        raise SystemExit(f"error: {' '.join(command)}: {done.stderr.decode().strip()[-500:]}")
    return taken


def copy(daemon, rounds, programs):
    """covey cp of a file of 100 MB of random bytes into a machine's tmpfs and out of it, and of a folder of 10,000 small
    files. Clock: start of `covey` to its end. Reference for the file: `covey exec -i VM -- sh -c 'cat > FILE'` and
    `covey exec VM -- cat FILE`; for the folder: tar piped through the same exec. (scp and rsync want an ssh server in the
    machine.)"""
    size = 100_000_000
    daemon.run(
        "run", "-d", "--wait", "ready", "--name", "copy", "--memory", "1G", "busybox", "--", "sh", "-c",
        "mkdir /t && mount -t tmpfs none /t && exec sleep 100000", limit=120)
    covey, environment = daemon.covey, daemon.environment
    ours_in, ours_out, theirs_in, theirs_out = [], [], [], []
    tree_in, tree_out, tar_in, tar_out = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="covey-bench-copy-", dir="/dev/shm") as folder:
        source, back = f"{folder}/source", f"{folder}/back"
        with open(source, "wb") as file:
            file.write(os.urandom(size))
        with open(source, "rb") as file:
            wanted = hashlib.file_digest(file, "sha256").hexdigest()
        for _ in range(rounds):
            with open(source, "rb") as file:
                theirs_in.append(
                    timed([covey, "exec", "-i", "copy", "--", "sh", "-c", "cat > /t/f"], environment, stdin=file))
            ours_in.append(timed([covey, "cp", "-q", source, "copy:/t/f"], environment, stdin=subprocess.DEVNULL))
            with open(back, "wb") as file:
                theirs_out.append(timed([covey, "exec", "copy", "--", "cat", "/t/f"], environment, stdout=file))
            ours_out.append(timed([covey, "cp", "-q", "copy:/t/f", back], environment, stdin=subprocess.DEVNULL))
            with open(back, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
                    raise SystemExit("error: what came back is not what was sent")
        daemon.run("exec", "copy", "--", "rm", "/t/f")
        tree = f"{folder}/tree"
        os.mkdir(tree)
        for number in range(10_000):
            with open(f"{tree}/file-{number:05}", "w", encoding="utf-8") as file:
                file.write(f"{number}\n" * 50)
        for number in range(min(rounds, 3)):
            shell = (
                f"tar -C {folder} -c tree | {covey} exec -i copy -- tar -x -C /t",
                f"mkdir {folder}/r{number} && {covey} exec copy -- tar -c -C /t tree | tar -x -C {folder}/r{number}",
            )
            tar_in.append(timed(["sh", "-c", shell[0]], environment))
            tar_out.append(timed(["sh", "-c", shell[1]], environment))
            daemon.run("exec", "copy", "--", "rm", "-r", "/t/tree")
            tree_in.append(timed([covey, "cp", "-q", tree, "copy:/t"], environment, stdin=subprocess.DEVNULL))
            tree_out.append(
                timed([covey, "cp", "-q", "copy:/t/tree", f"{folder}/o{number}"], environment, stdin=subprocess.DEVNULL))
            daemon.run("exec", "copy", "--", "rm", "-r", "/t/tree")
    daemon.run("vm", "rm", "-f", "copy")
    goal = "at most 0.80 of scp"
    return [
        against("copy-in", ours_in, theirs_in, "s", "exec -i cat", goal=goal),
        against("copy-out", ours_out, theirs_out, "s", "exec cat", goal=goal),
        against("copy-files-in", tree_in, tar_in, "s", "tar through exec"),
        against("copy-files-out", tree_out, tar_out, "s", "tar through exec"),
    ]
