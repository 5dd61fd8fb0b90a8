internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Checks of ELF files: kernels that a VMM can enter, and static programs. No number in them is trusted.
///
/// Source: elf(5); the PVH note is `XEN_ELFNOTE_PHYS32_ENTRY` of Xen's elfnote.h.
struct ELFFile: ~Copyable {
    private static let machine: UInt16 = 62
    private static let executable: UInt16 = 2
    private static let loadSegment: UInt32 = 1
    private static let interpreterSegment: UInt32 = 3
    private static let dynamicSegment: UInt32 = 2
    private static let noteSegment: UInt32 = 4
    private static let pvhNote: UInt32 = 18

    private struct Segment {
        var type: UInt32
        var offset: UInt64
        var address: UInt64
        var size: UInt64
    }

    private let file: FileDescriptor
    private let subject: String
    private let size: UInt64
    private var segments: [Segment] = []

    /// Opens an x86-64 ELF file and reads its program headers. Blocks.
    /// Errors: ``ErrorCode/corrupt``, and ``ErrorCode/unsupported`` for another architecture.
    static func open(_ path: String, subject: String) throws -> ELFFile {
        let file = try openFile(path, [.readOnly, .noFollow])
        let size = UInt64(clamping: try FileFacts(descriptor: file.raw, path).size)
        var elf = ELFFile(file: file, subject: subject, size: size)
        try elf.readSegments()
        return elf
    }

    private init(file: consuming FileDescriptor, subject: String, size: UInt64) {
        self.file = file
        self.subject = subject
        self.size = size
    }

    private mutating func readSegments() throws {
        let header = try read(at: 0, count: min(64, size))
        let (offset, count) = try header.withUnsafeBytes { header in
            guard header.holds([0x7F, 0x45, 0x4C, 0x46]), let machine = header.number(UInt16.self, at: 18) else {
                throw damaged("it is no ELF file")
            }
            guard header.holds([2, 1], at: 4), machine == ELFFile.machine else {
                throw CoveyError(
                    .unsupported, "\(subject) is for \(ELFFile.name(ofMachine: machine)), this host runs x86_64",
                    remedy: "use one built for x86_64 (amd64)")
            }
            guard let offset = header.number(UInt64.self, at: 32), let length = header.number(UInt16.self, at: 54),
                let count = header.number(UInt16.self, at: 56), length == 56, (1...64).contains(count),
                header.number(UInt16.self, at: 16) == ELFFile.executable || header.number(UInt16.self, at: 16) == 3
            else { throw damaged("its header is wrong") }
            return (offset, count)
        }
        let table = try read(at: offset, count: UInt64(count) * 56)
        segments = try table.withUnsafeBytes { table in
            try (0..<Int(count)).map { index in
                guard let type = table.number(UInt32.self, at: index * 56),
                    let offset = table.number(UInt64.self, at: index * 56 + 8),
                    let address = table.number(UInt64.self, at: index * 56 + 16),
                    let length = table.number(UInt64.self, at: index * 56 + 32)
                else { throw damaged("its program headers are cut off") }
                let (end, overflow) = offset.addingReportingOverflow(length)
                guard !overflow, end <= size else { throw damaged("it is cut off") }
                return Segment(type: type, offset: offset, address: address, size: length)
            }
        }
        guard segments.contains(where: { $0.type == ELFFile.loadSegment && $0.size > 0 }) else {
            throw damaged("it has nothing to load")
        }
    }

    /// Throws unless the file has the entry point that microVMs use.
    func requirePVH() throws {
        for segment in segments where segment.type == ELFFile.noteSegment && segment.size <= 1 << 20 {
            let notes = try read(at: segment.offset, count: segment.size)
            if notes.withUnsafeBytes({ ELFFile.holdsPVH($0) }) { return }
        }
        throw CoveyError(
            .unsupported, "\(subject) has no PVH entry point",
            remedy: "use a kernel built with CONFIG_PVH=y, as Debian's cloud kernel is")
    }

    /// Throws where the program needs a dynamic linker.
    func requireStatic() throws {
        if segments.contains(where: { $0.type == ELFFile.interpreterSegment }) {
            throw CoveyError(.invalid, "\(subject) is not statically linked")
        }
    }

    /// The names of the libraries that a program or library needs; none for a static one.
    /// Errors: ``ErrorCode/corrupt``.
    func neededLibraries() throws -> [String] {
        guard let dynamic = segments.first(where: { $0.type == ELFFile.dynamicSegment }) else { return [] }
        let table = try read(at: dynamic.offset, count: dynamic.size)
        var names: [UInt64] = []
        var values: [UInt64: UInt64] = [:]
        try table.withUnsafeBytes { table in
            for entry in stride(from: 0, to: table.count - 15, by: 16) {
                guard let tag = table.number(UInt64.self, at: entry),
                    let value = table.number(UInt64.self, at: entry + 8)
                else { throw damaged("its dynamic section is cut off") }
                if tag == 0 { break }
                if tag == 1 { names.append(value) } else { values[tag] = value }
            }
        }
        // DT_STRTAB is an address, DT_STRSZ a length.
        guard !names.isEmpty else { return [] }
        guard let address = values[5], let length = values[10],
            let home = segments.first(where: {
                $0.type == ELFFile.loadSegment && address >= $0.address && address - $0.address < $0.size
            })
        else { throw damaged("its names are missing") }
        let text = try read(at: home.offset + (address - home.address), count: length)
        return try names.map { start in
            guard start < UInt64(text.count), let end = text[Int(start)...].firstIndex(of: 0) else {
                throw damaged("a name is cut off")
            }
            return String(decoding: text[Int(start)..<end], as: UTF8.self)
        }
    }

    /// The release from the kernel's banner. Errors: ``ErrorCode/corrupt`` where there is none.
    func releaseFromBanner(_ cancellation: Cancellation) throws -> String {
        let banner = Array("Linux version ".utf8)
        let piece: UInt64 = 1 << 20
        let overlap: UInt64 = 256
        var offset: UInt64 = 0
        while offset < size {
            try cancellation.check()
            let bytes = try read(at: offset, count: min(piece + overlap, size - offset))
            let found = bytes.withUnsafeBytes { bytes -> String? in
                guard let base = bytes.baseAddress else { return nil }
                var start = 0
                while let hit = memchr(base + start, 76, bytes.count - start) {
                    let at = base.distance(to: UnsafeRawPointer(hit))
                    start = at + 1
                    guard bytes.holds(banner, at: at) else { continue }
                    let text = bytes[(at + banner.count)...].prefix(80).prefix { $0 > 32 && $0 < 127 }
                    // The format string of the same words has no digit there.
                    if let first = text.first, (48...57).contains(first) {
                        return String(decoding: text, as: UTF8.self)
                    }
                }
                return nil
            }
            if let found { return found }
            offset += piece
        }
        throw CoveyError(
            .corrupt, "\(subject) has no banner that names its release", remedy: "fetch the kernel again")
    }

    private func damaged(_ what: String) -> CoveyError {
        CoveyError(.corrupt, "\(subject) is damaged: \(what)", remedy: "fetch it again")
    }

    private func read(at offset: UInt64, count: UInt64) throws -> [UInt8] {
        let (end, overflow) = offset.addingReportingOverflow(count)
        guard !overflow, end <= size, count <= 2 << 20 else { throw damaged("it is cut off") }
        var bytes = [UInt8](repeating: 0, count: Int(count))
        var got = 0
        while got < bytes.count {
            let more = try bytes.withUnsafeMutableBytes { buffer in
                try check("pread", subject) {
                    pread(file.raw, buffer.baseAddress.map { $0 + got }, buffer.count - got, off_t(offset) + off_t(got))
                }
            }
            if more == 0 { throw damaged("it is cut off") }
            got += more
        }
        return bytes
    }

    private static func holdsPVH(_ notes: UnsafeRawBufferPointer) -> Bool {
        var offset = 0
        while let nameSize = notes.number(UInt32.self, at: offset),
            let contentSize = notes.number(UInt32.self, at: offset + 4),
            let type = notes.number(UInt32.self, at: offset + 8)
        {
            let isXen = nameSize == 4 && notes.holds(Array("Xen\0".utf8), at: offset + 12)
            if isXen && type == pvhNote && contentSize >= 4 { return true }
            let padded = (UInt64(nameSize) + 3) & ~3 + (UInt64(contentSize) + 3) & ~3
            guard padded < UInt64(notes.count) else { return false }
            offset += 12 + Int(padded)
        }
        return false
    }

    private static func name(ofMachine machine: UInt16) -> String {
        switch machine {
        case 3: "i386"
        case 8: "mips"
        case 20, 21: "powerpc"
        case 22: "s390x"
        case 40: "arm"
        case 62: "32-bit or big-endian x86_64"
        case 183: "aarch64"
        case 243: "riscv64"
        case 258: "loongarch64"
        case _: "an unknown architecture (ELF machine \(machine))"
        }
    }
}
