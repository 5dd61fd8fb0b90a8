import CoveyModel
import CoveySystem
import FoundationEssentials
import Testing

/// What `covey volume inspect -o json` says, as far as the tests look at it.
private struct VolumeView: Decodable, Sendable {
    struct Spec: Decodable, Sendable {
        struct Attachment: Decodable, Sendable {
            var name: String
            var path: String
            var readOnly: Bool
        }
        var size: Int64
        var attachments: [Attachment]
    }
    struct Status: Decodable, Sendable {
        var state: String
        var size: Int64
    }
    struct Metadata: Decodable, Sendable { var id: String }
    var metadata: Metadata
    var spec: Spec
    var status: Status
}

extension TestHost {
    fileprivate func volume(_ name: String) async throws -> VolumeView {
        let bytes = try await succeed("volume", "inspect", name, "-o", "json").bytes
        return try JSONDecoder().decode(VolumeView.self, from: Data(bytes))
    }

    /// Mebibytes of a file system as df in a machine sees it.
    fileprivate func size(_ machine: String, _ path: String) async throws -> Int {
        let line = try await succeed("exec", machine, "--", "df", "-m", path).lines.last ?? ""
        let fields = line.split(separator: " ")
        return Int(fields.count > 1 ? fields[1] : "") ?? 0
    }

    /// Removes volumes that a test has made.
    fileprivate func remove(_ volumes: String...) async throws {
        for name in volumes { try await succeed("volume", "rm", name) }
        #expect(try listFolder("\(root)/volumes").isEmpty)
    }
}

@Suite("Volumes in machines", .tags(.machine), .serialized, .host)
struct VolumeTests {
    @Test(
        "what was written is there for the next machine, whoever was killed in between, and who may read cannot write")
    func survives() async throws {
        let host = try await TestHost.current()
        try await host.succeed("volume", "create", "keep", "--size", "64M")
        try await host.succeed("vm", "create", "--name", "writer", "--volume", "keep:/data", "busybox")
        try await host.succeed("exec", "writer", "--", "sh", "-c", "echo first > /data/file; sync")
        try await host.killDaemon()
        try await host.start()
        try await host.ready("writer")
        try await host.succeed("exec", "writer", "--", "sh", "-c", "echo second >> /data/file")
        try await host.succeed("vm", "stop", "writer")
        try await host.succeed("vm", "rm", "writer")
        try await host.killDaemon()
        try await host.start()
        #expect(try await host.volume("keep").spec.attachments.isEmpty)
        let read = try await host.succeed(
            "run", "--rm", "--volume", "keep:/elsewhere/deep:ro", "busybox", "--", "sh", "-c",
            """
            cat /elsewhere/deep/file
            echo x > /elsewhere/deep/file || echo refused
            mount -o remount,rw /elsewhere/deep || echo refused
            dd if=/dev/zero of=$(readlink -f /dev/disk/by-id/virtio-covey-vol-*) bs=512 count=1 || echo refused
            """)
        #expect(read.lines == ["first", "second", "refused", "refused", "refused"], "\(read)")
        try await host.remove("keep")
    }

    @Test("of two machines one may write to a volume; the other is refused, and so is the volume's removal")
    func exclusive() async throws {
        let host = try await TestHost.current()
        try await host.succeed("volume", "create", "only", "--size", "32M")
        try await host.succeed("vm", "create", "--name", "first", "--volume", "only:/data", "busybox")
        let second = try await host.run("run", "--rm", "--volume", "only:/data", "busybox", "--", "true")
        #expect(second.code == 125 && second.isClearError && second.error.contains("vm first"), "\(second)")
        let reader = try await host.run("vm", "create", "--volume", "only:/data:ro", "busybox")
        #expect(reader.code == 4 && reader.isClearError, "\(reader)")
        let removal = try await host.run("volume", "rm", "only")
        #expect(removal.code == 4 && removal.error.contains("vm first"), "\(removal)")
        let detached = try await host.run("volume", "detach", "only", "first")
        #expect(detached.code == 4 && detached.error.contains("covey vm stop first"), "\(detached)")
        try await host.succeed("vm", "stop", "first")
        try await host.succeed("volume", "detach", "only", "first")
        for name in ["one", "two"] {
            try await host.succeed(
                "vm", "create", "--name", name, "--volume", "only:/data:ro", "--wait", "running", "busybox")
        }
        #expect(try await host.volume("only").spec.attachments.map(\.name).sorted() == ["one", "two"])
        for name in ["first", "one", "two"] { try await host.succeed("vm", "rm", "-f", name) }
        try await host.remove("only")
    }

    @Test("root disk, volume and scratch disk have the sizes that were asked for, and grow with their content")
    func growth() async throws {
        let host = try await TestHost.current()
        try await host.succeed("volume", "create", "grows", "--size", "32M")
        try await host.succeed(
            "vm", "create", "--name", "sized", "--disk", "300M", "--volume", "grows:/data", "--scratch", "100M",
            "busybox")
        #expect((250...300).contains(try await host.size("sized", "/")))
        #expect((80...100).contains(try await host.size("sized", "/scratch")))
        #expect((20...32).contains(try await host.size("sized", "/data")))
        try await host.succeed("exec", "sized", "--", "sh", "-c", "echo kept | tee /data/file > /scratch/file")
        let late = try await host.succeed("volume", "create", "late", "--size", "16M")
        #expect(late.text == "late\n")
        let attached = try await host.succeed("volume", "attach", "late", "sized:/late")
        #expect(attached.error.contains("covey vm restart sized"))
        try await host.succeed("volume", "resize", "grows", "--size", "200M")
        #expect(try await host.volume("grows").status.size == 200 << 20)
        #expect((20...32).contains(try await host.size("sized", "/data")))
        try await host.succeed("vm", "restart", "sized")
        #expect((150...200).contains(try await host.size("sized", "/data")))
        #expect((250...300).contains(try await host.size("sized", "/")))
        let kept = try await host.succeed(
            "exec", "sized", "--", "sh", "-c", "cat /data/file /scratch/file; grep -c /late /proc/mounts")
        #expect(kept.text == "kept\nkept\n1\n")
        let id = try await host.inspect("sized").id
        #expect(fileExists("\(host.root)/vms/\(id)/scratch.img"))
        try await host.succeed("vm", "rm", "-f", "sized")
        #expect(!fileExists("\(host.root)/vms/\(id)"))
        try await host.remove("grows", "late")
    }

    @Test("a raw volume is a block device under the name that was asked for, and keeps its bytes")
    func raw() async throws {
        let host = try await TestHost.current()
        try await host.succeed("volume", "create", "block", "--size", "16M", "--raw")
        let write = "echo bytes | dd of=/dev/mine bs=512 count=1 conv=sync 2>/dev/null; blockdev --getsize64 /dev/mine"
        let written = try await host.succeed(
            "run", "--rm", "--volume", "block:/dev/mine", "busybox", "--", "sh", "-c", write)
        #expect(written.text == "\(16 << 20)\n")
        let read = try await host.succeed(
            "run", "--rm", "--volume", "block:/my/disk:ro", "busybox", "--", "sh", "-c", "head -c 5 /my/disk")
        #expect(read.text == "bytes")
        try await host.remove("block")
    }

    @Test("a volume whose machine was killed is repaired by the next one that may write, and refused to readers before")
    func recovery() async throws {
        let host = try await TestHost.current()
        try await host.succeed("volume", "create", "dirty", "--size", "32M")
        try await host.succeed("vm", "create", "--name", "victim", "--volume", "dirty:/data", "busybox")
        try await host.succeed("exec", "victim", "--", "sh", "-c", "echo text > /data/file; sync; echo more > /data/x")
        try await host.succeed("vm", "kill", "victim")
        try await host.succeed("vm", "rm", "victim")
        let reader = try await host.run("vm", "create", "--name", "reader", "--volume", "dirty:/data:ro", "busybox")
        #expect(reader.code == 4 && reader.isClearError && reader.error.contains("not unmounted in order"), "\(reader)")
        try await eventually("the machine that could not start is gone") { try await host.isGone("reader") }
        #expect(try await host.volume("dirty").spec.attachments.isEmpty)
        let repaired = try await host.succeed(
            "run", "--rm", "--volume", "dirty:/data", "busybox", "--", "cat", "/data/file")
        #expect(repaired.text == "text\n")
        let read = try await host.succeed(
            "run", "--rm", "--volume", "dirty:/data:ro", "busybox", "--", "cat", "/data/file")
        #expect(read.text == "text\n")
        try await host.remove("dirty")
    }

    @Test("a copy has the content and a life of its own, and none is made under a machine that writes")
    func snapshot() async throws {
        let host = try await TestHost.current()
        try await host.succeed("volume", "create", "origin", "--size", "32M")
        try await host.succeed("vm", "create", "--name", "user", "--volume", "origin:/data", "busybox")
        try await host.succeed("exec", "user", "--", "sh", "-c", "echo before > /data/file")
        let refused = try await host.run("volume", "snapshot", "origin", "copy")
        #expect(refused.code == 4 && refused.error.contains("covey vm stop user"), "\(refused)")
        try await host.succeed("vm", "stop", "user")
        try await host.succeed("volume", "snapshot", "origin", "copy")
        try await host.succeed("vm", "start", "user")
        try await host.succeed("exec", "user", "--", "sh", "-c", "echo after > /data/file")
        let read = try await host.succeed("run", "--rm", "--volume", "copy:/data", "busybox", "--", "cat", "/data/file")
        #expect(read.text == "before\n")
        try await host.succeed("vm", "rm", "-f", "user")
        try await host.remove("origin", "copy")
    }

    @Test(
        "the daemon dies at a step of a volume's life: the next one brings it to its end",
        arguments: ["volume.made", "volume.grown", "volume.removed"])
    func killed(_ point: String) async throws {
        let host = try await TestHost.current()
        try await host.stopDaemon()
        try await host.start(faultPoint: point)
        let steps = [
            ["volume", "create", "step", "--size", "16M"], ["volume", "resize", "step", "--size", "32M"],
            ["volume", "rm", "step"],
        ]
        for step in steps {
            let outcome = try await host.run(step)
            if outcome.code == 0 { continue }
            #expect(try await host.daemonEnded() == .signalled(9))
            try await host.start()
            try await eventually("every operation has ended") {
                try await host.succeed("operation", "ls").lines.dropFirst().allSatisfy { line in
                    ["succeeded", "failed", "cancelled"].contains { line.contains(" \($0) ") }
                }
            }
        }
        #expect(try await host.run("volume", "inspect", "step").code == 3)
        #expect(try listFolder("\(host.root)/volumes").isEmpty)
    }

    @Test(
        "bad input gets one clear error, a remedy and the documented code",
        arguments: [
            (2, ["volume", "create", "zero", "--size", "0"]), (2, ["volume", "create", "huge", "--size", "9000T"]),
            (2, ["volume", "create", "Not_A_Label", "--size", "1G"]), (3, ["volume", "rm", "nobody"]),
            (3, ["volume", "inspect", "nobody"]), (3, ["volume", "attach", "nobody", "web:/data"]),
            (3, ["vm", "create", "--volume", "nobody:/data", "busybox"]),
            (2, ["vm", "create", "--scratch", "0", "busybox"]),
            (2, ["vm", "create", "--scratch", "64M:relative", "busybox"]),
            (2, ["vm", "create", "--volume", "a:/data", "--volume", "b:/data", "busybox"]),
            (2, ["vm", "create", "--volume", "a:/one", "--volume", "a:/two", "busybox"]),
            (2, ["vm", "create", "--volume", "a:/proc", "busybox"]),
        ] as [(Int32, [String])])
    func badInput(_ code: Int32, _ arguments: [String]) async throws {
        let host = try await TestHost.current()
        let outcome = try await host.run(arguments)
        #expect(outcome.code == code && outcome.isClearError, "\(outcome)")
        #expect(try await host.succeed("volume", "ls", "-q").text.isEmpty)
    }
}
