package import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import Glibc

/// Root disks as device-mapper snapshots of the image, with what was written in a sparse file of their own.
///
/// The device is found again by its name, which holds the instance and the machine; it and the loop devices below it are
/// gone after a reboot and are made again. What is larger than the image lies in a second file.
/// Source: Linux, `Documentation/admin-guide/device-mapper/snapshot.rst`.
package struct MappedDisks: RootDiskStore {
    private static let sector: Int64 = 512
    /// The unit that is copied on a write: 8 sectors.
    private static let chunk = 8

    private let instance: InstanceID
    private let pool = BlockingPool("covey-disks")

    /// A store of an instance, whose id stands in the names of its devices.
    package init(_ instance: InstanceID) { self.instance = instance }

    package func create(at path: String, over image: StoredImage, size: ByteCount?) async throws -> RootDisk {
        let wanted = try DiskSize(size, over: image)
        return try await pool.run { @Sendable () throws -> RootDisk in
            let files = MappedFiles(path)
            let isNew = try !files.present(over: image)
            if isNew { try files.make(over: image) }
            do {
                let grown = try isNew ? wanted.bytes : files.grown(to: size, over: image)
                let device = try attach(files, image, size: grown)
                return RootDisk(strategy: .deviceMapper, path: device, format: .raw, isDevice: true)
            } catch {
                if isNew { try files.remove() }
                throw error
            }
        }
    }

    package func release(at path: String) async throws {
        try await pool.run { @Sendable () throws in
            guard fileExists(MappedFiles(path).changes) else { return }
            try detach(path)
        }
    }

    package func remove(at path: String) async throws {
        try await pool.run { @Sendable () throws in
            let files = MappedFiles(path)
            if fileExists(files.changes) { try detach(path) }
            try files.remove()
        }
    }

    /// `covey-INSTANCE-FOLDER`: a machine's folder is named by its id.
    private func name(_ path: String) -> String {
        let folder = parentFolder(path).split(separator: "/").last.map { String($0) } ?? "root"
        return "covey-\(instance)-\(folder.prefix(64))"
    }

    private func detach(_ path: String) throws {
        let mapper: DeviceMapper
        do throws(CoveyError) {
            mapper = try DeviceMapper()
        } catch {
            // A kernel without it has no device of ours either.
            if error.code == .unsupported { return }
            throw error
        }
        try mapper.remove(name(path))
    }

    /// The device, made where it is not there or has another size.
    private func attach(_ files: MappedFiles, _ image: StoredImage, size: Int64) throws -> String {
        let mapper = try DeviceMapper()
        let name = name(files.path)
        if let device = try mapper.find(name) {
            if try blockSize(device) == size { return device }
            try mapper.remove(name)
        }
        let below = try LoopDevice(image.path, readOnly: true)
        let changes = try LoopDevice(files.changes, readOnly: false)
        let whole = image.size.bytes / MappedDisks.sector
        var targets = [
            DeviceMapper.Target(
                sectors: UInt64(whole), type: "snapshot",
                parameters: "\(below.number) \(changes.number) P \(MappedDisks.chunk)")
        ]
        let rest = size / MappedDisks.sector - whole
        guard rest > 0 else { return try mapper.make(name, targets) }
        try files.extend(to: rest * MappedDisks.sector)
        let tail = try LoopDevice(files.tail, readOnly: false)
        targets.append(DeviceMapper.Target(sectors: UInt64(rest), type: "linear", parameters: "\(tail.number) 0"))
        return try mapper.make(name, targets)
    }
}

/// The files of a mapped disk.
struct MappedFiles {
    /// The disk's name.
    let path: String
    /// What was written over the image.
    var changes: String { "\(path).cow" }
    /// What lies behind the image's end.
    var tail: String { "\(path).tail" }
    private var temporary: String { "\(changes).new" }

    init(_ path: String) { self.path = path }

    /// Whether the disk over this image is there. Errors: ``ErrorCode/conflict`` for another one.
    func present(over image: StoredImage) throws -> Bool {
        guard fileExists(changes) else { return false }
        let facts = try FileFacts(changes)
        if facts.kind == .file && facts.size == 0 { return false }
        guard facts.kind == .file, facts.size == capacity(image), try OriginNote(of: changes).names(image) else {
            throw DiskSize.otherDisk
        }
        return true
    }

    /// The size that the disk has, or grows to.
    func grown(to size: ByteCount?, over image: StoredImage) throws -> Int64 {
        let present = image.size.bytes + (fileExists(tail) ? try FileFacts(tail).size : 0)
        return try DiskSize.growth(from: present, to: size, over: image) ?? present
    }

    /// Makes the file of changes, empty: a store of exceptions begins with zeros.
    func make(over image: StoredImage) throws {
        do {
            let file = try openFile(temporary, [.writeOnly, .create, .truncate, .noFollow])
            try check("ftruncate", temporary) { ftruncate(file.raw, off_t(capacity(image))) }
            try check("fsync", temporary) { fsync(file.raw) }
            try file.close()
            try removeFile(tail)
            try OriginNote(of: changes).write(image)
            try check("rename", changes) { rename(temporary, changes) }
            try syncFolder(parentFolder(changes))
        } catch {
            try removeFile(temporary)
            throw error
        }
    }

    /// Makes the second file of a size, larger than before.
    func extend(to size: Int64) throws {
        let file = try openFile(tail, [.writeOnly, .create, .noFollow])
        try check("ftruncate", tail) { ftruncate(file.raw, off_t(size)) }
    }

    /// Removes all; idempotent.
    func remove() throws {
        try removeFile(temporary)
        try removeFile(changes)
        try removeFile(tail)
        try OriginNote(of: changes).remove()
    }

    /// Room for every chunk of the image and for the table of exceptions: 16 bytes for each of 4 KiB, and a header.
    private func capacity(_ image: StoredImage) -> Int64 {
        (image.size.bytes + image.size.bytes / 200 + (1 << 20)) / 4096 * 4096
    }
}
