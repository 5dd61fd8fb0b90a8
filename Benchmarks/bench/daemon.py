"""A daemon of our own under a root of its own, and its end with nothing left behind."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time


class Daemon:
    def __init__(self, programs, place="/tmp", namespace=None):
        """`namespace` is the pid of a process whose network the daemon gets; without one, machines have none."""
        self.enter = ["nsenter", f"--net=/proc/{namespace}/ns/net", "--"] if namespace else []
        self.covey = f"{programs}/covey"
        self.folder = tempfile.mkdtemp(prefix="covey-bench-", dir=place)
        self.root = f"{self.folder}/r"
        self.socket = f"{self.root}/covey.sock"
        self.environment = {**os.environ, "COVEY_HOST": f"unix:{self.socket}"}
        self.process = None

    def __enter__(self):
        try:
            log = open(f"{self.folder}/log", "wb")
            os.mkdir(self.root)
            with open(f"{self.root}/config.yaml", "w", encoding="utf-8") as file:
                file.write(f"network:\n  mode: {'auto' if self.enter else 'off'}\n")
            self.process = subprocess.Popen(
                [*self.enter, self.covey, "daemon", "--root", self.root], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True)
            self.await_socket()
            self.version = self.run("version")
            self.run("kernel", "import", self.kernel() if self.enter else "debian", limit=600)
            # Builds the image, and fills the page cache, as the reference's files are in it too.
            for _ in range(2):
                self.run("run", "--rm", "busybox", "--", "true", limit=120)
        except BaseException:
            self.__exit__()
            raise
        return self

    def kernel(self):
        """Debian's cloud kernel as a file: apt has no network where the daemon is."""
        depends = subprocess.run(
            ["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True, check=True).stdout
        package = re.search(r"Depends: (linux-image-\S+)", depends)[1]
        subprocess.run(["apt-get", "download", "-q", package], cwd=self.folder, capture_output=True, check=True)
        return glob.glob(f"{self.folder}/{package}_*.deb")[0]

    def await_socket(self):
        end = time.monotonic() + 30
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                with open(f"{self.folder}/log", encoding="utf-8") as log:
                    raise SystemExit(f"error: the daemon did not start: {log.read()[-500:]}")
            time.sleep(0.01)

    def run(self, *arguments, limit=60):
        done = subprocess.run(
            [self.covey, *arguments], env=self.environment, capture_output=True, text=True, timeout=limit)
        if done.returncode != 0:
            raise SystemExit(f"error: covey {' '.join(arguments)}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def machine(self, name):
        return json.loads(self.run("vm", "inspect", name, "-o", "json"))

    def start(self, name):
        """A machine whose program waits; returns its record once its agent has answered."""
        self.run("run", "-d", "--wait", "ready", "--name", name, "busybox", "--", "sleep", "100000", limit=120)
        return self.machine(name)

    def guard(self):
        """The guard's pid; None where there is none."""
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                words = open(path, "rb").read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"covey-guard") and f"{self.root}/run".encode() in words:
                return int(path.split("/")[2])
        return None

    def __exit__(self, *_):
        try:
            if self.process and self.process.poll() is None:
                names = self.run("vm", "ls", "-q").split()
                if names:
                    self.run("vm", "rm", "-f", *names, limit=120)
                self.process.send_signal(signal.SIGTERM)
                self.process.wait(30)
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            guard = self.guard()
            if guard is not None:
                os.kill(guard, signal.SIGTERM)
                end = time.monotonic() + 10
                while os.path.exists(f"/proc/{guard}") and time.monotonic() < end:
                    time.sleep(0.02)
            if os.path.ismount(f"{self.root}/run/memory"):
                subprocess.run(["umount", f"{self.root}/run/memory"], check=False)
            instance = re.search(r"instance ([0-9a-f]{8})", getattr(self, "version", ""))
            if instance:
                for group in glob.glob(f"/sys/fs/cgroup/**/covey-{instance[1]}", recursive=True):
                    for folder, _, _ in os.walk(group, topdown=False):
                        try:
                            os.rmdir(folder)
                        except OSError as error:
                            print(f"warning: {folder}: {error.strerror}")
            shutil.rmtree(self.folder, ignore_errors=True)
