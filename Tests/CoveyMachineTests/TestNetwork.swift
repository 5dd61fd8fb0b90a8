import CoveyModel
import CoveySystem
import Glibc

/// A host's network of its own, in namespaces: the host's with one link to the outside, and an internet behind it.
///
/// The host is 198.51.100.2 on `uplink`; the internet is 198.51.100.1, 203.0.113.1, .2 and .53, where .2 and .53 answer
/// names. Nothing of the real host's network is touched; all goes with two processes that sleep.
final class TestNetwork: Sendable {
    private let folder: String
    private let inside: Child
    private let outside: Child
    private let servers: Child

    /// Makes the namespaces and starts the internet.
    static func with(_ body: (TestNetwork) async throws -> Void) async throws {
        let network = try await TestNetwork()
        var failure: (any Error)?
        do {
            try await network.prepare()
            try await body(network)
        } catch { failure = error }
        try await network.end()
        if let failure { throw failure }
    }

    private init() async throws {
        folder = "/tmp/cvy-n-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder)
        let log = "\(folder)/log"
        try writeFileAtomically("\(folder)/names.json", Array("{}".utf8), mode: 0o644)
        func namespace() throws -> Child { try Child(["/usr/bin/unshare", "--net", "sleep", "1800"], log: log) }
        inside = try namespace()
        outside = try namespace()
        // unshare(1) becomes the program once the namespace is there.
        for child in [inside, outside] {
            try await eventually("a namespace is there") {
                try HostProcess.all().contains { $0.pid == child.pid && $0.program == "sleep" }
            }
        }
        let script = "\(parentFolder(#filePath))/Internet/internet.py"
        let setup = """
            set -e
            ip link set lo up
            for address in 203.0.113.1 203.0.113.2 203.0.113.53; do ip address add $address/32 dev lo; done
            ip -6 address add 2001:db8:2::1/128 dev lo nodad
            ip link add name wan type veth peer name uplink netns \(inside.pid)
            ip address add 198.51.100.1/24 dev wan
            ip -6 address add 2001:db8:1::1/64 dev wan nodad
            ip link set wan up
            exec python3 \(script) \(folder)/names.json
            """
        servers = try Child(
            Self.enter(outside.pid) + ["/bin/sh", "-c", setup], log: "\(folder)/internet.log")
    }

    private func prepare() async throws {
        try await eventually("the internet is there") {
            if let ending = try servers.ending() {
                throw CoveyError(.failure, "the internet ended: \(ending) \(try log())")
            }
            return try log().contains("ready")
        }
        try await succeed(
            """
            set -e
            ip link set lo up
            # Its link-local address is final at once.
            echo 0 > /proc/sys/net/ipv6/conf/uplink/accept_dad
            ip link set uplink up
            ip address add 198.51.100.2/24 dev uplink
            ip -6 address add 2001:db8:1::2/64 dev uplink nodad
            ip route add default via 198.51.100.1
            ip -6 route add default via 2001:db8:1::1
            """)
    }

    private func log() throws -> String {
        fileExists("\(folder)/internet.log") ? try readText("\(folder)/internet.log") : ""
    }

    /// The words before a command that is to run where a process's network is.
    private static func enter(_ pid: Int32) -> [String] { ["/usr/bin/nsenter", "--net=/proc/\(pid)/ns/net", "--"] }

    /// The words before a command that is to run on the host of the test.
    var enterHost: [String] { Self.enter(inside.pid) }

    /// Runs a script on the host.
    func run(_ script: String, limit: Duration = .seconds(30)) async throws -> Outcome {
        let words = enterHost + ["/bin/sh", "-c", script]
        return try await runProgram(words[0], Array(words.dropFirst()), limit: limit)
    }

    /// Runs a script on the host and fails where it does.
    @discardableResult
    func succeed(_ script: String) async throws -> Outcome {
        let outcome = try await run(script)
        guard outcome.code == 0 else { throw CoveyError(.failure, "\(script): \(outcome)") }
        return outcome
    }

    /// Whether something takes connections on a port of the host's loopback.
    func listens(_ port: Int) async throws -> Bool {
        let script = "import socket; socket.create_connection((\"127.0.0.1\", \(port)), 1)"
        return try await run("python3 -c '\(script)'").code == 0
    }

    /// Runs a script on the internet.
    func runOutside(_ script: String, limit: Duration = .seconds(30)) async throws -> Outcome {
        let words = Self.enter(outside.pid) + ["/bin/sh", "-c", script]
        return try await runProgram(words[0], Array(words.dropFirst()), limit: limit)
    }

    /// Says what the internet's name servers answer from now on.
    func answer(_ names: [String: [String]]) throws {
        let text = names.map { name, addresses in
            "\"\(name)\": [\(addresses.map { "\"\($0)\"" }.joined(separator: ", "))]"
        }
        try writeFileAtomically(
            "\(folder)/names.json", Array("{\(text.joined(separator: ", "))}".utf8), mode: 0o644)
    }

    /// All that the host's network is: links, addresses, routes, rules and settings.
    func snapshot() async throws -> String {
        try await succeed(
            """
            set -e
            ip -o link | sed 's/ qlen [0-9]*//'
            ip -o address | sed 's/ valid_lft.*//'
            ip route show table all
            ip -6 route show table all | sed 's/ expires [0-9a-z]*//'
            nft list ruleset
            find /proc/sys/net -type f -readable | sort | grep -v -e stat -e random | while read -r name; do
                printf '%s ' "$name"; tr '\\n' ' ' < "$name" 2>/dev/null || true; echo
            done
            """
        ).text
    }

    private func end() async throws {
        for child in [servers, inside, outside] {
            if try child.ending() == nil {
                try child.send(SIGKILL)
                _ = try await child.end(within: .seconds(10))
            }
        }
        try removeTree(folder)
    }
}
