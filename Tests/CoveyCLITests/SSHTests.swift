import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyCLI

@Suite struct SSHConfigurationTests {
    private let line = IncludeLine(file: "/home/ann/.config/covey/ssh/config")
    private var text: [UInt8] { Array("Include /home/ann/.config/covey/ssh/config\n".utf8) }

    /// Files of users, some odd.
    static let files: [[UInt8]] = [
        [], Array("Host a\n  User b\n".utf8), Array("Host a\r\n  User b\r\n".utf8), Array("Host a".utf8),
        Array("# Include /home/ann/.config/covey/ssh/config\n".utf8), [0xFF, 0xFE, 0, 10, 13, 10],
        Array("Include other\n\n\n".utf8), Array("\n".utf8), [0xEF, 0xBB, 0xBF] + Array("Host *\n".utf8),
    ]

    @Test("the line comes first, once, and leaves byte for byte what was there", arguments: files)
    func addedAndRemoved(_ before: [UInt8]) throws {
        let after = try #require(line.added(to: before))
        #expect(after == text + before)
        #expect(line.added(to: after) == nil)
        #expect(line.removed(from: after) == before)
        #expect(line.removed(from: before) == nil)
    }

    @Test("a line that somebody moved counts where it is for all hosts, and is found again")
    func moved() {
        let below = Array("# mine\n".utf8) + text + Array("Host a\n".utf8)
        #expect(line.added(to: below) == nil)
        #expect(line.removed(from: below) == Array("# mine\nHost a\n".utf8))
        let inside = Array("Host a\n  ".utf8) + text
        #expect(line.added(to: inside) == text + inside)
        #expect(line.removed(from: Array("\t".utf8) + text.dropLast() + [13, 10]) == [])
        #expect(line.removed(from: Array(text.dropLast())) == [])
    }

    @Test("a path with spaces is quoted")
    func quoted() { #expect(IncludeLine(file: "/a b/c").text == "Include \"/a b/c\"") }

    @Test("names of machines are read as ssh writes them")
    func names() throws {
        for (text, machine, tenant) in [
            ("web", "web", nil), ("web.vm", "web", nil), ("web.team.vm", "web", "team"), ("[web.vm]:2222", "web", nil),
            ("web.team", "web", "team"), ("vm", "vm", nil),
        ] as [(String, String, String?)] {
            let host = try SSHHost(text)
            #expect(host.machine == machine && host.tenant == tenant, "\(text)")
        }
        for text in ["", ".vm", "a.b.c.vm", "a..vm"] {
            #expect(throws: CoveyError.self, "\(text)") { try SSHHost(text) }
        }
    }

    @Test("ssh itself reads the configuration, whatever the paths hold")
    func readBySSH() async throws {
        let folder = "/tmp/cvy-cli-ssh-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder)
        defer { try? removeTree(folder) }
        let settings = SSHSettings(
            program: "/opt/co vey's/50%/covey", host: "unix:/tmp/a b.sock", tenant: "team", key: "/home/a b/id")
        try writeFileAtomically("\(folder)/config", Array(settings.configuration.utf8))
        let spoken = try printed("ssh -G -F \(folder)/config web.vm")
        #expect(spoken.contains("user root\n"))
        #expect(spoken.contains("stricthostkeychecking true\n"))
        #expect(spoken.contains("hostkeyalgorithms ssh-ed25519\n"))
        #expect(spoken.contains("identityfile /home/a b/id\n"))
        #expect(
            spoken.contains(
                #"proxycommand '/opt/co vey'\''s/50%%/covey' ssh-proxy --host 'unix:/tmp/a b.sock' --tenant team "#
                    + "--user '%r' -- '%h'\n"), "\(spoken)")
        #expect(
            spoken.contains(
                #"knownhostscommand "/opt/co vey's/50%%/covey" ssh-known-hosts --host "unix:/tmp/a b.sock""#))
        #expect(!(try printed("ssh -G -F \(folder)/config web.example")).contains("ssh-proxy"))
    }

    @Test("installing keeps mode and links, makes what is missing private, and is taken back to the byte")
    func installation() throws {
        let folder = "/tmp/cvy-cli-ssh-\(UInt32.random(in: .min ... .max))"
        defer { try? removeTree(folder) }
        try makeFolder("\(folder)/dotfiles")
        let settings = SSHSettings(program: "/usr/bin/covey", host: nil, tenant: nil, key: "\(folder)/own/id_ed25519")
        let own = SSHFolder(path: "\(folder)/own")
        let fresh = SSHInstallation(file: "\(folder)/home/.ssh/config", folder: own)
        #expect(try fresh.install(settings))
        #expect(try !fresh.install(settings))
        #expect(try mode("\(folder)/home/.ssh") == 0o700 && mode("\(folder)/home/.ssh/config") == 0o600)
        #expect(try mode(own.key) == 0o600 && mode(own.configuration) == 0o600 && mode(own.path) == 0o700)
        let key = try own.publicKey()
        #expect(
            try printed("ssh-keygen -y -f \(own.key)").hasPrefix(
                key.split(separator: " ").prefix(2).joined(separator: " ")))
        #expect(try fresh.uninstall())
        #expect(try !fresh.uninstall())
        #expect(try readFile("\(folder)/home/.ssh/config").isEmpty)
        #expect(try own.publicKey() == key)

        let before = Array("Host a\r\n\tUser b".utf8)
        try writeFileAtomically("\(folder)/dotfiles/config", before, mode: 0o640)
        try check("symlink") { symlink("dotfiles/config", "\(folder)/linked") }
        let linked = SSHInstallation(file: "\(folder)/linked", folder: own)
        #expect(try linked.install(settings))
        #expect(try readFile("\(folder)/dotfiles/config").count > before.count)
        #expect(try mode("\(folder)/dotfiles/config") == 0o640)
        #expect(try linked.uninstall())
        #expect(try readFile("\(folder)/linked") == before)
        try check("symlink") { symlink("nowhere", "\(folder)/dangling") }
        #expect(throws: CoveyError.self) {
            try SSHInstallation(file: "\(folder)/dangling", folder: own).install(settings)
        }
    }

    @Test("of many that make the user's key at once, all get the same")
    func keyOnce() async throws {
        let folder = SSHFolder(path: "/tmp/cvy-cli-ssh-\(UInt32.random(in: .min ... .max))")
        defer { try? removeTree(folder.path) }
        let keys = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<8 { group.addTask { try await BlockingPool().run { _ in try folder.publicKey() } } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(keys.count == 1)
        #expect(
            try printed("ssh-keygen -y -f \(folder.key)").split(separator: " ").prefix(2)
                == keys.first?.split(separator: " ").prefix(2))
        #expect(try listFolder(folder.path).sorted() == [".lock", "id_ed25519", "id_ed25519.pub"])
    }

    private func mode(_ path: String) throws -> UInt32 { try FileFacts(path).mode & 0o777 }

    /// What a command of the shell prints.
    private func printed(_ command: String) throws -> String {
        let pipe = try #require(popen("\(command) 2>&1", "r"))
        var bytes: [UInt8] = []
        while true {
            let byte = fgetc(pipe)
            if byte == EOF { break }
            bytes.append(UInt8(truncatingIfNeeded: byte))
        }
        pclose(pipe)
        return String(decoding: bytes, as: UTF8.self)
    }
}
