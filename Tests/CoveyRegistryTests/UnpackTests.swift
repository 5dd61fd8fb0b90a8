import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyRegistry

@Suite("Unpacking")
struct UnpackTests {
    private let scratch: Scratch
    private let tree: String

    init() throws {
        scratch = try Scratch("unpack")
        tree = try scratch.folder("outer/tree")
    }

    private func unpack(_ layers: [UInt8]..., limits: UnpackLimits = UnpackLimits()) throws {
        let unpacker = try Unpacker(into: tree, limits: limits)
        for (index, layer) in layers.enumerated() {
            let path = "\(scratch.path)/layer\(index)"
            try writeFileAtomically(path, layer)
            try unpacker.apply(path, name: "layer \(index)", Cancellation())
        }
    }

    private func layer(_ body: (inout TarBytes) -> Void) -> [UInt8] {
        var tar = TarBytes()
        body(&tar)
        return tar.finished
    }

    private func text(_ path: String) throws -> String { try readText("\(tree)/\(path)") }

    private func refusal(limits: UnpackLimits = UnpackLimits(), _ layers: [UInt8]...) -> CoveyError? {
        do {
            let unpacker = try Unpacker(into: tree, limits: limits)
            for (index, layer) in layers.enumerated() {
                let path = "\(scratch.path)/layer\(index)"
                try writeFileAtomically(path, layer)
                try unpacker.apply(path, name: "layer \(index)", Cancellation())
            }
            return nil
        } catch { return CoveyError.wrapping(error) }
    }

    @Test(
        "a path that leads out is refused, and nothing is written outside",
        arguments: [
            "../evil", "a/../../evil", "../../../../tmp/cvy-evil", "..", "a/..",
        ])
    func escapes(_ path: String) throws {
        let error = refusal(layer { $0.add(path, Array("x".utf8)) })
        #expect(error?.code == .corrupt)
        #expect(error?.message.contains("leads out of the image") == true)
        #expect(try listFolder("\(scratch.path)/outer") == ["tree"])
    }

    @Test("an absolute path counts from the image's root, as docker does it")
    func absolute() throws {
        try unpack(layer { $0.add("/etc/x", Array("in".utf8)) })
        #expect(try text("etc/x") == "in")
    }

    @Test(
        "nothing is written through a link to outside",
        arguments: ["/", "/tmp", "../..", "../outside", "/proc/self/root"])
    func throughLinks(_ target: String) throws {
        _ = try scratch.folder("outer/outside")
        let before = try listFolder("\(scratch.path)/outer/outside")
        _ = refusal(
            layer {
                $0.add("door", type: "2", link: target)
                $0.add("door/cvy-evil", Array("x".utf8))
            })
        #expect(try listFolder("\(scratch.path)/outer/outside") == before)
        #expect(try listFolder("\(scratch.path)/outer").sorted() == ["outside", "tree"])
        #expect(!fileExists("/cvy-evil") && !fileExists("/tmp/cvy-evil"))
    }

    @Test("a link within the image is followed inside it, as in a chroot")
    func insideLinks() throws {
        try unpack(
            layer {
                $0.add("usr/lib", type: "5", mode: 0o755)
                $0.add("lib", type: "2", link: "/usr/lib")
            }, layer { $0.add("lib/x", Array("in".utf8)) })
        #expect(try text("usr/lib/x") == "in")
    }

    @Test("a file is not written through a link in its place, but takes its place")
    func replacesLinks() throws {
        let secret = try scratch.write("outer/secret", "mine")
        try unpack(
            layer {
                $0.add("x", type: "2", link: secret)
                $0.add("x", Array("theirs".utf8))
            })
        #expect(try readText(secret) == "mine")
        #expect(try FileFacts("\(tree)/x").kind == .file)
    }

    @Test(
        "a hard link to outside or to nothing is refused", arguments: ["../secret", "/secret", "nothing", "..", "dir"])
    func hardLinks(_ target: String) throws {
        _ = try scratch.write("outer/secret", "mine")
        let error = refusal(
            layer {
                $0.add("dir", type: "5", mode: 0o755)
                $0.add("x", type: "1", link: target)
            })
        #expect(error?.code == .corrupt)
        #expect(!fileExists("\(tree)/x"))
    }

    @Test("a hard link to itself changes nothing")
    func selfLink() throws {
        try unpack(
            layer {
                $0.add("x", Array("here".utf8))
                $0.add("x", type: "1", link: "x")
                $0.add("x", type: "1", link: "./x")
            })
        #expect(try text("x") == "here")
    }

    @Test("files and folders replace each other, with all below them")
    func replacing() throws {
        try unpack(
            layer {
                $0.add("a/b/c", Array("1".utf8))
                $0.add("f", Array("1".utf8))
                $0.add("l", type: "2", link: "a")
            },
            layer {
                $0.add("a", Array("file".utf8))
                $0.add("f", type: "5", mode: 0o755)
                $0.add("f/inner", Array("x".utf8))
                $0.add("l", type: "5", mode: 0o755)
                $0.add("l/inner", Array("y".utf8))
            })
        #expect(try text("a") == "file")
        #expect(try text("f/inner") == "x")
        #expect(try text("l/inner") == "y")
    }

    @Test("something below a file is refused")
    func belowFile() {
        let error = refusal(
            layer {
                $0.add("f", Array("1".utf8))
                $0.add("f/inner", Array("x".utf8))
            })
        #expect(error?.code == .corrupt)
    }

    @Test("a whiteout hides what lower layers have, and nothing of its own layer")
    func whiteouts() throws {
        try unpack(
            layer {
                $0.add("d/old", Array("1".utf8))
                $0.add("d/sub/old", Array("1".utf8))
                $0.add("gone", Array("1".utf8))
            },
            layer {
                $0.add("d/sub/new", Array("2".utf8))
                $0.add(".wh.d")
                $0.add(".wh.gone")
                $0.add("fresh", Array("2".utf8))
                $0.add(".wh.fresh")
            })
        #expect(!fileExists("\(tree)/gone"))
        #expect(!fileExists("\(tree)/d/old") && !fileExists("\(tree)/d/sub/old"))
        #expect(try text("d/sub/new") == "2")
        #expect(try text("fresh") == "2")
        #expect(!fileExists("\(tree)/.wh.d"))
    }

    @Test("an opaque folder loses what lower layers have, wherever its mark stands")
    func opaque() throws {
        try unpack(
            layer {
                $0.add("d/old", Array("1".utf8))
                $0.add("d/sub/old", Array("1".utf8))
            },
            layer {
                $0.add("d/new", Array("2".utf8))
                $0.add("d/.wh..wh..opq")
                $0.add("d/later", Array("2".utf8))
            })
        #expect(try listFolder("\(tree)/d") == ["later", "new"])
    }

    @Test("a whiteout that leads nowhere, or out, hides nothing")
    func oddWhiteouts() throws {
        let secret = try scratch.write("outer/secret", "mine")
        try unpack(layer { $0.add("nowhere/.wh.x") })
        for name in [".wh.", ".wh..", ".wh..."] {
            #expect(refusal(layer { $0.add(name) })?.code == .corrupt, "\(name)")
        }
        #expect(refusal(layer { $0.add(".wh.../secret") }) == nil)
        #expect(try readText(secret) == "mine")
    }

    @Test("folders keep the times of their entries, whatever is put into them later")
    func folderTimes() throws {
        try unpack(
            layer {
                $0.add("d", type: "5", mode: 0o750, time: 12345)
                $0.add("d/x", Array("1".utf8))
                $0.add("e/x", Array("1".utf8))
                $0.add("e", type: "5", mode: 0o755, time: 54321)
            }, layer { $0.add("d/y", Array("1".utf8)) })
        func time(_ path: String) throws -> Int {
            var information = stat()
            try check("stat") { stat("\(tree)/\(path)", &information) }
            return information.st_mtim.tv_sec
        }
        #expect(try time("d") == 12345)
        #expect(try time("e") == 54321)
        #expect(try time("") == 0)
    }

    @Test("limits say which one it is", arguments: ["entries", "content", "file", "depth", "declared"])
    func bombs(_ kind: String) {
        var limits = UnpackLimits()
        limits.entries = 10
        limits.content = ByteCount(4096)
        limits.file = ByteCount(2048)
        limits.depth = 8
        let error: CoveyError? =
            switch kind {
            case "entries": refusal(limits: limits, layer { tar in for i in 0..<20 { tar.add("f\(i)") } })
            case "content":
                refusal(
                    limits: limits,
                    layer { tar in for i in 0..<4 { tar.add("f\(i)", [UInt8](repeating: 1, count: 2000)) } })
            case "file": refusal(limits: limits, layer { $0.add("f", [UInt8](repeating: 1, count: 3000)) })
            case "depth":
                refusal(limits: limits, layer { $0.add((0..<12).map { _ in "d" }.joined(separator: "/")) })
            case _: refusal(limits: limits, layer { $0.add("f", size: 0o77777777777) })
            }
        #expect(error?.code == (kind == "depth" ? .corrupt : .exhausted), "\(String(describing: error))")
        #expect(error?.remedy != nil)
    }

    @Test("folders within folders through links stay within the depth")
    func deepThroughLinks() throws {
        var limits = UnpackLimits()
        limits.depth = 10
        var layers = TarBytes()
        layers.add("a/b/c/d/e/f", type: "5", mode: 0o755)
        layers.add("l1", type: "2", link: "a/b/c/d/e/f")
        layers.add("l1/a/b/c/d/e/f", type: "5", mode: 0o755)
        #expect(refusal(limits: limits, layers.finished)?.code == .corrupt)
    }

    @Test("a truncated or damaged layer is told from a good one", arguments: [100, 600, 1100, 2000])
    func truncated(_ length: Int) throws {
        let whole = layer { $0.add("f", [UInt8](repeating: 7, count: 3000)) }
        let error = refusal(Array(whole.prefix(length)))
        #expect(error?.code == .corrupt)
    }

    @Test("a stream that is compressed twice is refused")
    func twice() async throws {
        let plain = try scratch.folder("p") + "/layer.tar"
        try writeFileAtomically(plain, layer { $0.add("f", Array("x".utf8)) })
        try await shell("gzip -c '\(plain)' | gzip -c > '\(plain).gz'")
        #expect(refusal(try readFile("\(plain).gz"))?.code == .corrupt)
    }

    @Test("gzip, zstd and plain layers are the same", arguments: ["gzip -c", "zstd -q -c", "cat"])
    func compressions(_ filter: String) async throws {
        let plain = "\(scratch.path)/layer.tar"
        try writeFileAtomically(plain, layer { $0.add("f", Array("content".utf8)) })
        try await shell("\(filter) '\(plain)' > '\(plain).out'")
        try unpack(try readFile("\(plain).out"))
        #expect(try text("f") == "content")
    }

}
