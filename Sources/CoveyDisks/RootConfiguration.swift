internal import CoveyModel

/// Puts together what an image without a configuration of its own says of its programs.
enum RootConfiguration {
    private static let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// What was found in a root file system, and what the user says instead.
    ///
    /// Errors: ``ErrorCode/invalid`` where there is nothing to run.
    static func find(
        in root: any RootReading, _ choices: ImageChoices, subject: String
    ) async throws -> ImageConfiguration {
        let finder = InitFinder(root: root)
        var (initPath, system) = try await finder.find()
        switch choices.initPath {
        case nil: break
        case "none": (initPath, system) = (nil, .none)
        case .some(let path):
            guard try await root.isProgram(path) else { throw missing(path, "--init", subject) }
            if path != initPath { (initPath, system) = (path, .other) }
        }
        let shell = try await finder.shell()
        let entrypoint = choices.entrypoint ?? []
        let command = choices.command ?? (entrypoint.isEmpty ? [shell].compactMap(\.self) : [])
        if let program = (entrypoint + command).first, program.hasPrefix("/"), program != shell {
            guard try await root.isProgram(program) else {
                throw missing(program, entrypoint.isEmpty ? "--cmd" : "--entrypoint", subject)
            }
        }
        guard initPath != nil || !(entrypoint + command).isEmpty else {
            throw CoveyError(
                .invalid, "\(subject) holds nothing to run: neither /sbin/init nor /bin/sh",
                remedy: "give a root file system, or name its program with --entrypoint or --cmd")
        }
        return ImageConfiguration(
            entrypoint: entrypoint, command: command,
            environment: ["PATH": path].merging(choices.environment) { $1 },
            workingDirectory: choices.workingDirectory, user: choices.user, initPath: initPath, initSystem: system)
    }

    private static func missing(_ path: String, _ option: String, _ subject: String) -> CoveyError {
        CoveyError(
            .invalid, "\(subject) has no program \(path)", remedy: "name one that is there with \(option)")
    }
}
