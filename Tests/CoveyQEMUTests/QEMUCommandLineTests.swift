import CoveyModel
import CoveyVMM
import Testing

@testable import CoveyQEMU

@Suite("QEMU's command line")
struct QEMUCommandLineTests {
    private static func plan() throws -> LaunchPlan {
        LaunchPlan(
            machine: try #require(MachineID("0198c000-1234-7abc-8def-0123456789ab")), name: "web",
            instance: try #require(InstanceID("0123abcd")), runGeneration: 3, accelerator: .tcg, cpus: 2,
            memory: .mebibytes(256), kernel: "/k/vmlinux", initramfs: "/k/initramfs",
            kernelArguments: ["covey.x=1", "loglevel=4"],
            disks: [
                DiskPlan(path: "/d/root", format: .qcow2, backing: "/i/base", readOnly: false, serial: "covey-root"),
                DiskPlan(path: "/k/tools", format: .raw, readOnly: true, serial: "covey-tools"),
            ], runFolder: "/run/r", memoryFile: "/dev/shm/m", consoleLog: "/l/console", user: 100_001)
    }

    private static func line(_ plan: LaunchPlan, tsc: UInt64? = 2_600_000) -> QEMUCommandLine {
        QEMUCommandLine(binary: "/usr/bin/qemu", plan: plan, numbers: DescriptorNumbers(plan), hostTSC: tsc)
    }

    @Test("the whole line for a plan under emulation")
    func golden() throws {
        #expect(Self.line(try Self.plan()).arguments == goldenLine.split(separator: "\n").map(String.init))
    }

    @Test("with KVM the guest keeps its mitigations and measures its own clock")
    func kvm() throws {
        var plan = try Self.plan()
        plan.accelerator = .kvm
        let line = Self.line(plan, tsc: nil)
        #expect(
            line.kernelArguments.joined(separator: " ")
                == "quiet reboot=t panic=-1 console=ttyS0 pci=off covey.x=1 loglevel=4")
        let arguments = line.arguments.joined(separator: " ")
        #expect(arguments.contains("-accel kvm -cpu host"))
        #expect(!arguments.contains("tcg"))
    }

    @Test("descriptors have numbers of their own, and a comma in a name stays one")
    func details() throws {
        var plan = try Self.plan()
        plan.name = "a,b"
        let numbers = DescriptorNumbers(plan)
        let all =
            [numbers.memory, numbers.kernel, numbers.initramfs, numbers.console, numbers.control, numbers.guest]
            + [numbers.consoleInput, numbers.consoleKeeper]
            + numbers.disks.flatMap { [$0.file] + ($0.backing.map { [$0] } ?? []) }
        #expect(Set(all).count == 11)
        #expect(all.allSatisfy { $0 >= 3 })
        #expect(Self.line(plan).arguments.contains("guest=a,,b,debug-threads=on"))
    }

    @Test("a block device is opened as one, and a disk that may only be read is read-only in QEMU itself")
    func devices() throws {
        var plan = try Self.plan()
        plan.disks = [
            DiskPlan(path: "/dev/dm-0", format: .raw, readOnly: false, serial: "covey-root", isDevice: true),
            DiskPlan(path: "/v/data", format: .raw, readOnly: true, serial: "covey-vol-0123456789"),
        ]
        let arguments = Self.line(plan).arguments
        let nodes = arguments.filter { $0.contains("driver=host_device") }
        #expect(nodes.count == 1 && nodes[0].contains("node-name=disk0-file") && nodes[0].contains("read-only=off"))
        let second = arguments.filter { $0.contains("node-name=disk1") }
        #expect(second.count == 2 && second.allSatisfy { $0.contains("read-only=on") })
        #expect(arguments.contains("virtio-blk-device,drive=disk1,serial=covey-vol-0123456789"))
    }

    @Test("an interface is a tap as a descriptor, after the disks, whose lines it does not change")
    func interfaces() throws {
        var plan = try Self.plan()
        let before = Self.line(plan).arguments
        plan.interfaces = [
            InterfacePlan(tap: "cv01234567-1", mac: try #require(MACAddress("02:00:5e:10:00:01")), mtu: 1450),
            InterfacePlan(tap: "cv01234567-2", mac: try #require(MACAddress("02:00:5e:10:00:02")), mtu: 9000),
        ]
        let added = [
            "-netdev", "tap,id=net0,fd=21,vhost=off",
            "-device", "virtio-net-device,netdev=net0,mac=02:00:5e:10:00:01,host_mtu=1450",
            "-netdev", "tap,id=net1,fd=22,vhost=off",
            "-device", "virtio-net-device,netdev=net1,mac=02:00:5e:10:00:02,host_mtu=9000",
        ]
        let place = try #require(before.firstIndex(of: "-trace"))
        #expect(Self.line(plan).arguments == before[..<place] + added + before[place...])
        #expect(!Self.line(plan).arguments.joined(separator: " ").contains("cv01234567"))
    }

    @Test("a limit stands before each disk that may be written to, and before no other")
    func diskLimits() throws {
        var plan = try Self.plan()
        let before = Self.line(plan).arguments
        plan.diskLimit = TrafficLimit()
        #expect(Self.line(plan).arguments == before, "a limit that bounds nothing is none")
        plan.diskLimit = TrafficLimit(bytesPerSecond: 1 << 20, operationsPerSecond: 100, burstBytes: 4 << 20)
        let arguments = Self.line(plan).arguments
        #expect(
            arguments.contains(
                #"{"qom-type":"throttle-group","id":"disk0-limit","limits":{"bps-total":1048576,"#
                    + #""bps-total-max":4194304,"iops-total":100}}"#))
        #expect(
            arguments.contains(
                "driver=throttle,node-name=disk0,throttle-group=disk0-limit,file=disk0-image,discard=unmap,"
                    + "cache.direct=off,cache.no-flush=off,read-only=off"))
        #expect(arguments.contains { $0.hasPrefix("driver=qcow2,node-name=disk0-image,file=disk0-file,") })
        #expect(arguments.contains("virtio-blk-device,drive=disk0,serial=covey-root"))
        #expect(arguments.filter { $0.contains("disk1") } == before.filter { $0.contains("disk1") })
    }

    @Test("a burst of less than a second's worth cannot be told to QEMU, and is a tenth of it")
    func bursts() {
        #expect(
            QEMUCommandLine.throttle(TrafficLimit(bytesPerSecond: 1000, burstBytes: 999)) == #""bps-total":1000"#)
        #expect(QEMUCommandLine.throttle(TrafficLimit(operationsPerSecond: 5, burstBytes: 10)) == #""iops-total":5"#)
        #expect(QEMUCommandLine.throttle(TrafficLimit(bytesPerSecond: 0, operationsPerSecond: -1)) == nil)
        #expect(
            QEMUCommandLine.throttle(TrafficLimit(bytesPerSecond: .max)) == #""bps-total":1000000000000000"#)
    }

    @Test("no path of the host is among the arguments")
    func paths() throws {
        let plan = try Self.plan()
        let arguments = Self.line(plan).arguments.joined(separator: " ")
        for path in [plan.kernel, plan.initramfs, plan.runFolder, plan.memoryFile, plan.consoleLog, "/d/", "/i/"] {
            #expect(!arguments.contains(path))
        }
    }

    @Test("what is said of a descriptor is shown with the file's name")
    func messages() throws {
        let plan = try Self.plan()
        let log = """
            qemu-system-x86_64: warning: x
            /usr/bin/qemu-system-x86_64: -initrd: could not load '/dev/fd/12': no
            qemu-system-x86_64: -blockdev x: Could not open '/dev/fdset/17', /dev/fdset/170
            """
        #expect(
            QEMUDriver.readable(log, plan)
                == "warning: x; could not load /k/initramfs no; Could not open /i/base /dev/fdset/170"
        )
    }

    @Test("the limits leave room for QEMU itself")
    func limits() throws {
        let limits = QEMUDriver.limits(try Self.plan())
        #expect(limits.memory == .mebibytes(256 + 256 + 32 + 32 + 2))
        #expect(limits.tasks == 98)
    }
}

private let goldenLine = """
    /usr/bin/qemu
    -name
    guest=web,debug-threads=on
    -uuid
    0198c000-1234-7abc-8def-0123456789ab
    -machine
    microvm,rtc=on,acpi=on,pcie=off,usb=off,memory-backend=mem0,dump-guest-core=off
    -nodefaults
    -no-user-config
    -display
    none
    -no-reboot
    -S
    -global
    virtio-mmio.force-legacy=false
    -smp
    2
    -accel
    tcg,tb-size=32,thread=multi
    -cpu
    max
    -m
    size=268435456B
    -object
    memory-backend-file,id=mem0,size=268435456B,mem-path=/dev/fd/10,share=on
    -kernel
    /dev/fd/11
    -initrd
    /dev/fd/12
    -append
    quiet reboot=t panic=-1 console=ttyS0 pci=off tsc_early_khz=2600000 lpj=5200000 no_timer_check mitigations=off covey.x=1 loglevel=4
    -add-fd
    fd=13,set=13
    -add-fd
    fd=19,set=19
    -chardev
    file,id=console,path=/dev/fdset/13,append=on
    -serial
    chardev:console
    -chardev
    socket,id=control,fd=14,server=on,wait=off
    -mon
    chardev=control,mode=control
    -device
    virtio-serial-device,id=serial0,max_ports=2
    -chardev
    socket,id=guest,fd=15,server=on,wait=off
    -device
    virtserialport,id=guest-port,bus=serial0.0,chardev=guest,name=covey.0
    -object
    rng-builtin,id=rng0
    -device
    virtio-rng-device,rng=rng0
    -add-fd
    fd=17,set=17
    -blockdev
    driver=file,node-name=disk0-base,filename=/dev/fdset/17,aio=threads,discard=unmap,cache.direct=off,cache.no-flush=off,read-only=on
    -add-fd
    fd=16,set=16
    -blockdev
    driver=file,node-name=disk0-file,filename=/dev/fdset/16,aio=threads,discard=unmap,cache.direct=off,cache.no-flush=off,read-only=off
    -blockdev
    driver=raw,node-name=disk0-below,file=disk0-base,cache.direct=off,cache.no-flush=off,read-only=on
    -blockdev
    driver=qcow2,node-name=disk0,file=disk0-file,backing=disk0-below,discard=unmap,cache.direct=off,cache.no-flush=off,read-only=off
    -device
    virtio-blk-device,drive=disk0,serial=covey-root
    -add-fd
    fd=18,set=18
    -blockdev
    driver=file,node-name=disk1-file,filename=/dev/fdset/18,aio=threads,discard=unmap,cache.direct=off,cache.no-flush=off,read-only=on
    -blockdev
    driver=raw,node-name=disk1,file=disk1-file,discard=unmap,cache.direct=off,cache.no-flush=off,read-only=on
    -device
    virtio-blk-device,drive=disk1,serial=covey-tools
    -trace
    enable=qemu_system_shutdown_request
    -sandbox
    on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
    """
