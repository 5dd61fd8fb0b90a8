import CoveyModel
import CoveySystem
import CoveyTesting
import CoveyVMM
import Glibc
import Testing

@testable import CoveyQEMU

@Suite("Interfaces, limits and figures of real machines", .serialized)
struct QEMUNetworkTests {
    private static let mac = MACAddress(bits: 0x0200_5E10_0001)

    /// A bridge with an address and a tap on it, in a namespace of their own.
    private static func bridge() async throws -> PrivateNetwork {
        let network = try await PrivateNetwork()
        try await network.shell(
            """
            ip tuntap add dev tap0 mode tap user \(MachineRun.user) vnet_hdr
            ip link add br0 type bridge
            ip link set tap0 master br0 up
            ip link set br0 up
            ip addr add 10.9.8.1/24 dev br0
            """)
        return network
    }

    @Test("a guest on a tap that was opened for it is reached from the tap's bridge, and its QEMU has no right more")
    func reach() async throws {
        let network = try await Self.bridge()
        let tap = try await network.run { SharedDescriptor(try Tap.open("tap0")) }
        try await MachineRun.with("network", openTap: { _ in try openAgain(tap) }) { run in
            run.plan.interfaces = [InterfacePlan(tap: "tap0", mac: Self.mac, mtu: 1400)]
            let vmm = try await run.launch()
            try await vmm.resume()
            let console = try run.console()
            try await console.wait(for: "covey: addressed")
            #expect(console.text.contains("covey: eth0 \(Self.mac) mtu 1400"))
            let answer = try await network.shell(
                "for try in 1 2 3 4 5; do busybox ping -c 1 -W 4 10.9.8.2 && break; done; ip neighbour show dev br0")
            #expect(answer.contains("1 packets received"), "\(answer)")
            #expect(answer.contains("10.9.8.2 lladdr \(Self.mac)"), "\(answer)")
            let status = try readText("/proc/\(vmm.handle.process.pid)/status")
            #expect(status.contains("CapEff:\t0000000000000000") && status.contains("Seccomp:\t2"))
        }
    }

    @Test("a tap that is not there, is another's or is no tap is told apart, and none is made by looking")
    func taps() async throws {
        let network = try await Self.bridge()
        func refused(_ name: String) async throws -> CoveyError? {
            do {
                _ = try await network.run { SharedDescriptor(try Tap.open(name)) }
                return nil
            } catch let error as CoveyError { return error }
        }
        let before = try await network.shell("ip -o link | cut -d: -f2")
        #expect(try await refused("gone")?.code == .notFound)
        #expect(try await refused("a-name-that-is-too-long")?.code == .failure)
        #expect(try await refused("br0")?.message == "br0 is no tap: something else has its name")
        #expect(try await network.shell("ip -o link | cut -d: -f2") == before)
        let first = try await network.run { SharedDescriptor(try Tap.open("tap0")) }
        #expect(try await refused("tap0")?.code == .conflict)
        _ = first
    }

    @Test("a machine whose tap is gone is not started, and nothing is left of the try")
    func missing() async throws {
        try await MachineRun.with("wait") { run in
            run.plan.interfaces = [InterfacePlan(tap: "cvy-none", mac: Self.mac, mtu: 1450)]
            let copy = run
            let error = await expectError(.notFound) { _ = try await copy.launch() }
            #expect(error?.message.contains("cvy-none") == true)
            run.expectNothingLeft()
            #expect(run.supervisor.spawned.isEmpty)
        }
    }

    @Test("a disk's limit is in force, and what went through the disk is counted, also for who takes the machine over")
    func limited() async throws {
        try await MachineRun.with("limited") { run in
            let disk = "\(run.folder)/disk"
            #expect(try runTool(["truncate", "-s", "16M", disk]) == 0)
            run.plan.disks = [DiskPlan(path: disk, format: .raw, readOnly: false, serial: "covey-root")]
            run.plan.diskLimit = TrafficLimit(bytesPerSecond: 1 << 20, operationsPerSecond: 500)
            let vmm = try #require(try await run.launch() as? QEMUMachine)
            let limits = try await vmm.client.execute(
                "qom-get", ["path": "/objects/disk0-limit", "property": "limits"])
            #expect(limits["bps-total"] == .integer(1 << 20) && limits["iops-total"] == .integer(500))
            let idle = try await vmm.figures()
            #expect(idle.disks == [DiskFigures(index: 0)])
            try await vmm.resume()
            let console = try run.console()
            try await console.wait(for: "covey: writing")
            let start = ContinuousClock.now
            try await console.wait(for: "covey: written")
            // 4 MiB at 1 MiB/s; a slow host only makes it longer.
            #expect(ContinuousClock.now - start > .seconds(2), "\(console.text)")
            await vmm.detach()
            let second = try #require(try await run.driver.adopt(vmm.handle) as? any MeasuredVMM)
            let figures = try await second.figures()
            #expect(figures.disks.first?.writtenBytes == 4 << 20)
            #expect(figures.disks.first?.writeOperations == 64)
            #expect(figures.cpuTime > .zero && figures.cpuTime > idle.cpuTime)
            #expect(figures.residentMemory > .mebibytes(16) && figures.residentMemory < .gibibytes(1))
            try await run.driver.destroy(vmm.handle)
            let gone = await expectError(.notFound) { _ = try await second.figures() }
            #expect(gone?.message.contains("is gone") == true)
        }
    }
}

/// A second descriptor of an open file, for who closes what it is given.
private func openAgain(_ descriptor: SharedDescriptor) throws -> FileDescriptor {
    FileDescriptor(owning: try check("fcntl F_DUPFD_CLOEXEC") { fcntl(descriptor.raw, F_DUPFD_CLOEXEC, 3) })
}
