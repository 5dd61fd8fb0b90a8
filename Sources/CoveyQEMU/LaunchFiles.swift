internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM
internal import Glibc

/// What is opened for a QEMU, which could open nothing of it by itself.
struct LaunchFiles: Sendable {
    /// The descriptors with the numbers that QEMU knows them by.
    private(set) var descriptors: [PassedDescriptor] = []

    /// Opens and makes all files and sockets of a plan. Blocks; what was made is registered for undoing first.
    /// Errors: ``ErrorCode/notFound`` and ``ErrorCode/corrupt`` for kernel, initramfs and disks,
    /// ``ErrorCode/exhausted`` for memory, what `openTap` throws, ``ErrorCode/conflict`` where the run's files exist.
    init(
        _ plan: LaunchPlan, _ numbers: DescriptorNumbers, undo: UndoList,
        openTap: (String) throws -> FileDescriptor
    ) throws {
        let kernel = try Self.readable(plan.kernel, "kernel", by: plan.user)
        try Self.checkKernel(kernel.raw, plan.kernel)
        pass(kernel, numbers.kernel)
        pass(try Self.readable(plan.initramfs, "initramfs", by: plan.user), numbers.initramfs)
        for (disk, number) in zip(plan.disks, numbers.disks) {
            if let backing = disk.backing, let below = number.backing {
                pass(try Self.open(backing, "disk", .readOnly), below)
            }
            let file = try Self.open(disk.path, "disk", disk.readOnly ? .readOnly : .readWrite)
            try Self.checkFormat(file.raw, disk)
            pass(file, number.file)
        }
        for (interface, number) in zip(plan.interfaces, numbers.interfaces) {
            pass(try openTap(interface.tap), number)
        }
        pass(try Self.makeMemory(plan, undo), numbers.memory)
        pass(try Self.listen(plan.controlSocket, undo), numbers.control)
        pass(try Self.listen(plan.guestSocket, undo), numbers.guest)
        undo.add { try removeFile(plan.errorLog) }
        try check("mkfifo", plan.consoleInput) { mkfifo(plan.consoleInput, 0o600) }
        undo.add { try removeFile(plan.consoleInput) }
        pass(try openFile(plan.consoleInput, [.readOnly, .nonBlocking, .noFollow]), numbers.consoleInput)
        pass(try openFile(plan.consoleInput, [.writeOnly, .nonBlocking, .noFollow]), numbers.consoleKeeper)
    }

    private mutating func pass(_ descriptor: consuming FileDescriptor, _ number: Int32) {
        descriptors.append(PassedDescriptor(SharedDescriptor(descriptor), as: number))
    }

    private static func open(_ path: String, _ what: String, _ flags: OpenFlags) throws -> FileDescriptor {
        do throws(SystemError) {
            return try openFile(path, flags)
        } catch {
            throw error.coveyError.with(context: "the \(what) cannot be opened")
        }
    }

    /// QEMU opens these two once more, through the descriptor, as its own user.
    private static func readable(_ path: String, _ what: String, by user: UInt32) throws -> FileDescriptor {
        let file = try open(path, what, .readOnly)
        let information = try status(file.raw, path)
        let may = information.st_uid == user ? S_IRUSR : information.st_gid == user ? S_IRGRP : S_IROTH
        guard information.st_mode & may != 0 else {
            throw CoveyError(
                .denied, "the \(what) \(path) cannot be read by the machine's user \(user)",
                remedy: "chmod 0644 \(path)")
        }
        return file
    }

    private static func checkKernel(_ descriptor: Int32, _ path: String) throws {
        let size = Int64(try status(descriptor, path).st_size)
        let head = try readSome(descriptor, limit: KernelCheck.headBytes) ?? []
        guard let problem = KernelCheck.problem(head, size: size) else { return }
        throw CoveyError(.corrupt, "the kernel \(path) cannot be booted: \(problem)", remedy: "import the kernel again")
    }

    private static func checkFormat(_ descriptor: Int32, _ disk: DiskPlan) throws {
        guard disk.format == .qcow2 else { return }
        var head: [UInt8] = [0, 0, 0, 0]
        try check("pread", disk.path) { pread(descriptor, &head, 4, 0) }
        guard head == [0x51, 0x46, 0x49, 0xFB] else {
            throw CoveyError(
                .corrupt, "the disk \(disk.path) is damaged: it is no qcow2 file",
                remedy: "delete the machine and create it again")
        }
    }

    private static func makeMemory(_ plan: LaunchPlan, _ undo: UndoList) throws -> FileDescriptor {
        let path = plan.memoryFile
        let file = try create(path)
        undo.add { try removeFile(path) }
        var space = statvfs()
        try check("fstatvfs", path) { fstatvfs(file.raw, &space) }
        let (free, overflow) = UInt64(space.f_bavail).multipliedReportingOverflow(by: UInt64(space.f_frsize))
        guard overflow || free >= UInt64(plan.memory.bytes) else {
            throw CoveyError(
                .exhausted,
                "\(parentFolder(path)) has \(ByteCount(Int64(clamping: free)).rounded) left, "
                    + "and the machine wants \(plan.memory.rounded) of memory",
                remedy: "stop other machines, or give this one less memory")
        }
        try check("fchown", path) { fchown(file.raw, plan.user, plan.user) }
        try check("ftruncate", path) { ftruncate(file.raw, off_t(plan.memory.bytes)) }
        return file
    }

    private static func create(_ path: String) throws -> FileDescriptor {
        do throws(SystemError) {
            return try openFile(path, [.readWrite, .create, .exclusive])
        } catch {
            if error.isErrno(EEXIST) { throw exists(path) }
            throw error.coveyError.with(context: "the guest memory cannot be made")
        }
    }

    private static func bound(_ path: String) throws -> FileDescriptor {
        do throws(SystemError) {
            return try listenUnix(path, backlog: 8)
        } catch {
            if error.isErrno(EADDRINUSE) { throw exists(path) }
            if error.isErrno(ENAMETOOLONG) {
                throw CoveyError(
                    .invalid, "the socket path \(path) is longer than \(longestSocketPath) bytes",
                    remedy: "give the daemon a shorter --root")
            }
            throw error.coveyError.with(context: "a socket of the machine cannot be made")
        }
    }

    private static func listen(_ path: String, _ undo: UndoList) throws -> FileDescriptor {
        let socket = try bound(path)
        undo.add { try removeFile(path) }
        return socket
    }

    private static func exists(_ path: String) -> CoveyError {
        CoveyError(.conflict, "\(path) exists: this run was started before", remedy: "destroy that run first")
    }

    private static func status(_ descriptor: Int32, _ path: String) throws(SystemError) -> stat {
        var information = stat()
        try check("fstat", path) { fstat(descriptor, &information) }
        return information
    }
}
