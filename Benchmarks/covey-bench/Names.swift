internal import CoveyModel
internal import CoveyNames
internal import CoveyNetwork
internal import CoveySystem
internal import Glibc

/// Names of machines, served by our names service alone: `m0.vm` and so on, until standard input ends.
struct NamesServe {
    let port: Int
    let names: Int

    /// Serves at 127.0.0.1, which is the gateway of the one network; whoever asks from there is one of its machines.
    func run() async throws {
        guard let block = AddressBlock("127.0.0.0/8"), let port = UInt16(exactly: port) else {
            throw CoveyError(.invalid, "\(port) is no port")
        }
        let network = HostedNetwork(
            id: NetworkID(high: 0, low: 1), tenant: Tenant.standard.description, name: "bench",
            spec: NetworkSpec(block: block))
        let interfaces = (0..<names).map { number in
            HostedInterface(
                key: InterfaceKey(machine: MachineID(high: 0, low: UInt64(number)), index: 0), name: "m\(number)",
                tenant: network.tenant, network: network.id, mac: MACAddress(bits: 0x0200_0000_0000 | UInt64(number)),
                address: IPv4Address(bits: 0x0A40_0000 | UInt32(number)), owner: 0)
        }
        var limits = NamesLimits()
        limits.client.questionsPerSecond = nil
        let reactor = try Reactor()
        let server = NamesServer(
            NamesSettings(host: nil, port: port, upstreams: .fixed([]), limits: limits), reactor: reactor)
        await server.update(NameState(networks: [network], interfaces: interfaces))
        let life = Task { try await server.run() }
        while try await readSome(0, on: reactor) {}
        life.cancel()
        _ = await life.result
        reactor.shutdown()
    }

    /// Whether standard input goes on.
    private func readSome(_ descriptor: Int32, on reactor: Reactor) async throws -> Bool {
        try await reactor.readable(descriptor)
        return try CoveySystem.readSome(descriptor)?.isEmpty == false
    }
}

/// Asks a server for `m0.vm` and so on over one socket, on a thread of its own, with system calls alone.
struct NamesLoad {
    let port: Int
    let names: Int
    let questions: Int

    /// Answers per second with 64 questions under way, and the latencies in seconds with one: median and 99th of 100.
    func run() async throws -> [String: [Double]] {
        try await BlockingPool().run { @Sendable in
            let socket = try connectUDP(SocketEndpoint(.v4(IPv4Address(bits: 0x7F00_0001)), port: UInt16(port)))
            // The server may have been started just now.
            _ = try? ask(socket.raw, count: 100, window: 1)
            _ = try ask(socket.raw, count: questions / 10, window: 64)
            let start = ContinuousClock.now
            _ = try ask(socket.raw, count: questions, window: 64)
            let whole = (ContinuousClock.now - start) / .seconds(1)
            let latencies = try ask(socket.raw, count: questions / 10, window: 1).sorted()
            return [
                "rate": [Double(questions) / whole], "median": [latencies[latencies.count / 2]],
                "p99": [latencies[latencies.count * 99 / 100]],
            ]
        }
    }

    /// Seconds from each question to its answer. Errors: one that is not answered within 2 s, or without an address.
    private func ask(_ socket: Int32, count: Int, window: Int) throws -> [Double] {
        let bytes = try (0..<names).map { number in
            guard let name = DNSName("m\(number).vm") else { throw CoveyError(.internalError, "no name") }
            return DNSMessage(id: 0, question: DNSQuestion(name, .a), edns: DNSExtension()).encoded()
        }
        var latencies: [Double] = []
        latencies.reserveCapacity(count)
        var sent = [ContinuousClock.Instant](repeating: .now, count: 65536)
        var next = 0
        var buffer = [UInt8](repeating: 0, count: 2048)
        func send() throws {
            var message = bytes[next % names]
            message[0] = UInt8(next >> 8 & 255)
            message[1] = UInt8(next & 255)
            sent[next & 65535] = .now
            next += 1
            try check("send") { Glibc.send(socket, message, message.count, 0) }
        }
        while latencies.count < count {
            while next < count, next - latencies.count < window { try send() }
            var wait = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard try check("poll", "", { poll(&wait, 1, 2000) }) == 1 else {
                throw CoveyError(.deadline, "\(next - latencies.count) questions were not answered")
            }
            while true {
                let got = recv(socket, &buffer, buffer.count, 0)
                if got < 0, errno == EAGAIN { break }
                guard got >= 12, buffer[3] & 15 == 0, buffer[7] == 1 else {
                    throw CoveyError(.failure, "an answer without an address")
                }
                let id = Int(buffer[0]) << 8 | Int(buffer[1])
                latencies.append((ContinuousClock.now - sent[id]) / .seconds(1))
            }
        }
        return latencies
    }
}
