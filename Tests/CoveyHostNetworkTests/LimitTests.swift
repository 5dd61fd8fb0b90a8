import CoveyModel
import CoveyNetwork
import CoveySystem
import Testing

@testable import CoveyHostNetwork

@Suite(.serialized) struct LimitTests {
    @Test(
        "What a machine receives and sends in a second holds its limit within a fifth",
        arguments: [1 << 20, 8 << 20] as [Int64])
    func bytes(rate: Int64) async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let limit = TrafficLimit(bytesPerSecond: rate)
            let interfaces = [
                try network.makeInterface(2, receives: limit), try network.makeInterface(3, sends: limit),
            ]
            try await host.carry([network], interfaces)
            let receiver = try await Machine(interfaces[0], network, on: host)
            let sender = try await Machine(interfaces[1], network, on: host)
            try await withServer(in: host.world, 80) { _ in
                let rate = try await measured(from: receiver.namespace, Host.outside, rate)
                #expect(rate > 0.8 && rate < 1.2, "receives at \(rate) of its limit")
            }
            try await withServer(in: sender.namespace, 80) { _ in
                let rate = try await measured(from: host.namespace, "10.1.0.3", rate)
                #expect(rate > 0.8 && rate < 1.2, "sends at \(rate) of its limit")
            }
        }
    }

    /// The rate of a transfer of three seconds' worth, as a part of the limit: after the first burst has passed.
    private func measured(from namespace: NetworkNamespace, _ address: String, _ limit: Int64) async throws -> Double {
        let client = try await Client.connect(from: namespace, address, 80)
        try await client.tell("give \(limit * 4)")
        _ = try await client.drain(Int(limit))
        let (bytes, time) = try await client.drain(Int(limit * 3 - limit / 4))
        return Double(bytes) / (time / .seconds(1)) / Double(limit)
    }

    @Test("A limit is changed and taken away while the machine runs") func changed() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            var interface = try network.makeInterface(2)
            let queues = { try await host.output("tc", ["qdisc"]) }
            interface.receives = TrafficLimit(bytesPerSecond: 1_000_000, burstBytes: 100_000)
            try await host.carry([network], [interface])
            #expect(try await queues().contains("rate 8Mbit burst 100000b"))
            interface.receives = TrafficLimit(bytesPerSecond: 2_000_000)
            try await host.carry([network], [interface])
            #expect(try await queues().contains("rate 16Mbit"))
            interface.receives = nil
            try await host.carry([network], [interface])
            #expect(try await !queues().contains("tbf"))
        }
    }

    @Test("A flood of packets beyond the limit is dropped") func packets() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let limit = TrafficLimit(operationsPerSecond: 50)
            let interfaces = [try network.makeInterface(2, sends: limit), try network.makeInterface(3)]
            try await host.carry([network], interfaces)
            let machine = try await Machine(interfaces[0], network, on: host)
            let other = try await Machine(interfaces[1], network, on: host)
            try await withServer(in: other.namespace, 9) { server in
                let frame = Frame.ethernet(
                    to: other.interface.mac, from: interfaces[0].mac, 0x0800,
                    Frame.udp4(from: interfaces[0].address, to: interfaces[1].address, port: 9))
                let start = ContinuousClock.now
                for _ in 0..<2000 { try machine.send(frame: frame) }
                let bound = Int((ContinuousClock.now - start) / .seconds(1) * 50) + 40
                #expect(server.texts.count < bound)
                try await eventually("more arrive in time") {
                    try machine.send(frame: frame)
                    return server.texts.count >= 5
                }
            }
        }
    }
}
