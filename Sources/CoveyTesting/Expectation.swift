/// A check that did not hold: what, and where it stands.
package struct ExpectationFailure: Error, CustomStringConvertible {
    /// The claim and where it stands.
    package let description: String
}

/// Throws where a claim does not hold.
func expect(_ holds: Bool, _ claim: @autoclosure () -> String, line: Int = #line, file: String = #fileID) throws {
    if !holds { throw ExpectationFailure(description: "\(claim()) (\(file):\(line))") }
}

/// Throws where two values differ, with both.
func expectEqual<T: Equatable>(
    _ seen: T, _ wanted: T, _ claim: @autoclosure () -> String = "", line: Int = #line, file: String = #fileID
) throws {
    if seen != wanted {
        throw ExpectationFailure(description: "\(claim()): \(seen) is not \(wanted) (\(file):\(line))")
    }
}

/// Throws where a value is missing.
func unwrapped<T>(_ value: T?, _ claim: String, line: Int = #line, file: String = #fileID) throws -> T {
    guard let value else { throw ExpectationFailure(description: "\(claim) is missing (\(file):\(line))") }
    return value
}
