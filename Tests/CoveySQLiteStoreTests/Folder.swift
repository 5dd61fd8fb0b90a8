internal import FoundationEssentials

/// A folder for one test, removed afterwards with all in it.
func withFolder<T: Sendable>(_ body: @Sendable (String) async throws -> T) async throws -> T {
    let folder = "/tmp/cvy-store-\(UInt64.random(in: .min ... .max))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    let result: T
    do { result = try await body(folder) } catch {
        try FileManager.default.removeItem(atPath: folder)
        throw error
    }
    try FileManager.default.removeItem(atPath: folder)
    return result
}
