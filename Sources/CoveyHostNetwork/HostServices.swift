internal import CoveyModel

/// The host's services, where systemd runs them. All calls block.
package enum HostServices {
    private static let control = HostProgram(name: "systemctl", package: "systemd")

    /// What `systemctl --version` prints; nil where there is none.
    package static func version() throws -> String? {
        guard control.path != nil else { return nil }
        return String(decoding: try control.run(["--version"]).text, as: UTF8.self)
    }

    /// Has a service read its files. Errors: ``ErrorCode/failure`` with what systemctl says.
    package static func reload(_ unit: String) throws {
        let output = try control.run(["reload-or-restart", unit])
        guard output.isSuccess else {
            throw CoveyError(.failure, "systemctl could not reload \(unit): \(output.errors.prefix(300))")
        }
    }
}
