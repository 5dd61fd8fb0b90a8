import CoveyModel
import CoveySystem
import CoveyTesting
import FoundationEssentials
import Glibc
import Testing

@testable import CoveyRegistry

/// Inputs of Tests/CoveyRegistryTests/Corpus, and what seeded changes make of them: read or refused, in bounded time,
/// and nothing outside the folder.
@Suite("Fuzzing", .timeLimit(.minutes(5)))
struct FuzzTests {
    /// The corpus of a kind, which is committed.
    private func corpus(_ kind: String) throws -> [[UInt8]] {
        let folder = parentFolder(#filePath) + "/Corpus/\(kind)"
        let inputs = try listFolder(folder).map { try readFile("\(folder)/\($0)") }
        try #require(!inputs.isEmpty)
        return inputs
    }

    private func changed(_ input: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = input
        for _ in 0..<Int.random(in: 1...8, using: &generator) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: bytes[at] = UInt8.random(in: .min ... .max, using: &generator)
            case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 2: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...64, using: &generator)))
            case 3: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 64)], at: at)
            case _: bytes = Array(bytes[..<at])
            }
        }
        return bytes
    }

    @Test("manifests, configurations and challenges are read or refused")
    func documents() throws {
        var generator = SeededGenerator(seed: 7)
        for input in try corpus("manifest") {
            for turn in 0..<1500 {
                let bytes = turn == 0 ? input : changed(input, &generator)
                do { _ = try Manifest.read(bytes, type: nil) } catch {
                    #expect([.corrupt, .unsupported].contains(error.code))
                }
                do { _ = try ConfigurationDocument.read(bytes, platform: .of(.amd64), layers: 1).programs() } catch {
                    #expect([.corrupt, .unsupported].contains(error.code))
                }
                _ = Challenge.read(String(decoding: bytes, as: UTF8.self))
            }
        }
    }

    @Test("layers are unpacked or refused, and nothing appears outside the tree")
    func layers() throws {
        let scratch = try Scratch("fuzz")
        var generator = SeededGenerator(seed: 11)
        var limits = UnpackLimits()
        limits.content = .mebibytes(4)
        limits.file = .mebibytes(2)
        limits.entries = 500
        var unpacked = 0
        let bait = try scratch.write("bait", "untouched")
        for input in try corpus("layer") {
            for turn in 0..<250 {
                let path = "\(scratch.path)/layer"
                try writeFileAtomically(path, turn == 0 ? input : changed(input, &generator))
                let tree = try scratch.folder("tree")
                do {
                    try Unpacker(into: tree, limits: limits).apply(path, name: "layer", Cancellation())
                    unpacked += 1
                } catch {
                    let error = CoveyError.wrapping(error)
                    #expect([.corrupt, .exhausted, .unsupported, .invalid, .failure].contains(error.code), "\(error)")
                }
                try removeTree(tree)
                #expect(try listFolder(scratch.path) == ["bait", "layer"])
            }
        }
        #expect(try readText(bait) == "untouched")
        #expect(unpacked > 20)
    }
}
