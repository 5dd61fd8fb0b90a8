import CoveyImages
import CoveyModel
import CoveySystem
import Testing

@testable import CoveyDisks

/// What version 1 wrote must be read for ever.
@Suite("Manifests")
struct ManifestTests {
    private let kernel = """
        {
          "agent" : "sha256:04",
          "elf" : { "digest" : "sha256:01", "name" : "vmlinux", "size" : 6 },
          "initramfs" : { "digest" : "sha256:02", "name" : "initramfs-04", "size" : 9 },
          "modules" : 1121,
          "payload" : "lz4",
          "release" : "6.1.0-56-cloud-amd64",
          "tools" : { "digest" : "sha256:03", "name" : "tools-04.ext4", "size" : 5 },
          "version" : 1,
          "laterField" : true
        }
        """
    private let image = """
        {
          "configuration" : { "command" : ["/bin/bash"], "entrypoint" : [], "environment" : { "A" : "b" },
            "initPath" : "/sbin/init" },
          "digest" : "sha256:05",
          "file" : "root.ext4",
          "size" : 4,
          "version" : 1
        }
        """

    @Test("a kernel's manifest of version 1 is read")
    func readsKernel() async throws {
        try await withScratch { root in
            let id: KernelID = newID()
            try makeFolder("\(root)/\(id)")
            for (name, text) in [
                ("manifest.json", kernel), ("vmlinux", "kernel"), ("initramfs-04", "initramfs"),
                ("tools-04.ext4", "tools"),
            ] { try writeFileAtomically("\(root)/\(id)/\(name)", Array(text.utf8)) }
            let folder = ArtifactFolder<Kernel, KernelManifest>(root: root, kind: "kernel")
            let manifest = try #require(try folder.load(id))
            #expect(manifest.release == "6.1.0-56-cloud-amd64" && manifest.payload == "lz4" && manifest.modules == 1121)
            #expect(manifest.agent == "sha256:04" && manifest.elf.digest == "sha256:01")
            #expect(manifest.initramfs.name == "initramfs-04" && manifest.tools.size == 5)
        }
    }

    @Test("an image's manifest of version 1 is read")
    func readsImage() async throws {
        try await withScratch { root in
            let id: ImageID = newID()
            try makeFolder("\(root)/\(id)")
            try writeFileAtomically("\(root)/\(id)/manifest.json", Array(image.utf8))
            try writeFileAtomically("\(root)/\(id)/root.ext4", Array("ext4".utf8))
            let stored = try await ImageStore(root: root).image(id)
            #expect(stored.digest == "sha256:05" && stored.size == ByteCount(4))
            #expect(
                stored.configuration
                    == ImageConfiguration(command: ["/bin/bash"], environment: ["A": "b"], initPath: "/sbin/init"))
        }
    }

    @Test("a manifest that names a file elsewhere is damaged")
    func outside() async throws {
        try await withScratch { root in
            let id: ImageID = newID()
            try makeFolder("\(root)/\(id)")
            let text = image.replacing("root.ext4", with: "../other")
            try writeFileAtomically("\(root)/other", Array("ext4".utf8))
            try writeFileAtomically("\(root)/\(id)/manifest.json", Array(text.utf8))
            #expect(await failure { _ = try await ImageStore(root: root).image(id) }?.code == .corrupt)
        }
    }
}
