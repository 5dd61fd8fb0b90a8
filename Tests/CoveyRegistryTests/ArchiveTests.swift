import CoveyImages
import CoveyModel
import CoveySystem
import Glibc
import Synchronization
import Testing

@testable import CoveyRegistry

@Suite("Images in archives", .timeLimit(.minutes(5)))
struct ArchiveTests {
    @Test(
        "skopeo's archives, OCI and docker's, give the tree that umoci unpacks",
        arguments: ["oci-archive", "docker-archive"])
    func kinds(_ kind: String) async throws {
        let samples = try await SampleImages.shared()
        let puller = try Puller(quickSettings())
        let file = "\(puller.scratch.path)/image.tar"
        try await shell(
            "skopeo --insecure-policy copy -q oci:'\(samples.layout)':tree '\(kind):\(file):example.com/test/tree:1'")
        let theirs = try await samples.unpacked("tree", into: "\(puller.scratch.path)/umoci")
        let ours = try puller.scratch.folder("tree")
        let image = try #require(
            try await puller.images.take(archive: file, name: "image.tar", into: ours) { _, _, _, _ in })
        #expect(try await differences(ours, theirs).isEmpty)
        #expect(image.configuration.user == "app")
        #expect(image.origin.reference == "example.com/test/tree:1")
        #expect(image.origin.layers.count == 3)
        let kept = try puller.stored()
        #expect(kept.partial.isEmpty)
        let wanted = Set(
            [image.origin.manifestDigest, image.origin.configurationDigest] + image.origin.layers.map(\.digest))
        withExtendedLifetime(image) {}
        #expect(wanted.allSatisfy { kept.whole.contains(String($0.dropFirst(7))) })
    }

    @Test("an exported image is one that skopeo reads, with the same manifest")
    func export() async throws {
        let samples = try await SampleImages.shared()
        let registry = try await DockerRegistry.start()
        try await registry.push("oci:\(samples.layout):tree", as: "test/tree:1")
        let puller = try Puller(quickSettings(plainHTTP: [registry.host]))
        let (image, _) = try await puller.pull("\(registry.host)/test/tree:1")
        let file = "\(puller.scratch.path)/out.tar"
        let output = try openFile(file, [.writeOnly, .create])
        let raw = output.raw
        try await puller.images.export(image.origin) { try writeAll(raw, $0) }
        try await shell("skopeo --insecure-policy copy -q oci-archive:'\(file)' oci:'\(puller.scratch.path)/again':x")
        let digest = try await shell(
            "skopeo inspect --raw oci:'\(puller.scratch.path)/again':x | sha256sum | cut -d' ' -f1")
        #expect("sha256:" + digest.filter { !$0.isWhitespace } == image.origin.manifestDigest)
        let back = try puller.scratch.folder("back")
        let again = try #require(
            try await puller.images.take(archive: file, name: "out.tar", into: back) { _, _, _, _ in })
        #expect(again.origin.manifestDigest == image.origin.manifestDigest)
    }

    @Test("a root file system in a tar is none, and what only looks like an image is refused")
    func others() async throws {
        let puller = try Puller(quickSettings())
        func take(_ body: (inout TarBytes) -> Void) async throws -> UnpackedImage? {
            var tar = TarBytes()
            body(&tar)
            let file = "\(puller.scratch.path)/x.tar"
            try writeFileAtomically(file, tar.finished)
            let tree = try puller.scratch.folder("t\(UInt32.random(in: .min ... .max))")
            return try await puller.images.take(archive: file, name: "x.tar", into: tree) { _, _, _, _ in }
        }
        #expect(try await take { $0.add("etc/passwd", Array("x".utf8)) } == nil)
        #expect(try await take { $0.add("bin/sh", Array("x".utf8)) } == nil)
        let digest = String(repeating: "a", count: 64)
        let index =
            #"{"schemaVersion":2,"manifests":[{"mediaType":"\#(MediaType.manifest)","digest":"sha256:\#(digest)","size":1}]}"#
        let bad: [(String, (inout TarBytes) -> Void)] = [
            ("no blob", { $0.add("index.json", Array(index.utf8)) }),
            (
                "other bytes",
                {
                    $0.add("blobs/sha256/\(digest)", Array("x".utf8))
                    $0.add("index.json", Array(index.utf8))
                }
            ), ("no JSON", { $0.add("index.json", Array("{".utf8)) }),
            ("link to a file", { $0.add("index.json", type: "2", link: "/etc/passwd") }),
            ("no layer", { $0.add("manifest.json", Array(#"[{"Config":"a.json","Layers":["b/layer.tar"]}]"#.utf8)) }),
        ]
        for (what, body) in bad {
            let error = await failure { _ = try await take(body) }
            #expect(error?.code == .corrupt, "\(what): \(String(describing: error))")
        }
        _ = try await puller.images.collect(partial: true) { [] }
        #expect(try puller.stored().whole.isEmpty)
        #expect(try puller.stored().partial.isEmpty)
    }
}
