internal import CoveyModel
internal import CoveyVMM

/// The numbers under which a QEMU finds its files; a function of the plan, so that the command line is one too.
struct DescriptorNumbers: Hashable, Sendable {
    /// A disk's file and the raw file below it.
    struct Disk: Hashable, Sendable {
        var file: Int32
        var backing: Int32?
    }

    /// The guest memory's file.
    var memory: Int32
    /// The kernel.
    var kernel: Int32
    /// The initramfs.
    var initramfs: Int32
    /// The writing end of the console's pipe.
    var console: Int32
    /// The listening control socket.
    var control: Int32
    /// The listening socket of the guest channel.
    var guest: Int32
    /// The disks, in the plan's order.
    var disks: [Disk]
    /// The interfaces' taps, in the plan's order.
    var interfaces: [Int32]
    /// The reading end of what goes to the guest's serial port.
    var consoleInput: Int32
    /// Its writing end, which QEMU holds so that the pipe never ends when nobody else writes.
    var consoleKeeper: Int32

    /// The numbers for a plan, from 10 on.
    init(_ plan: LaunchPlan) {
        (memory, kernel, initramfs, console, control, guest) = (10, 11, 12, 13, 14, 15)
        var next: Int32 = 16
        func number() -> Int32 {
            defer { next += 1 }
            return next
        }
        disks = plan.disks.map { disk in Disk(file: number(), backing: disk.backing.map { _ in number() }) }
        consoleInput = number()
        consoleKeeper = number()
        interfaces = plan.interfaces.map { _ in number() }
    }
}

/// A QEMU's arguments. Everything it opens comes as a descriptor, so that it needs no right on any path;
/// nothing secret is among them, since every user of the host can read them.
struct QEMUCommandLine: Sendable {
    /// The seccomp filter: no obsolete calls, no other identity, no children, no own scheduling.
    static let sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

    /// The bound of TCG's translation cache.
    static let translationCache = ByteCount.mebibytes(32)

    /// The program.
    var binary: String
    /// What is to run.
    var plan: LaunchPlan
    /// Where its files are.
    var numbers: DescriptorNumbers
    /// The frequency of the host's time stamp counter in kHz; nil where there is none.
    var hostTSC: UInt64?

    /// The program and its arguments.
    var arguments: [String] {
        [binary] + identity + machine + memory + kernel + console + control + guestChannel + entropy + disks
            + interfaces + ["-trace", "enable=\(Recollection.traceEvent)", "-sandbox", Self.sandbox]
    }

    private var identity: [String] {
        ["-name", "guest=\(escaped(plan.name)),debug-threads=on", "-uuid", plan.machine.description]
    }

    /// PIT and PIC stay on: without them a guest hangs under TCG. The CPUs stay stopped (`-S`), and a reset of the
    /// guest ends the process (`-no-reboot`).
    private var machine: [String] {
        [
            "-machine", "microvm,rtc=on,acpi=on,pcie=off,usb=off,memory-backend=mem0,dump-guest-core=off",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-S",
            // Modern virtio; vhost-user devices take nothing else.
            "-global", "virtio-mmio.force-legacy=false",
            "-smp", "\(plan.cpus)",
        ] + accelerator
    }

    private var accelerator: [String] {
        switch plan.accelerator {
        case .kvm: ["-accel", "kvm", "-cpu", "host"]
        case .tcg, .auto:
            ["-accel", "tcg,tb-size=\(Self.translationCache.bytes >> 20),thread=multi", "-cpu", "max"]
        }
    }

    private var memory: [String] {
        let size = "\(plan.memory.bytes)B"
        return [
            "-m", "size=\(size)",
            "-object", "memory-backend-file,id=mem0,size=\(size),mem-path=/dev/fd/\(numbers.memory),share=on",
        ]
    }

    private var kernel: [String] {
        [
            "-kernel", "/dev/fd/\(numbers.kernel)", "-initrd", "/dev/fd/\(numbers.initramfs)",
            "-append", kernelArguments.joined(separator: " "),
        ]
    }

    /// The kernel's command line: the plan's arguments come last and can overrule ours.
    var kernelArguments: [String] {
        var arguments = ["quiet", "reboot=t", "panic=-1", "console=ttyS0", "pci=off"]
        switch plan.accelerator {
        case .kvm: break
        case .tcg, .auto:
            if let hostTSC {
                // The guest's own calibration against the PIT fails at random on a busy host.
                arguments += ["tsc_early_khz=\(hostTSC)", "lpj=\(2 * hostTSC)"]
            }
            // Emulation gives no speculation to mitigate.
            arguments += ["no_timer_check", "mitigations=off"]
        }
        return arguments + plan.kernelArguments
    }

    /// A chardev of kind `file` writes without blocking: while nobody reads, the guest's serial port waits,
    /// and when the reader is gone, bytes are dropped.
    private var console: [String] {
        [
            "-add-fd", "fd=\(numbers.console),set=\(numbers.console)",
            "-add-fd", "fd=\(numbers.consoleInput),set=\(numbers.consoleInput)",
            "-chardev", "file,id=console,path=/dev/fdset/\(numbers.console),append=on", "-serial", "chardev:console",
        ]
    }

    /// The console with an input, for `chardev-change`: the command line of QEMU before 8.1 takes none for a file.
    /// Source: QEMU, qapi/char.json (ChardevFile).
    var consoleWithInput: JSONValue {
        let file: JSONValue = .object([
            "in": .string("/dev/fdset/\(numbers.consoleInput)"),
            "out": .string("/dev/fdset/\(numbers.console)"), "append": .bool(true),
        ])
        return .object([
            "id": .string("console"), "backend": .object(["type": .string("file"), "data": file]),
        ])
    }

    private var control: [String] {
        [
            "-chardev", "socket,id=control,fd=\(numbers.control),server=on,wait=off",
            "-mon", "chardev=control,mode=control",
        ]
    }

    /// The channel's port, in QEMU's events.
    static let guestPort = "guest-port"

    private var guestChannel: [String] {
        [
            "-device", "virtio-serial-device,id=serial0,max_ports=2",
            "-chardev", "socket,id=guest,fd=\(numbers.guest),server=on,wait=off",
            "-device", "virtserialport,id=\(QEMUCommandLine.guestPort),bus=serial0.0,chardev=guest,name=covey.0",
        ]
    }

    private var entropy: [String] {
        ["-object", "rng-builtin,id=rng0", "-device", "virtio-rng-device,rng=rng0"]
    }

    /// QEMU separates options by commas; a doubled one stands for itself.
    func escaped(_ text: String) -> String {
        text.reduce(into: "") { $0 += $1 == "," ? ",," : String($1) }
    }
}
