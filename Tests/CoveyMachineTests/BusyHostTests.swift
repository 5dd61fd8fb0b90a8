import CoveyModel
import Glibc
import Testing

@Suite("A host that is busy", .tags(.machine), .serialized, .host)
struct BusyHostTests {
    @Test("every boot in a row comes up while busy loops take the processors")
    func boots() async throws {
        let host = try await TestHost.current()
        let loops = try (0..<Soak.count(2, soak: 3)).map { _ in
            try Child(["/bin/sh", "-c", "while :; do :; done"], log: "\(host.folder)/loops.log")
        }
        var failure: (any Error)?
        do {
            for number in 1...Soak.count(3, soak: 50) {
                let outcome = try await host.run(
                    "run", "--rm", "--name", "boot-\(number)", "busybox", "--", "echo", "up \(number)",
                    limit: .seconds(120))
                #expect(outcome.text == "up \(number)\n", "\(outcome)")
                #expect(outcome.code == 0)
            }
        } catch { failure = error }
        for loop in loops {
            try loop.send(SIGKILL)
            _ = try await loop.end(within: .seconds(10))
        }
        if let failure { throw failure }
    }
}
