import CoveyModel
import CoveySystem
import CoveyVMM
import Glibc

/// A real kernel and an initramfs whose init does as the kernel argument `scenario` says.
/// All that knows where they come from is here.
struct BootFixture: Sendable {
    /// An uncompressed ELF kernel.
    var kernel: String
    /// An initramfs of busybox and the virtio modules.
    var initramfs: String

    private static let cache = "/tmp/cvy-qemu-cache"
    private static let preparation = Task { try await prepare() }

    /// The fixture, prepared once and kept in a folder under `/tmp`.
    static func shared() async throws -> BootFixture { try await preparation.value }

    private static func prepare() async throws -> BootFixture {
        // A peer that ends first must show as an error of the write.
        signal(SIGPIPE, SIG_IGN)
        try makeFolder(cache)
        try writeFileAtomically("\(cache)/init", Array(initScript.utf8), mode: 0o755)
        try writeFileAtomically("\(cache)/prepare", Array(script.utf8), mode: 0o755)
        let status = try await BlockingPool().run { try runTool(["/bin/sh", "\(cache)/prepare", cache]) }
        guard status == 0 else {
            throw CoveyError(.failure, "the kernel of the tests was not prepared, see \(cache)/log")
        }
        return BootFixture(kernel: "\(cache)/vmlinux", initramfs: "\(cache)/initramfs")
    }

    private static let initScript = """
        #!/bin/busybox sh
        export PATH=/bin
        busybox mkdir -p /proc /sys /dev
        busybox mount -t proc proc /proc
        busybox mount -t sysfs sys /sys
        busybox mount -t devtmpfs dev /dev 2>/dev/null
        load() { for module; do busybox insmod /modules/$module.ko; done; }
        echo "covey: up, $scenario"
        case "$scenario" in
        poweroff) busybox poweroff -f ;;
        reboot) busybox reboot -f ;;
        panic) exit 1 ;;
        flood) busybox yes covey | busybox head -c 400000; busybox poweroff -f ;;
        button)
            load button evdev
            until [ -e /dev/input/event0 ]; do busybox usleep 10000; done
            exec 3</dev/input/event0
            echo "covey: listening"
            busybox dd bs=64 count=1 <&3 >/dev/null 2>&1
            busybox poweroff -f ;;
        network)
            load virtio_ring virtio virtio_mmio failover net_failover virtio_net
            until [ -e /sys/class/net/eth0 ]; do busybox usleep 10000; done
            echo "covey: eth0 $(busybox cat /sys/class/net/eth0/address) mtu $(busybox cat /sys/class/net/eth0/mtu)"
            busybox ifconfig eth0 10.9.8.2 netmask 255.255.255.0 up
            echo "covey: addressed" ;;
        limited)
            load virtio_ring virtio virtio_mmio virtio_blk
            until [ -e /dev/vda ]; do busybox usleep 10000; done
            echo "covey: writing"
            busybox dd if=/dev/zero of=/dev/vda bs=65536 count=64 oflag=direct 2>&1
            echo "covey: written" ;;
        devices)
            load virtio_ring virtio virtio_mmio virtio_blk virtio_console virtio-rng
            until [ -e /dev/vdb ] && [ -e /dev/vport0p1 -o -e /dev/vport1p1 ]; do busybox usleep 10000; done
            echo "covey: vda $(busybox cat /sys/block/vda/serial) ro=$(busybox cat /sys/block/vda/ro)"
            echo "covey: vdb $(busybox cat /sys/block/vdb/serial) ro=$(busybox cat /sys/block/vdb/ro)"
            echo "covey: vda begins $(busybox head -c 5 /dev/vda)"
            echo "covey: vdb begins $(busybox head -c 5 /dev/vdb)"
            echo wrote | busybox dd of=/dev/vda bs=512 conv=fsync 2>/dev/null
            echo "covey: vda now $(busybox head -c 5 /dev/vda)"
            echo "covey: rng $(busybox cat /sys/class/misc/hw_random/rng_current)"
            echo "covey: port $(busybox cat /sys/class/virtio-ports/*/name)"
            exec 3<>$(echo /dev/vport*p1)
            read line <&3
            echo "answer to $line" >&3
            busybox poweroff -f ;;
        esac
        while :; do busybox sleep 1; done
        """

    private static let script = """
        set -eu
        cd "$1"
        exec >>log 2>&1 9>lock
        flock 9
        for tool in busybox-static lz4 cpio; do
            dpkg-query -W -f '${Status}' $tool | grep -q '^install ok' || missing="${missing-} $tool"
        done
        [ -z "${missing-}" ] || apt-get install -y --no-install-recommends $missing
        if [ ! -e vmlinux ]; then
            rm -rf work && mkdir work && cd work
            package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: *\\(linux-image-[^ ]*\\).*/\\1/p' | head -1)
            apt-get -q download "$package"
            mkdir tree && dpkg-deb --fsys-tarfile *.deb | tar -x -C tree
            image=$(echo tree/boot/vmlinuz-*)
            number() { od -An -tu$2 -j$1 -N$2 "$image" | tr -d ' '; }
            start=$(( ($(number 497 1) + 1) * 512 + $(number 584 4) ))
            length=$(( $(number 588 4) - 4 ))
            tail -c +$((start + 1)) "$image" | head -c $length | lz4 -dc > vmlinux
            chmod 644 vmlinux && cd .. && mv work/vmlinux .
        fi
        rm -rf root && mkdir -p root/bin root/modules
        cp /bin/busybox root/bin/ && cp init root/init
        for module in virtio_ring virtio virtio_mmio virtio_blk virtio_console virtio-rng button evdev \\
            failover net_failover virtio_net; do
            cp "$(find work/tree/lib -name $module.ko)" root/modules/
        done
        (cd root && find . | sort | cpio -o -H newc --quiet) > initramfs.new
        cmp -s initramfs.new initramfs || { chmod 644 initramfs.new && mv initramfs.new initramfs; }
        """
}

/// Runs a program to its end. Returns its exit status, or 128 and the signal.
func runTool(_ arguments: [String]) throws -> Int32 {
    var pid = pid_t()
    var argv = arguments.map { strdup($0) } + [nil]
    defer { for case let text? in argv { free(text) } }
    let result = posix_spawnp(&pid, arguments[0], nil, nil, &argv, environ)
    guard result == 0 else { throw SystemError("posix_spawn", arguments[0], errno: result) }
    var status: Int32 = 0
    try check("waitpid", arguments[0]) { waitpid(pid, &status, 0) }
    return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
}
