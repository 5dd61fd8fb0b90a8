import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite struct InternetSocketTests {
    private func endpoint(_ text: String, port: UInt16 = 0) throws -> SocketEndpoint {
        SocketEndpoint(try #require(IPAddress(text)), port: port)
    }

    @Test("datagrams go both ways between endpoints of both versions", arguments: ["127.0.0.1", "::1"])
    func datagrams(_ address: String) async throws {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let server = try DatagramSocket(try bindUDP(try endpoint(address)), reactor: reactor)
        let place = try boundEndpoint(server.raw)
        #expect(place.address.description == address && place.port > 0)
        let client = try DatagramSocket(try connectUDP(place), reactor: reactor)
        try client.send([1, 2, 3], to: nil)
        try await withDeadline(.seconds(10), "a datagram") { try await server.readable() }
        let datagram = try #require(try server.receive())
        let mine = try boundEndpoint(client.raw)
        #expect(datagram.bytes == [1, 2, 3] && datagram.source == mine)
        #expect(try server.receive() == nil)
        try server.send([4], to: datagram.source)
        try await withDeadline(.seconds(10), "an answer") { try await client.readable() }
        #expect(try client.receive()?.bytes == [4])
    }

    @Test("a connected socket hears of a closed port, and of no other peer")
    func connected() async throws {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let place: SocketEndpoint
        do {
            let gone = try bindUDP(try endpoint("127.0.0.1"))
            place = try boundEndpoint(gone.raw)
        }
        let client = try DatagramSocket(try connectUDP(place), reactor: reactor)
        try client.send([1], to: nil)
        try await withDeadline(.seconds(10), "the refusal") { try await client.readable() }
        let error = #expect(throws: SystemError.self) { _ = try client.receive() }
        #expect(error?.isErrno(111) == true)
        let other = try DatagramSocket(try bindUDP(try endpoint("127.0.0.2")), reactor: reactor)
        try other.send([9], to: try boundEndpoint(client.raw))
        let peer = try DatagramSocket(try bindUDP(place), reactor: reactor)
        try peer.send([7], to: try boundEndpoint(client.raw))
        try await withDeadline(.seconds(10), "the peer's datagram") { try await client.readable() }
        #expect(try client.receive()?.bytes == [7])
        #expect(try client.receive() == nil)
    }

    @Test("a connection is made and refused as its port is listened on or not", arguments: ["127.0.0.1", "::1"])
    func connections(_ address: String) async throws {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let place: SocketEndpoint
        do {
            let listener = try listenTCP(try endpoint(address))
            place = try boundEndpoint(listener.raw)
            if let _ = try acceptTCP(listener.raw) { Issue.record("a connection waits") }
            let client = try await ByteStream.connectTCP(place, reactor: reactor)
            let raw = listener.raw
            try await withDeadline(.seconds(10), "a connection") { try await reactor.readable(raw) }
            guard let accepted = try acceptTCP(listener.raw) else {
                Issue.record("no connection waits")
                return
            }
            let mine = try boundEndpoint(client.raw)
            #expect(try peerEndpoint(accepted.raw) == mine)
        }
        // A program that another test is just starting may hold a copy of the listener until it has become that program.
        let refusal = try await withDeadline(.seconds(10), "a refusal") { () async throws -> SystemError in
            while true {
                do { _ = try await ByteStream.connectTCP(place, reactor: reactor) } catch let error as SystemError {
                    return error
                }
            }
        }
        #expect(refusal.isErrno(111))
    }

    @Test("who has a port is found by address and by every address, with its process")
    func owner() throws {
        for (address, transport) in [
            ("127.0.0.1", TransportProtocol.udp), ("0.0.0.0", .udp), ("::1", .udp), ("127.0.0.1", .tcp), ("::", .tcp),
        ] {
            let socket = transport == .udp ? try bindUDP(try endpoint(address)) : try listenTCP(try endpoint(address))
            let place = try boundEndpoint(socket.raw)
            let asked = place.address.isUnspecified ? "127.0.0.1" : address
            let owner = try #require(try SocketOwner.find(try endpoint(asked, port: place.port), transport))
            #expect(owner.pid == getpid() && owner.endpoint == place && owner.program?.isEmpty == false)
            let other = try endpoint("127.0.0.77", port: place.port)
            if !place.address.isUnspecified { #expect(try SocketOwner.find(other, transport) == nil) }
            #expect(socket.raw >= 0)
        }
    }

    @Test("a socket may be bound to an address that no link has yet, and to a link alone")
    func options() throws {
        let absent = try endpoint("192.0.2.1")
        let error = #expect(throws: SystemError.self) { _ = try bindUDP(absent) }
        #expect(error?.isErrno(99) == true)
        let bound = try bindUDP(absent, BindOptions(mayBeAbsent: true))
        #expect(try boundEndpoint(bound.raw).address == absent.address)
        let six = try listenTCP(try endpoint("2001:db8::1"), BindOptions(mayBeAbsent: true))
        #expect(try boundEndpoint(six.raw).address.description == "2001:db8::1")
        let missing = #expect(throws: SystemError.self) {
            _ = try bindUDP(absent, BindOptions(mayBeAbsent: true, device: "no-such-link"))
        }
        #expect(missing?.isErrno(19) == true)
        #expect(linkIndex("lo") != nil && linkIndex("no-such-link") == nil)
    }

    @Test("what a refused source sends does not come in until it is let in again", arguments: [false, true])
    func refused(_ isV6: Bool) async throws {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let server = try DatagramSocket(try bindUDP(try endpoint(isV6 ? "::1" : "127.0.0.1")), reactor: reactor)
        let place = try boundEndpoint(server.raw)
        let bad = try DatagramSocket(try bindUDP(try endpoint(isV6 ? "::1" : "127.0.0.66")), reactor: reactor)
        let addresses = ["10.0.0.1", "fd00::1", isV6 ? "::1" : "127.0.0.66"]
        func received() async throws -> [UInt8] {
            try await withDeadline(.seconds(10), "a datagram") { try await server.readable() }
            return try server.receive()?.bytes ?? []
        }
        try bad.send([1], to: place)
        #expect(try await received() == [1])
        try server.refuse(Set(addresses.compactMap(IPAddress.init)))
        // On loopback a datagram is there, or dropped, when send returns.
        try bad.send([2], to: place)
        #expect(try server.receive() == nil)
        if !isV6 {
            let good = try DatagramSocket(try bindUDP(try endpoint("127.0.0.67")), reactor: reactor)
            try good.send([3], to: place)
            #expect(try await received() == [3])
        }
        try server.refuse([])
        try server.refuse([])
        try bad.send([4], to: place)
        #expect(try await received() == [4])
        let many = Set((0...UInt32(DatagramSocket.mostRefused)).map { IPAddress.v4(IPv4Address(bits: $0)) })
        if !isV6 { #expect(throws: SystemError.self) { try server.refuse(many) } }
    }
}
