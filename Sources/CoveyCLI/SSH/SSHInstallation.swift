internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Puts our configuration beside the user's, and the one line into it. Its calls block.
struct SSHInstallation: Sendable {
    private static let largest = 16 << 20

    /// The user's configuration: `~/.ssh/config`.
    let file: String
    /// Ours.
    let folder: SSHFolder

    private var line: IncludeLine { IncludeLine(file: folder.configuration) }

    /// Writes both; a repeat changes nothing. Returns whether something was changed.
    func install(_ settings: SSHSettings) throws -> Bool {
        _ = try folder.publicKey()
        let wanted = Array(settings.configuration.utf8)
        var changed = false
        if try read(folder.configuration) != wanted {
            try writeFileAtomically(folder.configuration, wanted, mode: 0o600)
            changed = true
        }
        let target = try followed()
        let before = try read(target)
        guard let after = line.added(to: before ?? []) else { return changed }
        if before == nil { try makeFolder(parentFolder(target), mode: 0o700) }
        try replace(target, after, isNew: before == nil)
        return true
    }

    /// Takes the line and our configuration away; the key stays. Returns whether something was changed.
    func uninstall() throws -> Bool {
        let target = try followed()
        var changed = false
        if let after = try read(target).flatMap({ line.removed(from: $0) }) {
            try replace(target, after, isNew: false)
            changed = true
        }
        if fileExists(folder.configuration) {
            try removeFile(folder.configuration)
            changed = true
        }
        return changed
    }

    private func read(_ path: String) throws -> [UInt8]? {
        do throws(SystemError) { return try readFile(path, limit: SSHInstallation.largest) } catch {
            if error.isErrno(ENOENT) { return nil }
            throw error
        }
    }

    /// The file itself, where the user's is a link, as dotfiles often are.
    private func followed() throws -> String {
        if let real = realpath(file, nil) {
            defer { free(real) }
            return String(cString: real)
        }
        // What realpath(3) cannot follow and is there all the same.
        var target: [CChar] = [0, 0]
        guard readlink(file, &target, 1) < 0 else {
            throw CoveyError(
                .failure, "\(file) is a link that leads nowhere", remedy: "make the file that it leads to, or remove it"
            )
        }
        return file
    }

    /// Replaces the file; owner and mode stay.
    private func replace(_ path: String, _ bytes: [UInt8], isNew: Bool) throws {
        guard !isNew else { return try writeFileAtomically(path, bytes, mode: 0o600) }
        let facts = try FileFacts(path)
        let temporary = "\(path).covey-\(getpid())"
        try writeFileAtomically(temporary, bytes, mode: facts.mode)
        do {
            if facts.user != geteuid() || facts.group != getegid() {
                try check("chown", path) { chown(temporary, facts.user, facts.group) }
                try check("chmod", path) { chmod(temporary, facts.mode) }
            }
            try check("rename", path) { rename(temporary, path) }
        } catch {
            _ = unlink(temporary)
            throw error
        }
        try syncFolder(parentFolder(path))
    }
}
