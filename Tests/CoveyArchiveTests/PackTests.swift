import CoveyArchive
import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("Trees go into an archive and out of it")
struct PackTests {
    @Test("a tree comes out as it went in: files, folders, links, hard links, modes, times, attributes, odd names")
    func roundTrip() throws {
        let scratch = try Scratch()
        let long = String(repeating: "n", count: 250)
        try scratch.file("tree/plain", "hello\n", mode: 0o751)
        try scratch.file("tree/-rf", "dash\n")
        try scratch.file("tree/two\nlines", "newline\n")
        try scratch.file("tree/\(long)/\(long)/\(long)/deep", "deep\n")
        try scratch.file("tree/empty", "")
        try scratch.folder("tree/bare")
        try link("\(scratch.path)/tree/link", to: "../plain")
        let bytes: [CChar] = Array("\(scratch.path)/tree/".utf8CString.dropLast()) + [-1, -2, 0]
        let odd = open(bytes, O_CREAT | O_WRONLY, 0o600)
        #expect(odd >= 0)
        close(odd)
        try check("link") { Glibc.link("\(scratch.path)/tree/plain", "\(scratch.path)/tree/same") }
        try setFileTimes("\(scratch.path)/tree/plain", secondsSince1970: 1_000_000_001)
        try setFileTimes("\(scratch.path)/tree/bare", secondsSince1970: 1_000_000_002)
        try check("chmod") { chmod("\(scratch.path)/tree/bare", 0o500) }

        try pack("\(scratch.path)/tree", into: "\(scratch.path)/a.tar")
        try unpack("\(scratch.path)/a.tar", to: "\(scratch.path)/out")

        #expect(try scratch.text("out/plain") == "hello\n")
        #expect(try scratch.text("out/-rf") == "dash\n")
        #expect(try scratch.text("out/two\nlines") == "newline\n")
        #expect(try scratch.text("out/\(long)/\(long)/\(long)/deep") == "deep\n")
        #expect(try linkTarget("\(scratch.path)/out/link") == "../plain")
        let plain = try NodeFacts("\(scratch.path)/out/plain")
        #expect(plain.mode == 0o751 && plain.changed == 1_000_000_001 && plain.names == 2)
        #expect(try NodeFacts("\(scratch.path)/out/same").inode == plain.inode)
        let bare = try NodeFacts("\(scratch.path)/out/bare")
        #expect(bare.mode == 0o500 && bare.changed == 1_000_000_002)
        let moved: [CChar] = Array("\(scratch.path)/out/".utf8CString.dropLast()) + [-1, -2, 0]
        #expect(access(moved, F_OK) == 0)
        // What is no UTF-8 is removed here: a text cannot name it.
        #expect(unlink(bytes) == 0 && unlink(moved) == 0)
    }

    @Test("a sparse gibibyte with a mebibyte of data makes a small archive and stays sparse")
    func sparse() throws {
        let scratch = try Scratch()
        let file = try openFile("\(scratch.path)/big", [.readWrite, .create])
        try check("ftruncate") { ftruncate(file.raw, 1 << 30) }
        let data = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try check("pwrite") { pwrite(file.raw, data, data.count, 512 << 20) }
        try pack("\(scratch.path)/big", into: "\(scratch.path)/a.tar")
        #expect(try FileFacts("\(scratch.path)/a.tar").size < 2 << 20)
        try unpack("\(scratch.path)/a.tar", to: "\(scratch.path)/copy")
        var facts = stat()
        #expect(stat("\(scratch.path)/copy", &facts) == 0)
        #expect(facts.st_size == 1 << 30)
        #expect(facts.st_blocks * 512 < 4 << 20)
        let copy = try openFile("\(scratch.path)/copy", .readOnly)
        var read = [UInt8](repeating: 0, count: data.count)
        #expect(pread(copy.raw, &read, read.count, 512 << 20) == data.count)
        #expect(read == data)
    }

    @Test("GNU tar reads what is written, holes and long names included, and its three sparse formats are read")
    func gnuTar() async throws {
        let scratch = try Scratch()
        let long = String(repeating: "x", count: 180)
        try scratch.folder("tree/\(long)")
        let file = try openFile("\(scratch.path)/tree/\(long)/holes", [.readWrite, .create])
        try check("ftruncate") { ftruncate(file.raw, 8 << 20) }
        for place in [0, 1 << 20, 5 << 20] { try check("pwrite") { pwrite(file.raw, "data", 4, off_t(place)) } }
        let sum = try await tool("sha256sum", "\(scratch.path)/tree/\(long)/holes").prefix(64)

        try pack("\(scratch.path)/tree", into: "\(scratch.path)/ours.tar")
        try scratch.folder("theirs")
        try await tool("tar", "-xf", "\(scratch.path)/ours.tar", "-C", "\(scratch.path)/theirs")
        #expect(try await tool("sha256sum", "\(scratch.path)/theirs/tree/\(long)/holes").prefix(64) == sum)

        for format in ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"] {
            let name = "from\(format)"
            let kind = format.contains("sparse") ? "--format=posix" : "--format=gnu"
            try await tool(
                "tar", kind, format, "-S", "-cf", "\(scratch.path)/theirs.tar", "-C", scratch.path, "tree")
            try scratch.folder(name)
            try unpack(
                "\(scratch.path)/theirs.tar", to: "\(scratch.path)/\(name)", .init(isPlainArchive: true))
            let copy = "\(scratch.path)/\(name)/tree/\(long)/holes"
            #expect(try await tool("sha256sum", copy).prefix(64) == sum, "\(format)")
        }
    }

    @Test("a compressed archive, one that is none and one that is cut off are refused by what they are")
    func notArchives() async throws {
        let scratch = try Scratch()
        try scratch.file("one", (0..<2000).map { _ in "\(UInt64.random(in: 0 ... .max))" }.joined())
        try pack("\(scratch.path)/one", into: "\(scratch.path)/a.tar")
        try await tool("gzip", "-k", "\(scratch.path)/a.tar")
        #expect(throws: CoveyError.self) { try unpack("\(scratch.path)/one", to: "\(scratch.path)/x") }
        let packed = #expect(throws: CoveyError.self) {
            try unpack("\(scratch.path)/a.tar.gz", to: "\(scratch.path)/x")
        }
        #expect(packed?.message == "the archive is compressed with gzip")
        try check("truncate") { truncate("\(scratch.path)/a.tar", 3000) }
        try scratch.file("x", "before")
        let cut = #expect(throws: CoveyError.self) { try unpack("\(scratch.path)/a.tar", to: "\(scratch.path)/x") }
        #expect(cut?.code == .unavailable)
        #expect(try scratch.text("x") == "before")
        #expect(try listFolder(scratch.path).filter { $0.hasPrefix(".covey") } == [])
    }
}
