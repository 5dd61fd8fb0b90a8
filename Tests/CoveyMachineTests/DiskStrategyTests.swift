import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("Root disks of machines", .tags(.machine))
struct DiskStrategyTests {
    @Test(
        "a machine runs on a copy where the configuration says so, and keeps its disk",
        .host("disk:\n  strategy: copy\n"))
    func copied() async throws {
        let host = try await TestHost.current()
        #expect(try await host.succeed("doctor").text.contains("disks by copy: available, chosen"))
        try await host.succeed("vm", "create", "--name", "copied", "--disk", "100M", "busybox")
        let id = try await host.inspect("copied").id
        #expect(fileExists("\(host.root)/vms/\(id)/root.raw"))
        try await host.succeed("exec", "copied", "--", "sh", "-c", "echo kept > /file")
        try await host.succeed("vm", "restart", "copied")
        #expect(try await host.succeed("exec", "copied", "--", "cat", "/file").text == "kept\n")
        try await host.succeed("vm", "rm", "-f", "copied")
        #expect(!fileExists("\(host.root)/vms/\(id)"))
    }

    @Test("on XFS machines share the image's blocks")
    func shared() async throws {
        try await TestHost.with(start: false) { host in
            let disk = "\(host.folder)/xfs"
            let script = """
                set -e
                truncate -s 1G \(disk)
                mkfs.xfs -q -m reflink=1 \(disk)
                mount -o loop \(disk) \(host.root)
                """
            let mounted = try await runProgram("sh", ["-c", script])
            try #require(mounted.code == 0, "\(mounted)")
            try await run(host)
        }
    }

    private func run(_ host: TestHost) async throws {
        try await host.start()
        try await host.importKernel()
        #expect(try await host.succeed("doctor").text.contains("disks by reflink: available, chosen"))
        let outcome = try await host.succeed(
            "run", "--rm", "--disk", "200M", "busybox", "--", "sh", "-c", "df -m / | tail -n 1")
        let size = outcome.text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        #expect((150...200).contains(size), "\(outcome)")
    }

    @Test("in a machine whose kernel has device-mapper, its snapshots keep the claims of all root disks", .host)
    func mapped() async throws {
        let host = try await TestHost.current()
        try await host.succeed(
            "vm", "create", "--name", "mapper", "--scratch", "256M", "--memory", "384M", "busybox")
        let program = try readFile("\(host.programs.folder)/covey-disk-check", limit: 256 << 20)
        try await host.succeed(
            "exec", "-i", "mapper", "--", "sh", "-c", "cat > /scratch/check && chmod +x /scratch/check",
            input: program)
        let outcome = try await host.run(
            "exec", "mapper", "--", "sh", "-c",
            """
            modprobe loop && modprobe dm-snapshot && mkdir -p /scratch/disks || exit 9
            /scratch/check device-mapper /scratch/disks
            code=$?
            ls /sys/block | grep -c ^dm-
            cat /sys/block/loop*/loop/backing_file 2>/dev/null | grep -c .
            exit $code
            """, limit: .seconds(180))
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.lines.filter { $0.hasPrefix("ok ") }.count == 12, "\(outcome)")
        #expect(outcome.lines.suffix(2) == ["0", "0"], "devices are left: \(outcome)")
        try await host.succeed("vm", "rm", "-f", "mapper")
    }
}
