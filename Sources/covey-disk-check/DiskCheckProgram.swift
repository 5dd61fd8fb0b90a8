internal import CoveyDiskConformance
internal import CoveyModel
internal import CoveyRootDisks
internal import CoveySystem
internal import Glibc

/// `covey-disk-check STRATEGY FOLDER`: runs the conformance suite of root disks in a folder whose file system is its own.
@main enum DiskCheckProgram {
    static func main() async {
        let arguments = CommandLine.arguments
        guard arguments.count == 3, let strategy = DiskStrategy(rawValue: arguments[1]) else {
            say("usage: covey-disk-check reflink|device-mapper|copy FOLDER")
            exit(2)
        }
        do {
            exit(try await run(strategy, in: arguments[2]) ? 0 : 1)
        } catch {
            say("Bail out! \(error)")
            exit(1)
        }
    }

    private static func run(_ strategy: DiskStrategy, in folder: String) async throws -> Bool {
        guard strategy != .qcow2, let instance = InstanceID("0badcafe") else {
            throw CoveyError(.unsupported, "this program has no way to read a qcow2 file")
        }
        let store = RootDisks(strategy, instance: instance)
        let checks = RootDiskConformance.checks + [RootDiskConformance.fullDisk]
        say("1..\(checks.count)")
        var failed = 0
        for (number, check) in checks.enumerated() {
            let scratch = "\(folder)/check-\(number + 1)"
            try makeFolder(scratch)
            do {
                try await check.run(store, RawDiskAccess(), in: scratch)
                say("ok \(number + 1) - \(check)")
            } catch {
                failed += 1
                say("not ok \(number + 1) - \(check): \(error)")
            }
            try removeTree(scratch)
        }
        return failed == 0
    }

    private static func say(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        _ = bytes.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
    }
}
