internal import CoveyGuardProtocol
package import CoveyModel
package import CoveySystem
internal import Glibc

/// What a guard leaves to the next one: in a file at each change, and in memory when it is replaced by exec.
package struct GuardState: Hashable, Sendable {
    /// The processes, sorted by name.
    package var records: [ProcessRecord] = []
    /// How often this guard has replaced itself.
    package var replacements: UInt32 = 0
    /// Where the control groups of version 2 are; nil without version 2.
    package var groupBase: String?
    /// Descriptors of pipes by path; only in memory.
    package var pipes: [String: Int32] = [:]

    /// The format that this code writes.
    package static let version: UInt16 = 1
    private static let magic = Array("cvgs".utf8)

    /// Makes a state.
    package init(
        records: [ProcessRecord] = [], replacements: UInt32 = 0, groupBase: String? = nil, pipes: [String: Int32] = [:]
    ) {
        self.groupBase = groupBase
        self.records = records
        self.replacements = replacements
        self.pipes = pipes
    }

    /// The state as bytes.
    package var encoded: [UInt8] {
        var writer = FieldWriter(head: Self.magic)
        writer.append(Self.version)
        for record in records { writer.put(1) { record.write(to: &$0) } }
        writer.put(2, replacements)
        for (path, descriptor) in pipes.sorted(by: { $0.key < $1.key }) {
            writer.put(3) { inner in
                inner.put(1, path)
                inner.put(2, descriptor)
            }
        }
        if let groupBase { writer.put(4, groupBase) }
        return writer.bytes
    }

    /// Reads a state. Errors: ``ErrorCode/corrupt`` for anything else, and for a format that is not known here.
    package init(decoding bytes: [UInt8]) throws(CoveyError) {
        var rest = bytes.dropFirst(Self.magic.count)
        guard bytes.starts(with: Self.magic), let version = rest.takeInteger(UInt16.self), version == Self.version
        else { throw CoveyError(.corrupt, "the guard's state has an unknown format") }
        let fields = try FieldReader(rest)
        for value in fields.all(1) { records.append(try ProcessRecord(from: try FieldReader(value))) }
        replacements = try fields.integer(2) ?? 0
        groupBase = try fields.text(4)
        for value in fields.all(3) {
            let inner = try FieldReader(value)
            let path = try inner.required(try inner.text(1), "a pipe's path")
            pipes[path] = try inner.required(try inner.integer(2), "a pipe's number")
        }
    }

    /// Writes the state so that it is there wholly or not at all. It need not survive a power cut: neither do the
    /// processes.
    package func save(to path: String) throws(SystemError) {
        let temporary = "\(path).new"
        do throws(SystemError) {
            let file = try openFile(temporary, [.writeOnly, .create, .truncate, .noFollow])
            try writeAll(file.raw, encoded)
            try file.close()
            try check("rename", path) { rename(temporary, path) }
        } catch {
            _ = unlink(temporary)
            throw error
        }
    }

    /// Reads the file of an earlier guard; nil where there is none. One that cannot be read is set aside under
    /// another name, which `note` is told.
    package static func load(from path: String, note: (String) -> Void) throws(SystemError) -> GuardState? {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try readFile(path) } catch {
            if error.isErrno(ENOENT) { return nil }
            throw error
        }
        do throws(CoveyError) { return try GuardState(decoding: bytes) } catch {
            var number = 1
            while fileExists("\(path).damaged-\(number)") { number += 1 }
            let aside = "\(path).damaged-\(number)"
            try check("rename", path) { rename(path, aside) }
            note("\(error); set aside as \(aside), going on from the control groups")
            return nil
        }
    }
}

extension ProcessRecord {
    fileprivate func write(to writer: inout FieldWriter) {
        process.write(to: &writer)
        writer.put(20, mark)
        writer.put(21, UInt8(phase == .starting ? 1 : 0))
        for outlet in outlets {
            writer.put(22) { inner in
                inner.put(1, outlet.path)
                inner.put(2, UInt8(outlet.policy == .newest ? 0 : 1))
                inner.put(3, outlet.limit.bytes)
            }
        }
    }

    fileprivate init(from fields: FieldReader) throws(CoveyError) {
        let process = try GuardedProcess(from: fields)
        self.init(name: process.name, mark: try fields.text(20) ?? "", bootID: process.bootID)
        pid = process.pid
        startTime = process.startTime
        if let end = process.end {
            phase = .ended(end)
        } else {
            phase = try fields.integer(21, UInt8.self) == 1 ? .starting : .running
        }
        for value in fields.all(22) {
            let inner = try FieldReader(value)
            outlets.append(
                Outlet(
                    path: try inner.required(try inner.text(1), "a log's path"),
                    policy: try inner.integer(2, UInt8.self) == 1 ? .first : .newest,
                    limit: ByteCount(try inner.required(try inner.integer(3), "a log's limit"))))
        }
    }
}
