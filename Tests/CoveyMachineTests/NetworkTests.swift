import CoveyModel
import CoveySystem
import Testing

/// A daemon, its machines and an internet, in namespaces.
@Suite("Networks of machines", .tags(.machine), .serialized)
struct NetworkTests {
    /// A host with a kernel in a network of its own.
    static func with(
        _ configuration: String = "", _ body: (TestHost, TestNetwork) async throws -> Void
    ) async throws {
        try await TestNetwork.with { network in
            let text = "network:\n  resolvers: 203.0.113.53\n  names: 127.0.0.86:53\n  taps: 2\n\(configuration)"
            try await TestHost.with(configuration: text, in: network) { host in
                try await host.importKernel()
                try await body(host, network)
            }
        }
    }

    @Test("a machine reaches the outside by address and by name, and other machines by name, over restarts")
    func reach() async throws {
        try await NetworkTests.with { host, network in
            try network.answer(["web.example": ["203.0.113.1"]])
            try await host.create("one")
            try await host.create("two")
            // What the outside sees is the host.
            for place in ["203.0.113.1", "web.example"] {
                let answer = try await host.guest("one", "timeout 5 wget -qO- http://\(place)/")
                #expect(answer.text == "203.0.113.1 from 198.51.100.2\n", "\(place): \(answer)")
            }
            let missing = try await host.guest("one", "nslookup nobody.example")
            #expect(missing.code != 0 && missing.text.contains("NXDOMAIN"), "\(missing)")

            let address = try await host.address("two")
            let resolved = try await host.guest("one", "ping -4 -c 1 -W 3 two.vm; ping -4 -c 1 -W 3 two")
            #expect(resolved.text.components(of: "from \(address)") == 2, "\(resolved)")
            #expect(try await host.guest("two", "hostname").text == "two\n")
            #expect(try await host.guest("two", "ping -c 1 -W 3 two").text.contains("1 packets received"))

            try await host.succeed("vm", "restart", "two")
            try await host.ready("two", generation: 2)
            #expect(try await host.address("two") == address, "an address is the machine's own")
            #expect(try await host.guest("one", "ping -c 1 -W 3 two.vm").code == 0)

            try await host.succeed("vm", "rename", "two", "deux")
            try await eventually("the new name is answered") {
                try await host.guest("one", "ping -4 -c 1 -W 3 deux.vm").text.contains("from \(address)")
            }
            let former = try await host.guest("one", "nslookup two.vm")
            #expect(former.code != 0 && former.text.contains("NXDOMAIN"), "\(former)")
            try await eventually("the machine goes by it") {
                try await host.guest("deux", "hostname").text == "deux\n"
            }
            let files = try await host.guest("deux", "cat /etc/hostname; grep -c two /etc/hosts; ping -c 1 -W 3 deux")
            #expect(files.text.hasPrefix("deux\n0\n") && files.text.contains("1 packets received"), "\(files)")
            let named = try await host.run("vm", "rename", "deux", "one")
            #expect(named.code == 4 && named.error.contains("vm one exists already"), "\(named)")

            try await host.succeed("vm", "rm", "-f", "deux")
            let gone = try await host.guest("one", "nslookup deux.vm")
            #expect(gone.code != 0, "\(gone)")
            try await host.create("two")
            let next = try await host.address("two")
            #expect(next != address, "an address rests before it is given again")
            let again = try await host.guest("one", "ping -4 -c 1 -W 3 two.vm")
            #expect(again.text.contains("from \(next)"), "\(again)")

            // Host to machine and machine to host, by name.
            let asked = try await network.run("busybox nslookup one.vm 127.0.0.86")
            #expect(asked.text.contains(try await host.address("one")), "\(asked)")
            let gateway = try await host.guest("one", "ping -c 1 -W 3 host.vm")
            #expect(gateway.text.contains("1 packets received"), "\(gateway)")
        }
    }

    @Test("names and networks go on when the daemon is replaced, and packets while none is there")
    func daemonDeath() async throws {
        try await NetworkTests.with { host, network in
            try await host.create("one", "-p", "8080:80")
            try await host.serve("one", "hello")
            #expect(try await network.run("timeout 5 busybox wget -qO- http://127.0.0.1:8080/x").text == "hello\n")
            let address = try await host.address("one")
            try await host.killDaemon()
            let alone = try await network.run(
                "timeout 5 busybox wget -qO- http://127.0.0.1:8080/x; busybox ping -c 1 -W 3 \(address)")
            #expect(alone.code == 0 && alone.text.contains("hello"), "\(alone)")
            try await host.start()
            let after = try await host.guest("one", "timeout 5 wget -qO- http://203.0.113.1/")
            #expect(after.text.contains("203.0.113.1 from"), "\(after)")
            #expect(try await network.run("timeout 5 busybox wget -qO- http://127.0.0.1:8080/x").text == "hello\n")
            try await host.create("two")
            #expect(try await host.guest("two", "ping -c 1 -W 3 one.vm").code == 0)
            try await host.succeed("vm", "rm", "-f", "one", "two")
            let links = try await network.succeed("ip -o link").text
            #expect(!links.contains("master b"), "no tap is on a bridge: \(links)")
        }
    }

    @Test("published ports answer on loopback, on the host's address and from outside, as they were asked for")
    func published() async throws {
        try await NetworkTests.with { host, network in
            try await host.create(
                "web", "-p", "8080:80", "-p", "198.51.100.2:8081:80", "-p", "0.0.0.0:9000-9001:7000-7001/udp")
            try await host.serve("web", "hello")
            let own = try await network.run(
                "for i in 1 2 3 4 5 6 7 8; do timeout 5 busybox wget -qO- http://127.0.0.1:8080/x & done; wait")
            #expect(own.lines == Array(repeating: "hello", count: 8), "\(own)")
            let address = try await network.run("timeout 5 busybox wget -qO- http://198.51.100.2:8081/x")
            #expect(address.text == "hello\n", "\(address)")
            let outside = try await network.runOutside("timeout 5 busybox wget -qO- http://198.51.100.2:8081/x")
            #expect(outside.text == "hello\n", "\(outside)")
            let closed = try await network.runOutside("timeout 3 busybox wget -qO- http://198.51.100.2:8080/x")
            #expect(closed.code != 0, "loopback is not outside: \(closed)")
            // Ports are held, and who has one is named.
            let bound = try await network.run(
                "python3 -c 'import socket; socket.socket().bind((\"127.0.0.1\", 8080))'")
            #expect(bound.code != 0 && bound.error.contains("in use"), "\(bound)")
            let taken = try await host.run("vm", "create", "--name", "other", "-p", "8080:80", "busybox")
            #expect(taken.code == 4 && taken.error.contains("web"), "\(taken)")
            let holder = try Child(
                network.enterHost + [
                    "python3", "-c",
                    "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 8099)); s.listen(); time.sleep(300)",
                ], log: "\(host.folder)/holder.log")
            try await eventually("the port is taken") {
                try await network.listens(8099)
            }
            let named = try await host.run("vm", "create", "--name", "other", "-p", "8099:80", "busybox")
            #expect(named.code == 4 && named.error.contains("python3"), "\(named)")
            try holder.send(9)
            _ = try await holder.end(within: .seconds(10))
            #expect(try await host.isGone("other"))

            let ports = try await host.succeed("vm", "ports", "web")
            #expect(ports.text.contains("8080") && ports.text.contains("busybox"), "\(ports)")
        }
    }

    @Test("networks are apart, the host is out of reach, and forged sources get nowhere")
    func isolation() async throws {
        try await NetworkTests.with { host, network in
            try await host.succeed("network", "create", "blue", "--block", "10.201.0.0/24")
            try await host.succeed("network", "create", "red", "--block", "10.202.0.0/24")
            try await host.create("one", "--network", "blue:ip=10.201.0.10")
            try await host.create("two", "--network", "red")
            try await host.create("three", "--network", "blue")
            let (two, three) = (try await host.address("two"), try await host.address("three"))
            #expect(try await host.address("one") == "10.201.0.10")
            let service = try Child(
                network.enterHost + ["python3", "-m", "http.server", "8000"], log: "\(host.folder)/service.log")
            try await eventually("the host's service answers") {
                try await network.listens(8000)
            }
            #expect(try await host.guest("one", "ping -c 1 -W 3 \(three)").code == 0)
            // Another network, by address, by name, and through its gateway.
            for place in [two, "two.vm", "10.202.0.1"] {
                let tried = try await host.guest("one", "ping -c 1 -W 2 \(place)")
                #expect(tried.code != 0, "\(place): \(tried)")
            }
            // The host beyond its names.
            for place in ["10.201.0.1", "198.51.100.2", "10.202.0.1"] {
                let tried = try await host.guest("one", "nc -w 2 \(place) 8000 < /dev/null && echo open")
                #expect(!tried.text.contains("open"), "\(place): \(tried)")
            }
            try await host.succeed("network", "set", "blue", "--host-access")
            try await eventually("the policy is carried") {
                try await host.guest("one", "nc -w 2 10.201.0.1 8000 < /dev/null && echo open").text.contains("open")
            }
            // A route of the machine's own to another network's machine, and to the host's loopback.
            let routed = try await host.guest(
                "one",
                "ip route add \(two) via 10.201.0.1; ip route add 127.0.0.2 via 10.201.0.1; ping -c 1 -W 2 \(two)")
            #expect(routed.code != 0, "\(routed)")

            // A forged address and a forged MAC: nothing passes, to nobody.
            let forged = try await host.guest(
                "one", "ip address add 10.201.0.77/24 dev eth0; ping -c 1 -W 2 -I 10.201.0.77 \(three)")
            #expect(forged.code != 0, "\(forged)")
            let mac = try await host.guest(
                "one",
                """
                old=$(cat /sys/class/net/eth0/address)
                ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:99; ip link set eth0 up
                ping -c 1 -W 2 \(three); code=$?
                ip link set eth0 down; ip link set eth0 address $old; ip link set eth0 up
                exit $code
                """)
            #expect(mac.code != 0, "\(mac)")
            #expect(try await host.guest("one", "ping -c 1 -W 3 \(three)").code == 0, "its own still does")
            let figures = try await host.succeed("vm", "stats", "one", "-o", "json")
            #expect(figures.text.contains("forgedPackets"), "\(figures)")
            try service.send(9)
            _ = try await service.end(within: .seconds(10))

            let refused = try await host.run("network", "rm", "blue")
            #expect(refused.code == 4 && refused.error.contains("one"), "\(refused)")
            let outside = try await host.run(
                "vm", "create", "--name", "four", "--network", "blue:ip=10.202.0.9", "busybox")
            #expect(outside.code == 2 && outside.error.contains("10.201.0.0/24"), "\(outside)")
            let taken = try await host.run(
                "vm", "create", "--name", "four", "--network", "blue:ip=10.201.0.10", "busybox")
            #expect(taken.code == 4 && taken.error.contains("one"), "\(taken)")
        }
    }

    @Test("an allow-list opens what it names: an address, a name whose answer changes, and no other resolver")
    func egress() async throws {
        try await NetworkTests.with { host, network in
            try network.answer(["web.example": ["203.0.113.1"], "evil.example": ["203.0.113.2"]])
            try await host.create("one", "--egress", "web.example:80")
            func get(_ place: String) async throws -> Outcome {
                try await host.guest("one", "timeout 3 wget -qO- http://\(place)/")
            }
            let early = try await get("203.0.113.1")
            #expect(early.code != 0, "nobody has asked for its name: \(early)")
            let named = try await get("web.example")
            #expect(named.text.contains("203.0.113.1 from"), "\(named)")
            #expect(try await get("evil.example").code != 0)
            #expect(try await get("203.0.113.2").code != 0)
            let port = try await host.guest("one", "echo hi | nc -w 2 203.0.113.1 7000")
            #expect(port.text.isEmpty, "another port: \(port)")
            let resolver = try await host.guest("one", "nslookup evil.example 203.0.113.53")
            #expect(resolver.code != 0, "another resolver: \(resolver)")

            // The answer changes, and what it names is open when it arrives; the earlier one stays for its minute.
            try network.answer(["web.example": ["203.0.113.2"]])
            try await eventually("the new answer is used") {
                try await get("web.example").text.contains("203.0.113.2 from")
            }
            #expect(try await get("203.0.113.1").text.contains("203.0.113.1 from"))

            let figures = try await host.succeed("vm", "stats", "one", "-o", "json")
            #expect(!figures.text.contains("\"deniedPackets\": 0"), "\(figures)")
            try await eventually("the refusals are said", within: .seconds(60)) {
                try await host.succeed("vm", "inspect", "one").text.contains("EgressDenied")
            }
            try await host.succeed("vm", "set", "one", "--egress", "open")
            try await eventually("all is open") { try await get("203.0.113.2").code == 0 }
            try await host.succeed("vm", "set", "one", "--egress", "closed")
            try await eventually("all is closed") { try await get("203.0.113.2").code != 0 }
        }
    }

    @Test("IPv6 goes end to end, and a network without it has none")
    func sixth() async throws {
        try await NetworkTests.with { host, network in
            try await host.succeed(
                "network", "create", "six", "--block", "10.203.0.0/24", "--block6", "fd12:3456:789a:1::/64")
            try await host.create("one", "--network", "six")
            try await host.create("two", "--network", "six")
            let out = try await host.guest("one", "ping -6 -c 1 -W 3 2001:db8:2::1")
            #expect(out.code == 0, "\(out)")
            let named = try await host.guest("one", "nslookup -type=AAAA two.vm")
            #expect(named.text.contains("fd12:3456:789a:1:"), "\(named)")
            try await host.succeed("network", "create", "four", "--block", "10.204.0.0/24")
            try await host.create("four", "--network", "four")
            let none = try await host.guest("four", "ip -6 address show dev eth0 scope global | grep inet6")
            #expect(none.text.isEmpty, "\(none)")
            let unreached = try await host.guest("four", "ping -6 -c 1 -W 2 2001:db8:2::1")
            #expect(unreached.code != 0, "\(unreached)")
        }
    }

    private static func settings(_ snapshot: String) -> Set<Substring> {
        Set(snapshot.split(separator: "\n").filter { !$0.contains("/nf_conntrack_count ") })
    }

    @Test("after uninstall the host's network is what it was")
    func uninstall() async throws {
        try await TestNetwork.with { network in
            // Modules that a first use loads bring settings of their own.
            try await network.succeed(
                """
                set -e
                nft add table inet first '{ chain c { type nat hook output priority 0; meta l4proto tcp ct state new; }; }'
                nft delete table inet first
                ip link add first type bridge; ip link delete first
                """)
            let before = try await network.snapshot()
            let text = "network:\n  resolvers: 203.0.113.53\n  taps: 2\n"
            try await TestHost.with(configuration: text, in: network) { host in
                try await host.importKernel()
                try await host.create("one", "-p", "8080:80")
                let during = try await network.snapshot()
                #expect(during != before)
                try await host.succeed("vm", "rm", "-f", "one")
                try await host.stopDaemon()
                let words = host.enter + [host.programs.covey, "system", "uninstall", "--root", host.root]
                let outcome = try await runProgram(words[0], Array(words.dropFirst()))
                #expect(outcome.code == 0, "\(outcome)")
                let after = try await network.snapshot()
                // How many connections there are is no setting: a store on an etcd in there has some.
                let (old, new) = (Self.settings(before), Self.settings(after))
                #expect(new.subtracting(old).isEmpty, "\(new.subtracting(old).sorted().prefix(20))")
                #expect(old.subtracting(new).isEmpty, "\(old.subtracting(new).sorted().prefix(20))")
            }
        }
    }
}

extension TestHost {
    /// Makes a machine that waits.
    func create(_ name: String, _ options: String...) async throws {
        let outcome = try await run(["vm", "create", "--name", name] + options + ["busybox"])
        guard outcome.code == 0 else { throw CoveyError(.failure, "vm create \(name): \(outcome)") }
    }

    /// Runs a script in a machine.
    func guest(_ name: String, _ script: String) async throws -> Outcome {
        try await run("exec", name, "--", "sh", "-c", script)
    }

    /// Serves a text at `/x` on port 80 of a machine.
    func serve(_ name: String, _ text: String) async throws {
        let outcome = try await guest(
            name, "mkdir -p /srv/www && echo \(text) > /srv/www/x && busybox httpd -p 80 -h /srv/www")
        guard outcome.code == 0 else { throw CoveyError(.failure, "httpd: \(outcome)") }
    }

    /// A machine's first address.
    func address(_ name: String) async throws -> String {
        guard let first = try await inspect(name).status.addresses?.first else {
            throw CoveyError(.failure, "vm \(name) has no address")
        }
        return first
    }
}

extension String {
    /// How often a text stands in it.
    fileprivate func components(of text: String) -> Int {
        split(separator: text, omittingEmptySubsequences: false).count - 1
    }
}
