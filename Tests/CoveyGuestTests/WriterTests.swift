import CoveyGuestProtocol
import CoveyModel
import CoveySystem
import Testing

@Suite struct WriterTests {
    @Test("several that write to a program that does not read wait, and all of it arrives when it does")
    func writers() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let mark = "\(agent.folder)/go"
            let script = "while [ ! -e \(mark) ]; do sleep 0.05; done; exec wc -c"
            let stream = try await session.run(shell(script, input: true))
            // More than pipe and windows take.
            let piece = [UInt8](repeating: 120, count: 300_000)
            let writes = (0..<3).map { _ in Task { try await stream.write(piece) } }
            // The program reads only after the writers have filled what holds their bytes.
            try await session.ping()
            try writeFileAtomically(mark, [], mode: 0o600)
            for write in writes { try await write.value }
            try await stream.closeInput()
            let all = try await collect(stream)
            #expect(all.text.split(separator: " ").first?.filter(\.isNumber) == "900000", "\(all.text)")
            await session.close()
        }
    }
}
