internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A kernel unpacked into a folder of ours.
struct UnpackedKernel: Sendable {
    /// What `uname -r` prints.
    var release: String
    /// `sha256:` and the digest of the ELF file.
    var digest: String
    /// How it was packed.
    var payload: String
}

/// What a kernel file turned out to be, by its content.
enum KernelFile {
    case package
    /// A tar archive, also a compressed one, of packages or of `boot/` and `lib/modules/`.
    case archive
    case bootImage
    case elf

    /// The longest kernel that is unpacked.
    static let unpackedLimit = 512 << 20
    private static let packedLimit = 256 << 20

    /// Looks at a file. Blocks. Errors: ``ErrorCode/notFound``, ``ErrorCode/invalid``, ``ErrorCode/unsupported``.
    static func recognise(_ path: String, subject: String) throws -> KernelFile {
        let file: FileDescriptor
        do throws(SystemError) { file = try openFile(path, [.readOnly, .nonBlocking]) } catch {
            throw CoveyError.wrapping(error, "kernel file cannot be read")
        }
        guard try FileFacts(descriptor: file.raw, path).kind == .file else {
            throw CoveyError(.invalid, "\(subject) is no file")
        }
        let head = try readSome(file.raw, limit: 0x300) ?? []
        return try head.withUnsafeBytes { head in
            if head.holds(Array("!<arch>\n".utf8)) { return .package }
            if head.holds([0x7F, 0x45, 0x4C, 0x46]) { return .elf }
            if BzImage.recognises(head) { return .bootImage }
            if head.holds(Array("ustar".utf8), at: 257) || isPacked(head) { return .archive }
            if head.holds(Array("ARMd".utf8), at: 0x38) {
                throw CoveyError(
                    .unsupported, "\(subject) is for aarch64, this host runs x86_64",
                    remedy: "use one built for x86_64 (amd64)")
            }
            throw CoveyError(
                .invalid, "\(subject) is no Debian package, boot image, ELF kernel or archive of them",
                remedy: "give a linux-image .deb, a vmlinuz or a vmlinux")
        }
    }

    // gzip, zstd, xz.
    private static func isPacked(_ head: UnsafeRawBufferPointer) -> Bool {
        head.holds([0x1F, 0x8B]) || head.holds([0x28, 0xB5, 0x2F, 0xFD])
            || head.holds([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0])
    }

    /// Unpacks a boot image or copies an ELF kernel to `target`, and checks the result. Blocks.
    static func unpack(
        _ path: String, to target: String, subject: String, _ cancellation: Cancellation
    ) throws -> UnpackedKernel {
        var named: String?
        var payload = KernelPayload.none
        let digest: String
        switch try recognise(path, subject: subject) {
        case .package, .archive: throw CoveyError(.invalid, "\(subject) is a package, not a kernel")
        case .elf: digest = try copy(path, to: target, cancellation)
        case .bootImage:
            let bytes: [UInt8]
            do throws(SystemError) { bytes = try readFile(path, limit: packedLimit) } catch {
                guard error.isErrno(EFBIG) else { throw error }
                throw CoveyError(.invalid, "\(subject) is longer than \(ByteCount(Int64(packedLimit)).rounded)")
            }
            digest = try bytes.withUnsafeBytes { bytes in
                let image = try BzImage(bytes, subject: subject)
                named = image.release
                payload = image.compression
                return try decompress(image, to: target, subject: subject, cancellation)
            }
        }
        let elf = try ELFFile.open(target, subject: payload == .none ? subject : "the kernel in \(subject)")
        try elf.requirePVH()
        let release = try named ?? elf.releaseFromBanner(cancellation)
        return UnpackedKernel(
            release: try KernelRelease.checked(release, of: subject), digest: digest, payload: payload.rawValue)
    }

    private static func decompress(
        _ image: BzImage, to target: String, subject: String, _ cancellation: Cancellation
    ) throws -> String {
        let file = try openFile(target, [.writeOnly, .create, .exclusive])
        var digest = Digest()
        var length = 0
        var checksum = CRC32()
        func take(_ bytes: UnsafeRawBufferPointer) throws {
            try cancellation.check()
            length += bytes.count
            digest.update(bytes)
            if image.checksum != nil { checksum.update(bytes) }
            try writeAll(file.raw, bytes, target)
        }
        func damaged(_ cause: (any Error)?) -> CoveyError {
            CoveyError(
                .corrupt, "the \(image.compression.rawValue) payload of \(subject) is damaged",
                remedy: "fetch the kernel again", cause: cause)
        }
        if image.compression == .none {
            try take(image.payload)
            return digest.text()
        }
        do {
            let archive = try Archive(bytes: image.payload, .raw, subject: "the payload")
            guard try archive.next() != nil else { throw damaged(nil) }
            try archive.content(limit: unpackedLimit, take)
        } catch let error as CoveyError where error.code == .corrupt {
            throw damaged(ToolMessage(description: error.description))
        }
        guard length == image.unpackedLength else { throw damaged(ToolMessage(description: "its length is wrong")) }
        guard image.checksum == nil || image.checksum == checksum.value else {
            throw damaged(ToolMessage(description: "its checksum is wrong"))
        }
        return digest.text()
    }

    private static func copy(_ path: String, to target: String, _ cancellation: Cancellation) throws -> String {
        let source = try openFile(path, .readOnly)
        let file = try openFile(target, [.writeOnly, .create, .exclusive])
        var digest = Digest()
        var total = 0
        while let bytes = try readSome(source.raw, limit: 1 << 20), !bytes.isEmpty {
            try cancellation.check()
            total += bytes.count
            guard total <= unpackedLimit else {
                throw CoveyError(.invalid, "the kernel is longer than \(ByteCount(Int64(unpackedLimit)).rounded)")
            }
            try bytes.withUnsafeBytes {
                digest.update($0)
                try writeAll(file.raw, $0, target)
            }
        }
        return digest.text()
    }
}
