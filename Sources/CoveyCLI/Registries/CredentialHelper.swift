internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import Glibc

/// A program `docker-credential-NAME` that keeps credentials. Source: docker/docker-credential-helpers.
struct CredentialHelper: Sendable {
    private static let limit = Duration.seconds(30)
    private static let outputLimit = 1 << 20

    let name: String
    /// Where it is looked for; nil is `PATH`.
    var folders: [String]?

    private struct Answer: Decodable {
        var username: String
        var secret: String

        private enum CodingKeys: String, CodingKey {
            case username = "Username"
            case secret = "Secret"
        }
    }

    /// What it knows of a server; nil for nothing.
    ///
    /// Errors: ``ErrorCode/unavailable`` where it is not installed or fails, ``ErrorCode/deadline``.
    func credentials(_ server: String) async throws -> RegistryCredentials? {
        let program = try path()
        let input = try makePipeWith("\(server)\n")
        var output = try makePipe()
        let reading = output.takeFirst()
        let writing = output.takeSecond()
        let plan = SpawnPlan(
            arguments: [program, "get"], environment: currentEnvironment(),
            descriptors: [0: input.raw, 1: writing.raw], rights: .inherited)
        let process = try BlockingStart.start(plan)
        try writing.close()
        let descriptor = process.takeDescriptor()
        let read = reading.raw
        let bytes: [UInt8]
        do {
            bytes = try await withDeadline(CredentialHelper.limit, "docker-credential-\(name)") {
                try await BlockingPool("covey-helper").run { () throws -> [UInt8] in
                    var bytes: [UInt8] = []
                    while let part = try readSome(read), !part.isEmpty, bytes.count < CredentialHelper.outputLimit {
                        bytes += part
                    }
                    return bytes
                }
            }
        } catch {
            try descriptor.kill()
            throw error
        }
        return try answer(bytes, try await end(descriptor))
    }

    private func answer(
        _ bytes: [UInt8], _ ending: ProcessDescriptor.Ending
    ) throws(CoveyError) -> RegistryCredentials? {
        guard ending == .exited(0) else {
            // The helpers' only way to say that they know nothing.
            if String(decoding: bytes, as: UTF8.self).hasPrefix("credentials not found") { return nil }
            throw CoveyError(
                .unavailable, "docker-credential-\(name) failed",
                remedy: "try it: echo SERVER | docker-credential-\(name) get", retryable: false)
        }
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(bytes)), !answer.secret.isEmpty else {
            return nil
        }
        guard answer.username != "<token>" else {
            return RegistryCredentials(user: "", password: "", identityToken: answer.secret)
        }
        return RegistryCredentials(user: answer.username, password: answer.secret)
    }

    private func path() throws(CoveyError) -> String {
        guard
            name.utf8.allSatisfy({ byte in
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                    || "-_.".utf8.contains(byte)
            })
        else { throw CoveyError(.invalid, "\(name) is no credential helper's name") }
        let path = ProcessEnvironment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        let folders = folders ?? path.split(separator: ":").map { String($0) }
        for folder in folders where access("\(folder)/docker-credential-\(name)", X_OK) == 0 {
            return "\(folder)/docker-credential-\(name)"
        }
        throw CoveyError(
            .unavailable, "docker-credential-\(name) is not installed, and the login is kept there",
            remedy: "install it, or log in anew: covey registry login", retryable: false)
    }

    private func makePipeWith(_ text: String) throws -> FileDescriptor {
        var pipe = try makePipe()
        let reading = pipe.takeFirst()
        let writing = pipe.takeSecond()
        try writeAll(writing.raw, Array(text.utf8))
        try writing.close()
        return reading
    }

    /// Waits until the process has ended: it has closed its output.
    private func end(_ descriptor: consuming ProcessDescriptor) async throws -> ProcessDescriptor.Ending {
        let raw = descriptor.raw
        try await BlockingPool("covey-helper").run { () throws in
            var wait = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
            try check("poll", "a credential helper") { poll(&wait, 1, 5000) }
        }
        guard let ending = try descriptor.reap() else {
            try descriptor.kill()
            throw CoveyError(.deadline, "docker-credential-\(name) did not end")
        }
        return ending
    }
}

/// Starts a process from code that may wait a moment.
private enum BlockingStart {
    static func start(_ plan: SpawnPlan) throws -> SpawnedProcess { try plan.start() }
}
