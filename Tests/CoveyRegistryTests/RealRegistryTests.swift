import CoveyImages
import CoveyModel
import CoveySystem
import Glibc
import Synchronization
import Testing

@testable import CoveyRegistry

/// Pulls from a registry into folders of a test.
struct Puller: Sendable {
    let scratch: Scratch
    let images: RegistryImages
    let access: RegistryAccess
    let blobs: String

    init(_ settings: RegistrySettings) throws {
        scratch = try Scratch("pull")
        blobs = "\(scratch.path)/blobs"
        images = RegistryImages(blobs: blobs, credentials: "\(scratch.path)/access", settings: settings)
        access = RegistryAccess(folder: "\(scratch.path)/access", settings: settings)
    }

    /// Pulls an image into a new folder of the scratch folder.
    func pull(
        _ reference: String, into name: String = "tree", access: String? = nil,
        progress: @escaping ProgressHandler = { _, _, _, _ in }
    ) async throws -> (image: UnpackedImage, tree: String) {
        let tree = try scratch.folder(name)
        let pull = RegistryPull(reference: reference, access: access)
        return (try await images.pull(pull, into: tree, progress: progress), tree)
    }

    /// The blobs that are whole, and those that are half here.
    func stored() throws -> (whole: [String], partial: [String]) {
        func list(_ kind: String) throws -> [String] {
            fileExists("\(blobs)/\(kind)") ? try listFolder("\(blobs)/\(kind)") : []
        }
        return (try list("sha256"), try list("partial"))
    }
}

/// Settings that do not let a test wait long.
func quickSettings(plainHTTP: Set<String> = []) -> RegistrySettings {
    var settings = RegistrySettings(plainHTTP: plainHTTP, authorityFolders: [])
    settings.transfer.firstPause = .milliseconds(5)
    settings.transfer.longestPause = .milliseconds(50)
    settings.transfer.stall = .seconds(2)
    settings.transfer.connect = .seconds(5)
    settings.transfer.answer = .seconds(10)
    return settings
}

@Suite("docker-registry", .timeLimit(.minutes(10)))
struct RealRegistryTests {
    @Test("the unpacked tree is what umoci unpacks, file by file, also from zstd and plain layers")
    func tree() async throws {
        let samples = try await SampleImages.shared()
        let registry = try await DockerRegistry.start()
        try await registry.push("oci:\(samples.layout):tree", as: "test/tree:1")
        try await registry.push(
            "oci:\(samples.layout):tree", as: "test/tree:zstd", options: "--dest-compress-format zstd --format oci")
        let puller = try Puller(quickSettings(plainHTTP: [registry.host]))
        let theirs = try await samples.unpacked("tree", into: "\(puller.scratch.path)/umoci")
        for tag in ["1", "zstd"] {
            let (image, ours) = try await puller.pull("\(registry.host)/test/tree:\(tag)", into: tag)
            #expect(image.origin.layers.count == 3)
            #expect(try await differences(ours, theirs).isEmpty, "\(tag)")
            #expect(try await differences(theirs, ours).isEmpty, "\(tag)")
        }
        #expect(try listFolder("\(puller.scratch.path)/1/opaque") == ["only"])
    }

    @Test("what the image says of its programs is read")
    func configuration() async throws {
        let samples = try await SampleImages.shared()
        let registry = try await DockerRegistry.start()
        try await registry.push("oci:\(samples.layout):tree", as: "test/tree:1")
        let puller = try Puller(quickSettings(plainHTTP: [registry.host]))
        let image = try await puller.pull("\(registry.host)/test/tree:1").image
        #expect(image.configuration.entrypoint == ["/bin/sh", "-c"])
        #expect(image.configuration.command == ["id; pwd; echo $GREETING"])
        #expect(image.configuration.user == "app")
        #expect(image.configuration.workingDirectory == "/home/app")
        #expect(image.configuration.environment["GREETING"] == "hello")
        #expect(image.configuration.environment["PATH"]?.contains("/usr/bin") == true)
        #expect(image.origin.reference == "\(registry.host)/test/tree:1")
    }

    @Test("a docker manifest is read as an OCI one, and by its digest too")
    func dockerFormat() async throws {
        let samples = try await SampleImages.shared()
        let registry = try await DockerRegistry.start()
        try await registry.push("oci:\(samples.layout):small", as: "test/small:v2", options: "--format v2s2")
        let puller = try Puller(quickSettings(plainHTTP: [registry.host]))
        let first = try await puller.pull("\(registry.host)/test/small:v2").image
        #expect(first.origin.layers[0].mediaType == MediaType.dockerLayerGzip)
        let digest = first.origin.manifestDigest
        let second = try await puller.pull("\(registry.host)/test/small@\(digest)", into: "again").image
        #expect(second.origin.manifestDigest == digest)
    }

    @Test("of an index the image of this platform is taken; without one the error names what there is")
    func index() async throws {
        let samples = try await SampleImages.shared()
        let registry = try await DockerRegistry.start()
        let puller = try Puller(quickSettings(plainHTTP: [registry.host]))
        let layout = "\(puller.scratch.path)/layout"
        try await shell("cp -a '\(samples.layout)' '\(layout)'")
        try await shell(
            """
            cd '\(puller.scratch.path)'
            umoci new --image layout:arm; umoci config --image layout:arm --architecture arm64
            skopeo --insecure-policy copy -q --dest-tls-verify=false oci:layout:small docker://\(registry.host)/test/multi:amd64
            skopeo --insecure-policy copy -q --dest-tls-verify=false oci:layout:arm docker://\(registry.host)/test/multi:arm64
            """)
        func entry(_ tag: String, _ architecture: String) async throws -> String {
            let raw = try await shell(
                "skopeo inspect --raw --tls-verify=false docker://\(registry.host)/test/multi:\(tag)")
            let digest = try await shell("printf %s '\(raw)' | sha256sum | cut -d' ' -f1").prefix { $0 != "\n" }
            return """
                {"mediaType":"\(MediaType.manifest)","digest":"sha256:\(digest)","size":\(raw.utf8.count),\
                "platform":{"architecture":"\(architecture)","os":"linux"}}
                """
        }
        let (amd, arm) = (try await entry("amd64", "amd64"), try await entry("arm64", "arm64"))
        for (tag, entries) in [("both", "\(arm),\(amd)"), ("arm", arm)] {
            let index = #"{"schemaVersion":2,"mediaType":"\#(MediaType.index)","manifests":[\#(entries)]}"#
            try await shell(
                """
                curl -sSf -X PUT -H 'Content-Type: \(MediaType.index)' --data-binary '\(index)' \
                    http://\(registry.host)/v2/test/multi/manifests/\(tag)
                """)
        }
        let (_, tree) = try await puller.pull("\(registry.host)/test/multi:both")
        #expect(try readText("\(tree)/file") == "small\n")
        let other = await failure { _ = try await puller.pull("\(registry.host)/test/multi:arm", into: "arm") }
        #expect(other?.code == .unsupported)
        #expect(other?.remedy?.contains("linux/arm64") == true)
        let alone = await failure { _ = try await puller.pull("\(registry.host)/test/multi:arm64", into: "arm64") }
        #expect(alone?.code == .unsupported)
        #expect(alone?.message.contains("linux/arm64") == true)
    }

    @Test("TLS by a private authority: trusted where it is given, refused where not")
    func tls() async throws {
        let samples = try await SampleImages.shared()
        var options = DockerRegistry.Options()
        options.tls = true
        let registry = try await DockerRegistry.start(options)
        try await registry.push("oci:\(samples.layout):small", as: "test/small:1")
        let stranger = try Puller(quickSettings())
        let refused = await failure { _ = try await stranger.pull("\(registry.host)/test/small:1") }
        #expect(refused?.code == .unavailable)
        #expect(refused?.remedy?.contains("registry.ca") == true)
        var settings = quickSettings()
        settings.authorities = [try #require(registry.authority)]
        let trusting = try Puller(settings)
        let (_, tree) = try await trusting.pull("\(registry.host)/test/small:1")
        #expect(try readText("\(tree)/file") == "small\n")
        // As docker and podman keep them.
        let folders = try Scratch("certs")
        try await shell(
            "mkdir '\(folders.path)/\(registry.host)'; cp '\(settings.authorities[0])' '\(folders.path)/\(registry.host)/ca.crt'"
        )
        var byFolder = quickSettings()
        byFolder.authorityFolders = [folders.path]
        #expect(try await Puller(byFolder).pull("\(registry.host)/test/small:1").image.origin.layers.count == 1)
    }

    @Test("basic credentials: the right ones pull, the wrong ones and none are told apart from a missing image")
    func basic() async throws {
        let samples = try await SampleImages.shared()
        var options = DockerRegistry.Options()
        options.tls = true
        options.user = "ann"
        let registry = try await DockerRegistry.start(options)
        try await registry.push("oci:\(samples.layout):small", as: "test/small:1", login: "ann:right")
        var settings = quickSettings()
        settings.authorities = [try #require(registry.authority)]
        let puller = try Puller(settings)
        let none = await failure { _ = try await puller.pull("\(registry.host)/test/small:1", into: "a") }
        #expect(none?.code == .unauthenticated)
        #expect(none?.remedy?.contains("covey registry login \(registry.host)") == true)
        try await puller.access.keep(RegistryCredentials(user: "ann", password: "wrong"), as: "w")
        let wrong = await failure { _ = try await puller.pull("\(registry.host)/test/small:1", into: "b", access: "w") }
        #expect(wrong?.code == .unauthenticated)
        #expect(wrong?.message.contains("does not take") == true)
        try await puller.access.keep(RegistryCredentials(user: "ann", password: "right"), as: "r")
        #expect(
            try await puller.pull("\(registry.host)/test/small:1", into: "c", access: "r").image.origin.layers.count
                == 1)
        let missing = await failure { _ = try await puller.pull("\(registry.host)/test/no:1", into: "d", access: "r") }
        #expect(missing?.code == .notFound)
        try await puller.access.check(
            registry.host, plainHTTP: false, RegistryCredentials(user: "ann", password: "right"))
        let login = await failure {
            try await puller.access.check(
                registry.host, plainHTTP: false, RegistryCredentials(user: "ann", password: "x"))
        }
        #expect(login?.code == .unauthenticated)
    }

    @Test("credentials lie in a file for root alone, and go when they are forgotten")
    func credentialFiles() async throws {
        let puller = try Puller(quickSettings())
        try await puller.access.keep(RegistryCredentials(user: "ann", password: "secret"), as: "abc")
        #expect(try FileFacts("\(puller.scratch.path)/access/abc").mode == 0o600)
        #expect(try FileFacts("\(puller.scratch.path)/access").mode == 0o700)
        #expect("\(RegistryCredentials(user: "ann", password: "secret"))".contains("secret") == false)
        try await puller.images.forget(RegistryPull(reference: "x", access: "abc"))
        #expect(!fileExists("\(puller.scratch.path)/access/abc"))
    }

    @Test("a registry that is down is told within its attempts, and what is asked for before it is a mirror")
    func downAndMirrors() async throws {
        let samples = try await SampleImages.shared()
        let registry = try await DockerRegistry.start()
        try await registry.push("oci:\(samples.layout):small", as: "test/small:1")
        let down = await failure {
            _ = try await Puller(quickSettings(plainHTTP: ["127.0.0.1:1"])).pull("127.0.0.1:1/test/small:1")
        }
        #expect(down?.code == .unavailable)
        #expect(down?.retryable == true)
        var settings = quickSettings(plainHTTP: ["127.0.0.1:1"])
        settings.mirrors = ["127.0.0.1:1": ["http://127.0.0.1:2", "http://\(registry.host)"]]
        let puller = try Puller(settings)
        let (image, tree) = try await puller.pull("127.0.0.1:1/test/small:1")
        #expect(try readText("\(tree)/file") == "small\n")
        #expect(image.origin.reference == "127.0.0.1:1/test/small:1")
    }

    @Test("blobs are kept once, collected when nobody wants them, and never while a pull holds them")
    func blobs() async throws {
        let samples = try await SampleImages.shared()
        let registry = try await DockerRegistry.start()
        try await registry.push("oci:\(samples.layout):small", as: "test/small:1")
        let puller = try Puller(quickSettings(plainHTTP: [registry.host]))
        var image: UnpackedImage? = try await puller.pull("\(registry.host)/test/small:1", into: "a").image
        let count = try puller.stored().whole.count
        #expect(count == 3)
        #expect(try await puller.images.collect(partial: true) { [] } == ByteCount(0))
        #expect(try puller.stored().whole.count == count, "held by the image")
        var usage = try await puller.images.usage(wanted: [])
        #expect(usage.blobs.count == 3 && usage.blobs.reclaimable == ByteCount(0) && usage.loose.isEmpty)
        let digest = try #require(image?.origin.configurationDigest)
        image = nil
        usage = try await puller.images.usage(wanted: [digest])
        #expect(usage.loose.count == 2 && !usage.loose.contains { $0.name == digest })
        #expect(usage.blobs.reclaimable == usage.loose.reduce(ByteCount(0)) { ByteCount($0.bytes + $1.freed.bytes) })
        #expect(try await puller.images.collect(partial: true) { [digest] }.bytes > 0)
        #expect(try puller.stored().whole == [String(digest.dropFirst(7))])
    }

    @Test("per-layer progress ends at the layers' sizes")
    func progress() async throws {
        let samples = try await SampleImages.shared()
        let registry = try await DockerRegistry.start()
        try await registry.push("oci:\(samples.layout):tree", as: "test/tree:1")
        let seen = Mutex<[String: (Int64?, Int64?)]>([:])
        let image = try await Puller(quickSettings(plainHTTP: [registry.host])).pull(
            "\(registry.host)/test/tree:1",
            progress: { stage, done, total, _ in seen.withLock { $0[stage] = (done, total) } }
        ).image
        for layer in image.origin.layers {
            let last = seen.withLock { $0["layer \(layer.digest.dropFirst(7).prefix(12))"] }
            #expect(last?.0 == layer.size.bytes && last?.1 == layer.size.bytes)
        }
        #expect(seen.withLock { $0["unpack"]?.0 } == image.origin.layers.reduce(0) { $0 + $1.size.bytes })
    }
}
