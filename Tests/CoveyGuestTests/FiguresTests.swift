import CoveyGuestProtocol
import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyGuest

@Suite("What listens in a guest, and what it uses")
struct FiguresTests {
    @Test("the kernel's tables are read: who listens by TCP, who is bound by UDP")
    func tables() {
        let tcp = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 811 1 0 100 0
               1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 812 1 0 100 0
               2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 813 1 0 100 0
            garbage
               3: 0100007F:XYZ 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 814 1 0 100 0
            """
        #expect(
            ListeningSockets.parse(tcp, .tcp)
                == [
                    .init(transport: .tcp, address: .v4(IPv4Address(bits: 0)), port: 22, inode: 811),
                    .init(transport: .tcp, address: .v4(IPv4Address(bits: 0x7F00_0001)), port: 8080, inode: 813),
                ])
        let udp6 = """
              sl  local_address                         remote_address                        st
               0: 000080FE00000000FF3E1602FE563412:0222 00000000000000000000000000000000:0000 07 0:0 00:0 0  0  0 21 2
               1: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 0:0 00:0 0  0  0 22 2
            """
        #expect(
            ListeningSockets.parse(udp6, .udp).map { "\($0.address) \($0.port) \($0.inode)" }
                == ["fe80::216:3eff:1234:56fe 546 21", "::1 53 22"])
        #expect(ListeningSockets.parse("", .tcp).isEmpty)
    }

    @Test("memory and load are read, and a file that says less is none")
    func usage() {
        let memory = "MemTotal:  126976 kB\nMemFree:  1 kB\nMemAvailable:   65536 kB\n"
        #expect(
            MachineUsage.parse(memory: memory, load: "0.25 0.10 0.01 1/42 99\n")
                == GuestUsage(memory: ByteCount(126_976 << 10), available: .mebibytes(64), load: 0.25))
        #expect(MachineUsage.parse(memory: "MemTotal: 1 kB\n", load: "0.25 0") == nil)
        #expect(MachineUsage.parse(memory: memory, load: "") == nil)
    }

    @Test("a port that a program listens on is found with the program, and usage has an order")
    func live() async throws {
        try await withAgent { harness in
            let session = try await harness.idle()
            let listener = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(listener) }
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_addr = in6addr_loopback
            var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
            let port = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { plain -> UInt16? in
                    guard bind(listener, plain, length) == 0, listen(listener, 1) == 0,
                        getsockname(listener, plain, &length) == 0
                    else { return nil }
                    return UInt16(bigEndian: pointer.pointee.sin6_port)
                }
            }
            let wanted = try #require(port)
            let found = try await session.listeningPorts().first { $0.port == wanted && $0.transport == .tcp }
            #expect(found?.address == IPAddress("::1"))
            #expect(found?.pid == getpid())
            #expect(found?.program?.isEmpty == false)
            let usage = try await session.usage()
            #expect(usage.available > ByteCount(0) && usage.available <= usage.memory)
            await session.close()
        }
    }

    @Test("the network can be changed once the machine is configured, and not before")
    func change() async throws {
        try await withAgent { harness in
            let session = try await harness.connect()
            await #expect(throws: CoveyError.self) {
                try await session.setNetwork(MessageTests.network, hostname: "copy")
            }
            try await session.configure(GuestConfiguration(hostname: "h", purpose: .idle))
            try await session.setNetwork(MessageTests.network, hostname: "copy")
            await session.close()
            let next = try await harness.connect()
            #expect(next.hello.hostname == "copy", "the next session says which name the machine has")
            try await next.setNetwork(MessageTests.network, hostname: nil)
            await next.close()
            let last = try await harness.connect()
            #expect(last.hello.hostname == "copy")
            #expect(
                harness.record.all == [
                    "configure h", "network \(MessageTests.network.interfaces.map(\.mac)) copy",
                    "network \(MessageTests.network.interfaces.map(\.mac)) -",
                ])
            await last.close()
        }
    }
}
