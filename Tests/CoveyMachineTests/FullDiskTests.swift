import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("A full disk", .tags(.machine))
struct FullDiskTests {
    @Test("new machines are refused clearly, running ones go on, and all is well when there is space again")
    func fullDisk() async throws {
        try await TestHost.with(start: false) { host in
            let mounted = try await runProgram("mount", ["-t", "tmpfs", "-o", "size=420m", "covey-test", host.root])
            guard mounted.code == 0 else { throw CoveyError(.failure, "no tmpfs: \(mounted)") }
            try await host.start()
            try await host.importKernel()
            try await host.succeed("vm", "create", "--name", "before", "busybox")
            let before = try await host.inspect("before")
            let boot = try await host.bootID("before")
            let filler = "\(host.root)/filler"
            _ = try await runProgram("dd", ["if=/dev/zero", "of=\(filler)", "bs=64k"])
            _ = try await runProgram("dd", ["if=/dev/zero", "of=\(filler).rest", "bs=1"], limit: .seconds(20))

            let refused = try await host.run("vm", "create", "--name", "full", "busybox")
            #expect(refused.code == 7 && refused.isClearError, "\(refused)")
            let run = try await host.run("run", "--rm", "--name", "full", "busybox", "--", "true")
            #expect(run.code == 125 && run.isClearError, "\(run)")
            // The output of an exec is recorded, so there is none at the moment; the machine goes on all the same.
            let exec = try await host.run("exec", "before", "--", "true")
            #expect(exec.code == 0 || (exec.code == 125 && exec.isClearError), "\(exec)")
            #expect(try host.machineProcesses(before.id) == [before.status.pid])

            try removeFile(filler)
            try removeFile("\(filler).rest")
            let after = try await host.run("run", "--rm", "busybox", "--", "echo", "space")
            #expect(after.text == "space\n", "\(after)")
            #expect(try await host.bootID("before") == boot)
            #expect(try await host.isGone("full"))
            try await host.succeed("vm", "rm", "-f", "before")
            #expect(try host.leftOfMachines().isEmpty)
        }
    }
}
