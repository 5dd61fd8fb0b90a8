import CoveyModel
import CoveySystem
import CoveyTesting
import Glibc
import Testing

@testable import CoveyDisks

/// Inputs of Tests/CoveyDisksTests/Corpus, and what seeded changes make of them: read or refused, in bounded time.
@Suite("Fuzzing of kernels and disks", .timeLimit(.minutes(5)))
struct FuzzTests {
    /// The corpus of a kind, which is committed, by name.
    private func corpus(_ kind: String) throws -> [(name: String, bytes: [UInt8])] {
        let folder = parentFolder(#filePath) + "/Corpus/\(kind)"
        let inputs = try listFolder(folder).sorted().map { ($0, try readFile("\(folder)/\($0)")) }
        try #require(!inputs.isEmpty)
        return inputs
    }

    private func changed(_ input: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = input
        for _ in 0..<Int.random(in: 1...6, using: &generator) where !bytes.isEmpty {
            // Headers are where the numbers are.
            let reach = Bool.random(using: &generator) ? min(bytes.count, 1200) : bytes.count
            let at = Int.random(in: 0..<reach, using: &generator)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: bytes[at] = UInt8.random(in: .min ... .max, using: &generator)
            case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 2: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...64, using: &generator)))
            case 3: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 64)], at: at)
            case 4: for index in at..<min(bytes.count, at + 8) { bytes[index] = 0xFF }
            case _: bytes = Array(bytes[..<at])
            }
        }
        return bytes
    }

    @Test("kernels are unpacked or refused by what they are, and nothing is written beside them")
    func kernels() async throws {
        try await withScratch { folder in
            var generator = SeededGenerator(seed: 5)
            var unpacked = 0
            for (name, input) in try corpus("kernel") {
                for turn in 0..<200 {
                    let bytes = turn == 0 ? input : changed(input, &generator)
                    try writeFileAtomically("\(folder)/in", bytes)
                    do {
                        try take("\(folder)/in", in: folder)
                        unpacked += 1
                    } catch {
                        let error = CoveyError.wrapping(error)
                        #expect([.corrupt, .unsupported, .invalid].contains(error.code), "\(name) \(turn): \(error)")
                        #expect(turn > 0 || name == "vmlinux-without-pvh", "\(name): \(error)")
                    }
                    #expect(try listFolder(folder).filter { !["in", "work"].contains($0) } == [])
                    try removeTree("\(folder)/work")
                }
            }
            #expect(unpacked > 100)
        }
    }

    /// What an import does with a file.
    private func take(_ file: String, in folder: String) throws {
        let work = "\(folder)/work"
        try makeFolder("\(work)/modules")
        let image = "\(work)/vmlinuz"
        let source = ModuleSource(
            modules: "\(work)/modules", kernel: image, subject: "input", cancellation: Cancellation())
        var kernel = file
        switch try KernelFile.recognise(file, subject: "input") {
        case .package:
            try source.unpackPackage(file)
            kernel = image
        case .archive:
            try source.unpackCollection(file)
            kernel = image
        case .bootImage, .elf: break
        }
        let unpacked = try KernelFile.unpack(kernel, to: "\(work)/vmlinux", subject: "input", Cancellation())
        #expect(!unpacked.release.contains("/"))
    }

    @Test("disks are recognised or refused; no size or partition of them lies outside")
    func disks() throws {
        var generator = SeededGenerator(seed: 9)
        let size = ByteCount.mebibytes(8)
        for (name, input) in try corpus("disk") {
            for turn in 0..<3000 {
                let bytes = turn == 0 ? input : changed(input, &generator)
                do {
                    let file = try bytes.withUnsafeBytes { try DiskImageFile($0, size: size, subject: name) }
                    switch file {
                    case .partitioned(let table):
                        #expect(table.partitions.allSatisfy { $0.offset > 0 && $0.offset + $0.size <= size.bytes })
                    case .qcow2(let header): #expect(header.size.bytes > 0)
                    case .fileSystem:
                        let block = try bytes.withUnsafeBytes { try Ext4Superblock($0, subject: name) }
                        #expect(block.size.bytes > 0)
                    case .archive, .compressed: break
                    }
                } catch {
                    let error = CoveyError.wrapping(error)
                    #expect([.corrupt, .unsupported, .invalid].contains(error.code), "\(name): \(error)")
                    #expect(turn > 0, "\(name): \(error)")
                }
            }
        }
    }
}
