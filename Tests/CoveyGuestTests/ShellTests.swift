import CoveyGuestProtocol
import CoveyModel
import Testing

@testable import CoveyGuest

@Suite struct ShellTests {
    private func accounts(
        _ passwd: String, group: String = "", user: String? = nil, files: Set<String> = ["/bin/sh"]
    ) -> ShellAccounts {
        ShellAccounts(passwd: passwd, group: group, adding: 64_987, user: user) { files.contains($0) }
    }

    @Test("the image's accounts are as they are, with sshd's own user and nobody locked out")
    func plain() {
        let seen = accounts(
            "root:x:0:0:root:/root:/bin/sh\nann:!:1000:1000:Ann:/home/ann:/bin/sh\n", group: "root:x:0:")
        #expect(
            seen.passwd
                == "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n"
                + "sshd:x:64987:64987::/run/sshd:/bin/false\n")
        #expect(seen.shadow == "root:*:::::::\nann:*:::::::\nsshd:*:::::::\n")
        #expect(seen.group == "root:x:0:\n")
        #expect(seen.account("ann")?.shell == "/bin/sh")
        #expect(seen.account("sshd") == nil && seen.account("bob") == nil)
    }

    @Test("an image without accounts has root, and one with an own sshd keeps it")
    func bare() {
        #expect(accounts("").passwd.hasPrefix("root:x:0:0:root:/root:/bin/sh\n"))
        let own = accounts("root:x:0:0::/root:/bin/sh\nsshd:x:74:74::/var/empty:/bin/sh\n")
        #expect(
            own.passwd.split(separator: "\n").filter { $0.hasPrefix("sshd:") } == ["sshd:x:74:74::/var/empty:/bin/sh"])
    }

    @Test("a shell that the image lacks is the tools disk's, and stays where there is none")
    func shells() {
        let text = "root:x:0:0::/root:/bin/bash\nann:x:1:1::/:\nbob:x:2:2::/:/bin/sh\n"
        let spared = accounts(text, files: [ShellAccounts.spareShell])
        #expect(
            ["root", "ann", "bob"].map { spared.account($0)?.shell }
                == [String?](repeating: ShellAccounts.spareShell, count: 3))
        #expect(accounts(text, files: []).account("root")?.shell == "/bin/bash")
    }

    @Test("a user is known by its number, also one that the image does not list")
    func numbers() {
        let seen = accounts("root:x:0:0::/root:/bin/sh\nann:x:1000:7:Ann:/home/ann:/bin/sh\n", user: "1000")
        #expect(seen.passwd.contains("1000:x:1000:7:Ann:/home/ann:/bin/sh\n"))
        #expect(accounts("", user: "4242").passwd.contains("4242:x:4242:0::/:/bin/sh\n"))
    }

    @Test("lines that are no accounts are left out")
    func odd() {
        let seen = accounts("+::::::\n#x\na:b\n:x:0:0:::\nx:y:z:0:::/bin/sh\n-ann:x:1:1:::/bin/sh\nok:x:1:1::/:/bin/sh")
        #expect(seen.passwd.split(separator: "\n").map { $0.prefix { $0 != ":" } } == ["root", "ok", "sshd"])
    }

    @Test("the sessions of a server are all below it that are not of its own group, whatever they are called")
    func sessions() {
        let lines = [
            "1 (init) S 0 1 1 0", "10 (sshd) S 1 10 10 0", "11 (sshd) S 10 10 10 0", "12 (sh) S 11 12 12 0",
            "13 (a) b) S (c) R 12 13 12 0", "20 (other) S 1 20 20 0", "14 (nohup) S 1 12 12 0", "x", "", "30 (y",
        ]
        #expect(Descendants(lines: lines).sessions(of: 10) == [12, 13])
        #expect(Descendants(lines: lines).sessions(of: 99) == [])
    }

    @Test("what a server is asked for travels whole, and its description holds no secret")
    func wire() throws {
        let shell = GuestShell(
            access: ShellAccess(user: "ann", keys: ["ssh-ed25519 AAAA a", "ssh-rsa BBBB"]), hostKey: "SECRET\nKEY\n")
        let request = GuestRequest.start(
            GuestExecRequest(id: "ssh-1", program: Program(arguments: ["sshd"], standardInput: true), shell: shell),
            attach: nil)
        let read = try GuestRequest.decode(request.encoded(number: 9))
        #expect(read.number == 9 && read.request == request)
        #expect(!"\(shell)".contains("SECRET"))
    }
}
