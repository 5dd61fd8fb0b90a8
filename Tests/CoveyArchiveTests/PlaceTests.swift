import CoveyArchive
import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("What is copied goes where docker cp puts it, and nowhere else")
struct PlaceTests {
    @Test("names follow docker cp: a folder into one that exists, as one that does not, its content with /.")
    func names() throws {
        let scratch = try Scratch()
        try scratch.file("dir/f", "f")
        try scratch.file("file", "new")
        let (root, tar) = (scratch.path, "\(scratch.path)/a.tar")
        func copy(_ source: String, _ destination: String) throws {
            try pack("\(root)/\(source)", into: tar)
            try unpack(tar, to: "\(root)/\(destination)")
        }
        try scratch.folder("there")
        try copy("dir", "there")
        try copy("dir", "absent")
        try copy("dir/.", "there")
        try copy("dir/.", "other")
        try copy("file", "there")
        try copy("file", "there/")
        try copy("file", "there/named")
        try scratch.file("old", "old")
        try copy("file", "old")
        #expect(try scratch.text("there/dir/f") == "f")
        #expect(try scratch.text("absent/f") == "f")
        #expect(try scratch.text("there/f") == "f")
        #expect(try scratch.text("other/f") == "f")
        #expect(try scratch.text("there/file") == "new")
        #expect(try scratch.text("there/named") == "new")
        #expect(try scratch.text("old") == "new")
        for (source, destination, code) in [
            ("dir", "old", ErrorCode.conflict), ("file", "nothing/", .notFound), ("file", "no/folder", .notFound),
            ("file/", "x", .invalid), ("none", "x", .notFound), ("file", "old/", .conflict),
        ] {
            let error = #expect(throws: CoveyError.self) { try copy(source, destination) }
            #expect(error?.code == code, "\(source) to \(destination): \(error?.message ?? "")")
        }
    }

    @Test("a link that names the destination stays, and the file that it points to is replaced")
    func destinationLink() throws {
        let scratch = try Scratch()
        try scratch.file("source", "new")
        try scratch.file("real", "old")
        try link("\(scratch.path)/link", to: "real")
        try pack("\(scratch.path)/source", into: "\(scratch.path)/a.tar")
        try unpack("\(scratch.path)/a.tar", to: "\(scratch.path)/link")
        #expect(try scratch.text("real") == "new")
        #expect(try NodeFacts("\(scratch.path)/link").kind == .link)
    }

    @Test("an archive cannot write outside its destination: .., links of its own, links that were there, hard links")
    func escapes() throws {
        let scratch = try Scratch()
        try scratch.file("secret", "kept")
        let tar = "\(scratch.path)/a.tar"
        let bad = Array("bad".utf8)
        func named(_ name: String, _ kind: TarEntry.Kind, link: String = "", size: Int = 0) -> TarEntry {
            TarEntry(name: Array(name.utf8), kind: kind, mode: 0o755, size: Int64(size), link: Array(link.utf8))
        }
        let dir = named("d/", .folder)
        let attempts: [(String, [(TarEntry, [UInt8])])] = [
            ("parent", [(dir, []), (named("d/../../secret", .file, size: 3), bad)]),
            (
                "own link",
                [(dir, []), (named("d/l", .link, link: ".."), []), (named("d/l/secret", .file, size: 3), bad)]
            ),
            (
                "absolute link",
                [(dir, []), (named("d/l", .link, link: scratch.path), []), (named("d/l/secret", .file, size: 3), bad)]
            ),
            ("hard link", [(dir, []), (named("d/l", .hardLink, link: "../secret"), [])]),
            ("absolute hard link", [(dir, []), (named("d/l", .hardLink, link: "\(scratch.path)/secret"), [])]),
            ("another root", [(dir, []), (named("secret", .file, size: 3), bad)]),
            ("a link as a folder", [(dir, []), (named("d/l", .link, link: ".."), []), (named("d/l/", .folder), [])]),
        ]
        for follows in [false, true] {
            for (what, entries) in attempts {
                try archive(entries, into: tar)
                try removeTree("\(scratch.path)/out")
                #expect(throws: CoveyError.self, "\(what)") {
                    try unpack(tar, to: "\(scratch.path)/out", .init(followsLinks: follows))
                }
                #expect(try scratch.text("secret") == "kept", "\(what)")
            }
        }
        // A link that its user made is gone through in a machine, and never on a host.
        try scratch.folder("elsewhere")
        for (follows, isWritten) in [(false, false), (true, true)] {
            try removeTree("\(scratch.path)/out")
            try scratch.folder("out")
            try link("\(scratch.path)/out/d", to: "../elsewhere")
            try archive([(dir, []), (named("d/f", .file, size: 3), bad)], into: tar)
            do {
                try unpack(tar, to: "\(scratch.path)/out", .init(followsLinks: follows))
            } catch let error as CoveyError {
                #expect(error.code == .conflict)
            }
            #expect(fileExists("\(scratch.path)/elsewhere/f") == isWritten)
        }
    }

    @Test("without keeping owners a set-uid bit and a device do not come along")
    func privileges() throws {
        let scratch = try Scratch()
        try archive(
            [
                (TarEntry(name: Array("d/".utf8), kind: .folder, mode: 0o755), []),
                (TarEntry(name: Array("d/su".utf8), kind: .file, mode: 0o4755, user: 12345, size: 1), [65]),
                (TarEntry(name: Array("d/null".utf8), kind: .characters(major: 1, minor: 3)), []),
            ], into: "\(scratch.path)/a.tar")
        let notes = try unpack("\(scratch.path)/a.tar", to: "\(scratch.path)/out")
        let facts = try NodeFacts("\(scratch.path)/out/su")
        #expect(facts.mode == 0o755 && facts.user == Int64(getuid()))
        #expect(!fileExists("\(scratch.path)/out/null"))
        #expect(notes.count == 1)
        try unpack("\(scratch.path)/a.tar", to: "\(scratch.path)/exact", .init(isExact: true))
        let exact = try NodeFacts("\(scratch.path)/exact/su")
        #expect(exact.mode == 0o4755 && exact.user == 12345)
    }

    @Test("a full file system leaves the old file whole and is named")
    func fullDisk() async throws {
        let scratch = try Scratch()
        try scratch.folder("small")
        try await tool("mount", "-t", "tmpfs", "-o", "size=1m", "none", "\(scratch.path)/small")
        defer { umount2("\(scratch.path)/small", 2) }
        try scratch.file("small/f", "old")
        try scratch.file("f", String(repeating: "x", count: 3 << 20))
        try pack("\(scratch.path)/f", into: "\(scratch.path)/a.tar")
        let error = #expect(throws: CoveyError.self) {
            try unpack("\(scratch.path)/a.tar", to: "\(scratch.path)/small/f")
        }
        #expect(error?.code == .exhausted)
        #expect(error?.message == "no space left on \(scratch.path)/small")
        #expect(try scratch.text("small/f") == "old")
        #expect(try listFolder("\(scratch.path)/small") == ["f"])
    }

    @Test("what no archive says is refused without a trap, whatever byte is wrong")
    func fuzz() throws {
        let scratch = try Scratch()
        try scratch.file("tree/a", "some text")
        let file = try openFile("\(scratch.path)/tree/holes", [.readWrite, .create])
        try check("ftruncate") { ftruncate(file.raw, 1 << 20) }
        try check("pwrite") { pwrite(file.raw, "data", 4, 4096) }
        try pack("\(scratch.path)/tree", into: "\(scratch.path)/a.tar")
        let whole = try readFile("\(scratch.path)/a.tar")
        var generator = SystemRandomNumberGenerator()
        var refused = 0
        for _ in 0..<400 {
            var bytes = whole
            for _ in 0..<4 { bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255) }
            // A right sum, so that the wrong byte is what is looked at.
            for start in stride(from: 0, to: bytes.count, by: 512) where bytes[start + 257] == 0x75 {
                for index in 148..<156 { bytes[start + index] = 32 }
                let sum = bytes[start..<(start + 512)].reduce(0) { $0 + Int($1) }
                let text = String(sum, radix: 8)
                let digits = Array((String(repeating: "0", count: 6 - text.count) + text).utf8) + [0]
                bytes.replaceSubrange((start + 148)..<(start + 155), with: digits)
            }
            try writeFileAtomically("\(scratch.path)/bad.tar", bytes)
            do {
                try unpack("\(scratch.path)/bad.tar", to: "\(scratch.path)/bad")
            } catch is CoveyError {
                refused += 1
            }
            try removeTree("\(scratch.path)/bad")
        }
        #expect(refused > 0)
    }
}
