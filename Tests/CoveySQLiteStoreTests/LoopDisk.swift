internal import CoveyModel
internal import FoundationEssentials
internal import Subprocess

/// An ext4 of its own on a loop device.
struct LoopDisk: Sendable {
    /// Where it is mounted.
    let mountPoint: String
    private let device: String

    fileprivate init(_ folder: String) async throws {
        mountPoint = "\(folder)/disk"
        try FileManager.default.createDirectory(atPath: mountPoint, withIntermediateDirectories: false)
        _ = try await tool("truncate", "-s", "64M", "\(folder)/image")
        _ = try await tool("mke2fs", "-q", "-t", "ext4", "\(folder)/image")
        _ = try await tool("mount", "-o", "loop,errors=remount-ro", "\(folder)/image", mountPoint)
        device = try await tool("findmnt", "-n", "-o", "SOURCE", mountPoint)
    }

    /// Makes the kernel believe that the disk is damaged. Source: Linux, Documentation/ABI/testing/sysfs-fs-ext4.
    func turnReadOnly() async throws {
        let name = device.split(separator: "/").last.map(String.init) ?? device
        _ = try await tool("sh", "-c", "echo 1 > /sys/fs/ext4/\(name)/trigger_fs_error")
    }

    fileprivate func unmount() async throws { _ = try await tool("umount", "-l", mountPoint) }
}

/// Lends a disk, and takes it away again.
func withLoopDisk(_ folder: String, _ body: (LoopDisk) async throws -> Void) async throws {
    let disk = try await LoopDisk(folder)
    do { try await body(disk) } catch {
        try await disk.unmount()
        throw error
    }
    try await disk.unmount()
}

private func tool(_ name: String, _ arguments: String...) async throws -> String {
    let outcome = try await run(
        .name(name), arguments: Arguments(arguments), output: .string(limit: 65536), error: .string(limit: 65536))
    guard outcome.terminationStatus.isSuccess else {
        throw CoveyError(.failure, "\(name) \(arguments): \(outcome.standardError)")
    }
    return outcome.standardOutput.split(separator: "\n").first.map(String.init) ?? ""
}
