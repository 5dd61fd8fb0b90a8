import CoveyModel
import CoveySystem
import Testing

@testable import CoveyDisks

@Suite("Kernel files")
struct KernelFileTests {
    private func unpack(_ bytes: [UInt8], check: (UnpackedKernel, [UInt8]) throws -> Void = { _, _ in }) async throws {
        try await withScratch { folder in
            try writeFileAtomically("\(folder)/in", bytes)
            let kernel = try KernelFile.unpack("\(folder)/in", to: "\(folder)/out", subject: "vmlinuz", Cancellation())
            try check(kernel, try readFile("\(folder)/out"))
        }
    }

    @Test("every packing of a boot image gives the ELF file back, byte for byte", arguments: Packing.allCases)
    func packings(packing: Packing) async throws {
        let kernel = FakeKernel()
        try await unpack(try kernel.bootImage(packing)) { unpacked, bytes in
            #expect(bytes == kernel.elf())
            #expect(unpacked.release == "6.1.0-test")
            #expect(unpacked.payload == packing.rawValue)
            var digest = Digest()
            bytes.withUnsafeBytes { digest.update($0) }
            #expect(unpacked.digest == digest.text())
        }
    }

    @Test("an ELF kernel is taken as it is, and its banner names the release")
    func elf() async throws {
        let kernel = FakeKernel(release: "7.0.1+own")
        try await unpack(kernel.elf()) { unpacked, bytes in
            #expect(bytes == kernel.elf())
            #expect(unpacked.release == "7.0.1+own")
            #expect(unpacked.payload == "none")
        }
    }

    @Test("a payload that lacks its last bytes is corrupt, with a remedy", arguments: Packing.allCases)
    func truncatedPayload(packing: Packing) async throws {
        var image = try FakeKernel().bootImage(packing)
        image.removeLast(64 + 5000)
        var length: [UInt8] = []
        put(&length, UInt32(image.count - 5 * 512 - 32))
        image.replaceSubrange(0x24C..<0x250, with: length)
        let error = await failure { try await unpack(image) }
        #expect(error?.code == .corrupt)
        #expect(error?.remedy != nil)
    }

    @Test("a flipped bit in a payload with a checksum is corrupt", arguments: [Packing.gzip, .xz])
    func flippedBit(packing: Packing) async throws {
        var image = try FakeKernel().bootImage(packing)
        image[image.count / 2] ^= 4
        #expect(await failure { try await unpack(image) }?.code == .corrupt)
    }

    @Test("a payload that lies outside the file is corrupt", arguments: [0x248, 0x24C])
    func outside(field: Int) async throws {
        var image = try FakeKernel().bootImage(.gzip)
        image.replaceSubrange(field..<(field + 4), with: [0xF0, 0xFF, 0xFF, 0xFF])
        let error = await failure { try await unpack(image) }
        #expect(error?.code == .corrupt)
        #expect(error?.message.contains("outside the file") == true)
    }

    @Test("a boot image cut off anywhere in its head is refused", arguments: [0x206, 0x210, 0x24A, 0x24F, 600, 2600])
    func cutOff(length: Int) async throws {
        let image = Array(try FakeKernel().bootImage(.xz).prefix(length))
        #expect(await failure { try await unpack(image) }?.code == .corrupt)
    }

    @Test("an ELF kernel cut off anywhere is corrupt", arguments: [5, 40, 63, 100, 180, 2000, 299_000])
    func cutOffELF(length: Int) async throws {
        #expect(await failure { try await unpack(Array(FakeKernel().elf().prefix(length))) }?.code == .corrupt)
    }

    @Test("a kernel for another architecture is refused with the reason")
    func foreign() async throws {
        for bytes in [try FakeKernel(machine: 183).bootImage(.xz), FakeKernel(machine: 183).elf()] {
            let error = await failure { try await unpack(bytes) }
            #expect(error?.code == .unsupported)
            #expect(error?.message.contains("aarch64") == true)
        }
        var image = [UInt8](repeating: 0, count: 0x400)
        image.replaceSubrange(0x38..<0x3C, with: Array("ARMd".utf8))
        let error = await failure { try await unpack(image) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("aarch64") == true)
    }

    @Test("a kernel without the PVH entry point is refused, and the remedy names the option")
    func withoutPVH() async throws {
        let error = await failure { try await unpack(try FakeKernel(hasPVH: false).bootImage(.zstd)) }
        #expect(error?.code == .unsupported)
        #expect(error?.remedy?.contains("CONFIG_PVH") == true)
    }

    @Test("what is no kernel at all is invalid")
    func noKernel() async throws {
        for bytes in [Array("hello".utf8), [], [UInt8](repeating: 0xFF, count: 5000)] {
            #expect(await failure { try await unpack(bytes) }?.code == .invalid)
        }
    }

    @Test("a packing that is not known is unsupported")
    func unknownPacking() async throws {
        var image = try FakeKernel().bootImage(.xz)
        image.replaceSubrange((5 * 512 + 32)..<(5 * 512 + 35), with: Array("BZh".utf8))
        #expect(await failure { try await unpack(image) }?.code == .unsupported)
    }

    @Test("a release that would leave its folder is refused", arguments: ["6.1/../../etc", "../6", "6..1", "six"])
    func badRelease(release: String) async throws {
        #expect(await failure { try await unpack(try FakeKernel(release: release).bootImage(.gzip)) }?.code == .corrupt)
    }

    @Test("an archive's content ends at its limit")
    func limit() throws {
        let packed = try Packing.xz.pack([UInt8](repeating: 0, count: 200_000))
        try packed.withUnsafeBytes { bytes in
            let archive = try Archive(bytes: bytes, .raw, subject: "bomb")
            _ = try #require(try archive.next())
            #expect(throws: CoveyError.self) { try archive.content(limit: 100_000) { _ in } }
        }
    }
}
