import CoveyModel
import CoveySystem
import Glibc
import Testing

/// Gives `body` a folder of its own and removes it afterwards, however it ends.
func withScratch<T>(_ body: (String) async throws -> T) async throws -> T {
    let folder = "/tmp/cvy-disks-\(getpid())-\(UInt32.random(in: .min ... .max))"
    try makeFolder(folder)
    do {
        let result = try await body(folder)
        try removeTree(folder)
        return result
    } catch {
        try removeTree(folder)
        throw error
    }
}

/// The ``CoveyError`` that `body` ends with.
func failure(_ body: () async throws -> Void) async -> CoveyError? {
    do {
        try await body()
        Issue.record("no error was thrown")
        return nil
    } catch let error as CoveyError {
        return error
    } catch {
        Issue.record("not a CoveyError: \(error)")
        return nil
    }
}

/// A new id of any kind.
func newID<Subject>() -> Identifier<Subject> {
    IdentifierSource(time: { Timestamp(milliseconds: 1_700_000_000_000) }).next()
}

extension CoveyError {
    /// What a user reads.
    var everything: String { "\(description) \(remedy ?? "")" }
}

/// Expects a folder without anything in it.
func expectEmpty(_ folder: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let names = try listFolder(folder)
    #expect(names == [], sourceLocation: sourceLocation)
}
