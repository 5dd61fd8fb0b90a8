"""Raw QEMU with the very command line of one of Covey's machines, and a first program that mounts the root and prints.

What is the same: QEMU, its arguments and so accelerator, CPUs, memory, devices, sandbox and kernel arguments; the
kernel file; the modules and their order; the image; a new qcow2 overlay each time; the page cache.
What differs: no `-S`, so that nobody has to let the guest go; an initramfs with raw-init in the place of the agent;
the overlay, the memory's file and the sockets are made before the clock starts; no cgroup, no uid of its own, no pipe
between console and log.
"""
import os
import re
import select
import socket
import subprocess
import time

MARKER = b"covey-raw-qemu: root mounted"


def members(archive):
    """Names and places of a cpio archive (newc): (name, start, header and name, data with padding)."""
    place = 0
    while archive[place:place + 6] == b"070701":
        field = lambda number: int(archive[place + 6 + 8 * number:place + 14 + 8 * number], 16)
        size, length = field(6), field(11)
        data = (place + 110 + length + 3) & ~3
        end = (data + size + 3) & ~3
        yield archive[place + 110:place + 110 + length - 1].decode(), place, data, end
        place = end


def initramfs(path, program):
    """Covey's initramfs with another `init`."""
    archive = open(path, "rb").read()
    made = bytearray()
    for name, start, data, end in members(archive):
        if name != "init":
            made += archive[start:end]
            if name == "TRAILER!!!":
                break
            continue
        header = bytearray(archive[start:data])
        header[6 + 8 * 6:6 + 8 * 7] = b"%08X" % len(program)
        made += header + program + bytes(-len(program) % 4)
    return bytes(made)


class RawQEMU:
    def __init__(self, pid, root, folder):
        """Learns from a running VMM of the daemon whose files lie below `root`; makes its own files in `folder`."""
        words = open(f"/proc/{pid}/cmdline", "rb").read().decode().rstrip("\0").split("\0")
        words = [word for word in words if word != "-S"]
        self.folder = folder
        self.size = int(re.search(r"memory-backend-file,id=mem0,size=(\d+)B", " ".join(words))[1])
        self.memory_folder = f"{root}/run/memory"
        links = {}
        for number in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{number}")
            name = os.path.basename(target).split("-")[0]
            links[name] = target
        self.kernel, self.tools = links["vmlinux"], links["tools"]
        self.image = links["root.ext4"]
        # Covey's agent passes what it opens under fixed numbers, in the order of the plan.
        self.words = words
        program = f"{folder}/raw-init"
        subprocess.run(
            ["gcc", "-O2", "-static", "-o", program, os.path.dirname(__file__) + "/../raw-init.c"], check=True)
        self.initramfs = f"{folder}/raw-initramfs"
        with open(self.initramfs, "wb") as file:
            file.write(initramfs(links["initramfs"], open(program, "rb").read()))

    def run(self):
        """Seconds from the start of the process to the first byte of what the guest's first program prints."""
        overlay = f"{self.folder}/raw.qcow2"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.image, overlay], check=True)
        memory = f"{self.memory_folder}/raw-qemu"
        with open(memory, "wb") as file:
            file.truncate(self.size)
        sockets = []
        for name in ("control", "guest"):
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listening.bind(f"{self.folder}/raw-{name}")
            listening.listen(8)
            sockets.append(listening)
        reading, writing = os.pipe()
        opened = [os.open(path, flags) for path, flags in (
            (memory, os.O_RDWR), (self.kernel, os.O_RDONLY), (self.initramfs, os.O_RDONLY))]
        opened += [writing, sockets[0].fileno(), sockets[1].fileno()]
        opened += [os.open(path, flags) for path, flags in (
            (overlay, os.O_RDWR), (self.image, os.O_RDONLY), (self.tools, os.O_RDONLY))]
        # In two moves, so that no number is overwritten before it was copied.
        high = [os.dup2(number, 100 + index, inheritable=True) for index, number in enumerate(opened)]
        try:
            return self.measure(reading, high)
        finally:
            for number in high + opened[:4] + opened[6:] + [reading]:
                try:
                    os.close(number)
                except OSError:
                    pass
            for listening in sockets:
                listening.close()
            # QEMU removes its sockets itself when it ends in order.
            for path in (f"{self.folder}/raw-control", f"{self.folder}/raw-guest", overlay, memory):
                if os.path.exists(path):
                    os.unlink(path)

    def measure(self, reading, high):
        def place():
            for index, number in enumerate(high):
                os.dup2(number, 10 + index, inheritable=True)

        start = time.monotonic()
        process = subprocess.Popen(
            self.words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=place, close_fds=False)
        os.close(103)
        seen, found = b"", None
        while found is None:
            if time.monotonic() - start > 60 or process.poll() is not None:
                process.kill()
                process.wait()
                raise SystemExit(f"error: raw QEMU printed no marker: {seen[-500:]!r}")
            if select.select([reading], [], [], 1)[0]:
                seen += os.read(reading, 65536)
                if MARKER[:5] in seen:
                    found = time.monotonic() - start
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return found
