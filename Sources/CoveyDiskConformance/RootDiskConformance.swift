package import CoveyImages
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// What every store of root disks has to do: the same checks for all strategies.
package struct RootDiskConformance: Sendable {
    /// A claim about stores of root disks.
    package struct Check: Sendable, CustomStringConvertible {
        /// The claim.
        package let description: String
        private let body: @Sendable (RootDiskBench) async throws -> Void

        init(_ claim: String, _ body: @escaping @Sendable (RootDiskBench) async throws -> Void) {
            description = claim
            self.body = body
        }

        /// Runs the check in a folder that is there and empty, and leaves it empty.
        /// Errors: ``DiskCheckFailure``; what the store throws.
        package func run(_ store: any RootDiskStore, _ access: any DiskAccess, in folder: String) async throws {
            let bench = RootDiskBench(store: store, access: access, folder: folder)
            do {
                try await body(bench)
                try await bench.clear()
            } catch {
                try await bench.clear()
                throw error
            }
            try expectEqual(try listFolder(folder), [], "what is left")
        }
    }

    /// Checks that need no file system of their own.
    package static let checks: [Check] = [
        Check("a new disk holds what the image holds") { bench in
            let image = try bench.image()
            let disk = try await bench.store.create(at: bench.path, over: image, size: nil)
            try await bench.expectImage(disk)
            try expectEqual(try await bench.access.size(disk), RootDiskBench.imageBytes, "size")
        },
        Check("what is written stays in the disk: neither the image nor another disk sees it") { bench in
            let image = try bench.image()
            let before = try readFile(image.path)
            let disk = try await bench.store.create(at: bench.path, over: image, size: nil)
            let other = try await bench.store.create(at: bench.otherPath, over: image, size: nil)
            try await bench.access.write(disk, 7, at: 65536, count: 8192)
            try await bench.access.write(disk, 8, at: 2 << 20, count: 4096)
            try await bench.expect(disk, 7, at: 65536, count: 8192)
            try await bench.expect(disk, 8, at: 2 << 20, count: 4096)
            try await bench.expect(disk, 1, at: 65536 + 8192, count: 4096)
            try await bench.expectImage(other)
            try expect(try readFile(image.path) == before, "the image is as it was")
        },
        Check("what was written is there when the host has let go of the disk and takes it again") { bench in
            let image = try bench.image()
            let disk = try await bench.store.create(at: bench.path, over: image, size: .mebibytes(8))
            try await bench.access.write(disk, 7, at: 4096, count: 4096)
            try await bench.access.write(disk, 9, at: 6 << 20, count: 4096)
            for _ in 0..<2 { try await bench.store.release(at: bench.path) }
            let again = try await bench.store.create(at: bench.path, over: image, size: .mebibytes(8))
            try await bench.expect(again, 7, at: 4096, count: 4096)
            try await bench.expect(again, 9, at: 6 << 20, count: 4096)
        },
        Check("a disk larger than its image reads as zeros behind it, and can be written there") { bench in
            let disk = try await bench.store.create(at: bench.path, over: try bench.image(), size: .mebibytes(9))
            try expectEqual(try await bench.access.size(disk), 9 << 20, "size")
            try await bench.expectImage(disk)
            try await bench.expect(disk, 0, at: RootDiskBench.imageBytes, count: 4096)
            try await bench.access.write(disk, 9, at: (9 << 20) - 4096, count: 4096)
            try await bench.expect(disk, 9, at: (9 << 20) - 4096, count: 4096)
        },
        Check("a disk grows with its content, and never shrinks") { bench in
            let image = try bench.image()
            let disk = try await bench.store.create(at: bench.path, over: image, size: nil)
            try await bench.access.write(disk, 7, at: 8192, count: 4096)
            for size in [ByteCount.mebibytes(6), .mebibytes(40)] {
                let grown = try await bench.store.create(at: bench.path, over: image, size: size)
                try expectEqual(try await bench.access.size(grown), Int(size.bytes), "size")
                try await bench.expect(grown, 7, at: 8192, count: 4096)
                try await bench.expect(grown, 0, at: Int(size.bytes) - 4096, count: 4096)
                try await bench.access.write(grown, 5, at: Int(size.bytes) - 8192, count: 4096)
            }
            try await bench.expectCode(.conflict, "a smaller size") {
                _ = try await bench.store.create(at: bench.path, over: image, size: .mebibytes(5))
            }
            let same = try await bench.store.create(at: bench.path, over: image, size: nil)
            try expectEqual(try await bench.access.size(same), 40 << 20, "size")
        },
        Check("a disk that is there is returned, and one that is not there is removed without a word") { bench in
            let image = try bench.image()
            let disk = try await bench.store.create(at: bench.path, over: image, size: nil)
            try expectEqual(try await bench.store.create(at: bench.path, over: image, size: nil), disk, "the disk")
            for _ in 0..<3 { try await bench.store.remove(at: bench.path) }
            try expectEqual(try listFolder(parentFolder(bench.path)), [], "what is left")
            try await bench.store.remove(at: "\(bench.folder)/never/root")
        },
        Check("the disk of another image is a conflict, and stays what it is") { bench in
            let disk = try await bench.store.create(at: bench.path, over: try bench.image(), size: nil)
            try await bench.access.write(disk, 7, at: 0, count: 4096)
            let other = try bench.image("other")
            try await bench.expectCode(.conflict, "another image") {
                _ = try await bench.store.create(at: bench.path, over: other, size: nil)
            }
            try await bench.expect(disk, 7, at: 0, count: 4096)
        },
        Check("a file that is no disk is a conflict, and stays what it is") { bench in
            let image = try bench.image()
            _ = try await bench.store.create(at: bench.path, over: image, size: nil)
            let files = try bench.files()
            try await bench.store.remove(at: bench.path)
            let junk = Array("somebody's letter".utf8)
            let main = try mainFile(files)
            try writeFileAtomically(main, junk)
            try await bench.expectCode(.conflict, "a file that is no disk") {
                _ = try await bench.store.create(at: bench.path, over: image, size: nil)
            }
            try expectEqual(try readFile(main), junk, "the file")
            try removeFile(main)
        },
        Check("half-made files are swept by the next creation and by a removal") { bench in
            let image = try bench.image()
            _ = try await bench.store.create(at: bench.path, over: image, size: .mebibytes(8))
            let files = try bench.files()
            try await bench.store.remove(at: bench.path)
            // Killed on the way: some of the files, none of them by its last name but the note.
            for file in files {
                try writeFileAtomically(file.hasSuffix(".origin") ? file : "\(file).new", [1, 2, 3])
            }
            let disk = try await bench.store.create(at: bench.path, over: image, size: nil)
            try await bench.expectImage(disk)
            for file in files where !file.hasSuffix(".origin") && !file.hasSuffix(".tail") {
                try writeFileAtomically("\(file).new", [1, 2, 3])
            }
            try await bench.store.remove(at: bench.path)
            let left = try bench.files().filter { !$0.hasSuffix(".tail.new") }
            try expectEqual(left, [], "what is left")
            for file in try bench.files() { try removeFile(file) }
        },
        Check("an empty file, which a power cut leaves, is made anew") { bench in
            let image = try bench.image()
            _ = try await bench.store.create(at: bench.path, over: image, size: nil)
            let files = try bench.files()
            try await bench.store.remove(at: bench.path)
            let main = try mainFile(files)
            try writeFileAtomically(main, [])
            try await bench.expectImage(try await bench.store.create(at: bench.path, over: image, size: nil))
        },
        Check("a size below the image's or an absurd one is invalid, says what would do, and leaves nothing") { bench in
            let image = try bench.image()
            for size in [ByteCount.mebibytes(3), ByteCount(0), ByteCount(-1), ByteCount(.max)] {
                try await bench.expectCode(.invalid, "a size of \(size.bytes)", needsRemedy: true) {
                    _ = try await bench.store.create(at: bench.path, over: image, size: size)
                }
            }
            try expectEqual(try bench.files(), [], "what is left")
        },
    ]

    /// For a file system that may be filled up: its size is small, and nobody else uses it.
    package static let fullDisk = Check("on a full file system a disk is whole, or it is said and nothing is left") {
        bench in
        let image = try bench.image()
        try bench.fill()
        do {
            let disk = try await bench.store.create(at: bench.path, over: image, size: .mebibytes(8))
            try await bench.expectImage(disk)
        } catch let error as CoveyError {
            try expectEqual(error.code, .exhausted, "\(error)")
            try expect(error.remedy != nil, "there is a remedy: \(error)")
            try expectEqual(try bench.files(), [], "what is left")
        }
        try removeFile(bench.filler)
        try await bench.expectImage(try await bench.store.create(at: bench.path, over: image, size: .mebibytes(8)))
    }
}

/// The file among a disk's that holds its content.
private func mainFile(_ files: [String]) throws -> String {
    guard let file = files.first(where: { !$0.hasSuffix(".origin") }) else {
        throw DiskCheckFailure(description: "a disk has no file")
    }
    return file
}
