import CoveyGuard
import CoveyGuardClient
import CoveyModel
import CoveySystem
import CoveyVMM
import Glibc
import Testing

@Suite struct LogTests {
    @Test("a console never takes more than its limit, and ends with the last bytes")
    func bounded() async throws {
        try await GuardFixture.with { fixture in
            let path = "\(fixture.folder)/loud.log"
            var request = try fixture.script("loud", "yes 0123456789abcdef | head -c 200000000 >&3; printf LAST >&3")
            request.console = ConsoleLog(number: 3, path: path, limit: .mebibytes(1))
            _ = try await fixture.client.spawn(request)
            #expect(try await fixture.client.waitForExit("loud") == .known(.exited(0)))
            let newer = try readFile(path)
            let older = try readFile("\(path).1")
            #expect(newer.count + older.count <= 1 << 20)
            #expect(older.count == 1 << 19)
            #expect(String(decoding: newer.suffix(4), as: UTF8.self) == "LAST")
            for file in [path, "\(path).1"] {
                var information = stat()
                try check("stat") { stat(file, &information) }
                #expect(information.st_mode & 0o777 == 0o600)
            }
            try await fixture.client.forget("loud")
            #expect(!fileExists("\(path).fifo"))
        }
    }

    @Test("an error log keeps its first 64 KiB and starts anew with each process")
    func errorLog() async throws {
        try await GuardFixture.with { fixture in
            let path = "\(fixture.folder)/broken.err"
            for name in ["first", "second"] {
                var request = try fixture.script(name, "echo \(name) >&2; yes | head -c 300000 >&2")
                request.errorLog = path
                _ = try await fixture.client.spawn(request)
                #expect(try await fixture.client.waitForExit(name) == .known(.exited(0)))
                let bytes = try readFile(path)
                #expect(bytes.count == 64 << 10)
                #expect(bytes.starts(with: Array("\(name)\n".utf8)))
                try await fixture.client.forget(name)
            }
        }
    }

    @Test("a log whose folder is gone loses bytes and holds up nobody")
    func folderGone() async throws {
        try await GuardFixture.with { fixture in
            try makeFolder("\(fixture.folder)/vm")
            var request = try fixture.script("homeless", "yes | head -c 3000000 >&3")
            request.console = ConsoleLog(number: 3, path: "\(fixture.folder)/vm/c.log", limit: .kibibytes(64))
            var pipe = try makePipe()
            let (reader, writer) = (SharedDescriptor(pipe.takeFirst()), SharedDescriptor(pipe.takeSecond()))
            request.arguments[2] = "read line <&4; " + request.arguments[2]
            request.descriptors.append(PassedDescriptor(reader, as: 4))
            _ = try await fixture.client.spawn(request)
            try removeTree("\(fixture.folder)/vm")
            try writeAll(writer.raw, Array("go\n".utf8))
            #expect(try await fixture.client.waitForExit("homeless") == .known(.exited(0)))
            try await fixture.client.forget("homeless")
        }
    }

    @Test("bytes that the disk refused are counted, and told when it takes bytes again")
    func fullDisk() throws {
        let folder = "/tmp/cvy-guard-log-\(UInt32.random(in: .min ... .max))"
        let log = LogFile(
            Outlet(path: "\(folder)/c.log", policy: .newest, limit: .kibibytes(8)), beginsAnew: false)
        log.write(Array("lost".utf8))
        #expect(log.lost == 4)
        try makeFolder(folder)
        log.write(Array("kept".utf8))
        #expect(log.lost == 0)
        #expect(try readText("\(folder)/c.log") == "\n[covey-guard: 4 bytes lost]\nkept")
        try removeTree(folder)
    }
}
