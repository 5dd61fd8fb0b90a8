/// A claim about root disks that did not hold: which, and where it stands.
package struct DiskCheckFailure: Error, CustomStringConvertible {
    /// The claim and where it stands.
    package let description: String
}

/// Throws where a claim does not hold.
func expect(_ holds: Bool, _ claim: @autoclosure () -> String, line: Int = #line, file: String = #fileID) throws {
    if !holds { throw DiskCheckFailure(description: "\(claim()) (\(file):\(line))") }
}

/// Throws where two values differ, with both.
func expectEqual<T: Equatable>(
    _ seen: T, _ wanted: T, _ claim: @autoclosure () -> String, line: Int = #line, file: String = #fileID
) throws {
    try expect(seen == wanted, "\(claim()): \(seen) is not \(wanted)", line: line, file: file)
}
