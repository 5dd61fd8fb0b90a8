import CoveyModel
import Testing

@Suite struct ProbeTests {
    @Test("a probe's text means what it says, and comes back", arguments: ["exec:true", "tcp:80", "http:80/x?y=1"])
    func text(_ text: String) throws {
        let probe = try #require(Probe(text))
        try probe.check()
        #expect(probe.action.description == text)
    }

    @Test("what cannot be carried out is refused with the reason")
    func refused() {
        for probe in [
            Probe(.exec([])), Probe(.exec([""])), Probe(.exec(["a\0b"])), Probe(.tcp(port: 0)),
            Probe(.http(port: 80, path: "x")), Probe(.http(port: 80, path: "/a b")),
            Probe(.http(port: 80, path: "/\r\nX: y")), Probe(.tcp(port: 1), period: .zero),
            Probe(.tcp(port: 1), timeout: .seconds(7200)), Probe(.tcp(port: 1), successes: 0),
        ] {
            let error = #expect(throws: CoveyError.self) { try probe.check() }
            #expect(error?.code == .invalid)
        }
    }
}
