import CCovey
import CoveyModel
import CoveyNetwork
import CoveySystem
import Glibc
import Testing

@testable import CoveyHostNetwork

/// A machine as the host sees it: somebody who holds the tap open. Behind it a network namespace stands for the guest,
/// with a tap of its own; a thread carries frames between the two, with their virtio headers.
final class Machine: Sendable {
    let interface: HostedInterface
    let namespace: NetworkNamespace
    private let ends: Ends

    private final class Ends: Sendable {
        let tap: FileDescriptor
        let guest: FileDescriptor
        let stop: FileDescriptor

        init(tap: consuming FileDescriptor, guest: consuming FileDescriptor) throws {
            self.tap = tap
            self.guest = guest
            stop = FileDescriptor(owning: try check("eventfd") { eventfd(0, Int32(EFD_CLOEXEC)) })
        }

        func pump() {
            var waits = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            var buffer = [UInt8](repeating: 0, count: 1 << 17)
            while poll(&waits, 3, -1) >= 0, waits[2].revents == 0 {
                for (from, to) in [(0, 1), (1, 0)] where waits[from].revents & Int16(POLLIN) != 0 {
                    let count = read(waits[from].fd, &buffer, buffer.count)
                    if count > 0 { _ = write(waits[to].fd, buffer, count) }
                }
                // A tap that was deleted says so for ever.
                for place in 0..<2 where waits[place].revents & Int16(POLLERR | POLLHUP) != 0 { waits[place].fd = -1 }
            }
        }

        private var descriptors: [Int32] { [tap.raw, guest.raw, stop.raw] }
    }

    /// Starts a machine on the tap that the host has for its interface.
    init(_ interface: HostedInterface, _ network: HostedNetwork, on host: Host, tap name: String? = nil) async throws {
        self.interface = interface
        let given = await host.network.tap(interface.key)
        let tap = try #require(name ?? given)
        namespace = try await NetworkNamespace.make()
        // The descriptors are handed over to the ends right away.
        let outer = try await host.namespace.run { try TapDevice.open(tap).release() }
        let inner = try await namespace.run {
            let tun = try openFile("/dev/net/tun", .readWrite)
            try check("ioctl TUNSETIFF", "eth0") { covey_attach_tap(tun.raw, "eth0", 1) }
            try HostSetting("net/ipv6/conf/eth0/accept_dad").set("0")
            var netlink = try NetlinkSocket()
            try netlink.setUp("lo")
            try netlink.perform(
                .change(name: "eth0", LinkChange(mac: interface.mac, mtu: network.spec.mtu)), "eth0")
            try netlink.setUp("eth0", "\(interface.address)")
            try netlink.perform(.newRoute(by: "\(network.spec.gateway)"), "default route")
            if let six = interface.address6, let gateway = network.spec.gateway6 {
                try netlink.add("\(six)", to: "eth0")
                try netlink.perform(.newRoute(by: "\(gateway)"), "default route")
            }
            return tun.release()
        }
        let ends = try Ends(tap: FileDescriptor(owning: outer), guest: FileDescriptor(owning: inner))
        self.ends = ends
        startThread(named: "machine") { ends.pump() }
    }

    deinit { _ = eventfd_write(ends.stop.raw, 1) }

    /// Sends a frame as the machine's VMM would, whatever it says.
    func send(frame: [UInt8]) throws {
        let bytes = [UInt8](repeating: 0, count: 10) + frame
        try check("write", "a tap") { write(ends.tap.raw, bytes, bytes.count) }
    }
}

/// Frames with any content.
enum Frame {
    static func ethernet(to: MACAddress, from: MACAddress, _ type: UInt16, _ payload: [UInt8]) -> [UInt8] {
        let bytes = to.bytes + from.bytes + big(type) + payload
        return bytes + [UInt8](repeating: 0, count: max(0, 60 - bytes.count))
    }

    static func udp4(from: IPv4Address, to: IPv4Address, port: UInt16, from source: UInt16 = 4000) -> [UInt8] {
        let data = Array("forged".utf8)
        let udp = big(source) + big(port) + big(UInt16(8 + data.count)) + [0, 0] + data
        var header: [UInt8] = [0x45, 0] + big(UInt16(20 + udp.count)) + [0, 0, 0, 0, 64, 17, 0, 0]
        header += from.bytes + to.bytes
        let sum = stride(from: 0, to: 20, by: 2).reduce(UInt32(0)) {
            $0 + UInt32(header[$1]) << 8 + UInt32(header[$1 + 1])
        }
        let folded = UInt16(truncatingIfNeeded: ~(sum & 0xFFFF + sum >> 16))
        header.replaceSubrange(10..<12, with: big(folded))
        return header + udp
    }

    static func arp(operation: UInt16, mac: MACAddress, address: IPv4Address, target: IPv4Address) -> [UInt8] {
        big(1) + big(0x0800) + [6, 4] + big(operation) + mac.bytes + address.bytes + [0, 0, 0, 0, 0, 0] + target.bytes
    }

    /// A neighbour advertisement or a router advertisement with a good checksum.
    static func icmp6(from: IPv6Address, to: IPv6Address, _ message: [UInt8]) -> [UInt8] {
        var icmp = message
        let pseudo = from.bytes + to.bytes + [0, 0] + big(UInt16(icmp.count)) + [0, 0, 0, 58] + icmp
        var sum = stride(from: 0, to: pseudo.count, by: 2).reduce(UInt32(0)) {
            $0 + UInt32(pseudo[$1]) << 8 + UInt32($1 + 1 < pseudo.count ? pseudo[$1 + 1] : 0)
        }
        while sum >> 16 != 0 { sum = sum & 0xFFFF + sum >> 16 }
        icmp.replaceSubrange(2..<4, with: big(~UInt16(truncatingIfNeeded: sum)))
        return [0x60, 0, 0, 0] + big(UInt16(icmp.count)) + [58, 255] + from.bytes + to.bytes + icmp
    }

    static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
}
