package import CoveyGuestProtocol
package import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Glibc

extension NodeAgent {
    /// Starts an ssh server for one connection in a machine's guest.
    ///
    /// Nothing of it is recorded; it ends with ``ShellConnection/end()``, with the session, and with its client.
    /// Errors: ``ErrorCode/conflict`` where the machine does not run, ``ErrorCode/unsupported`` where its agent or tools
    /// disk has no server, ``ErrorCode/notFound`` for a user that it has not.
    package func shell(_ machine: MachineID, _ access: ShellAccess, id: String) async throws -> ShellConnection {
        let worker = try runningWorker(machine)
        let (session, _) = try await worker.session(within: .seconds(60))
        guard session.hello.abilities.contains(.shell) else {
            throw CoveyError(
                .unsupported, "the agent of this machine is too old for ssh", remedy: "restart the machine",
                retryable: false)
        }
        let shell = GuestShell(access: access, hostKey: try await worker.hostKey())
        // One after the other: the key exchanges of many at once keep a small guest's agent from its work.
        return try await shellTurns.run(machine) {
            var tries = 0
            while true {
                tries += 1
                let request = GuestExecRequest(
                    id: "\(GuestShell.idPrefix)\(id)-\(tries)",
                    program: Program(arguments: ["sshd"], standardInput: true), shell: shell)
                do {
                    return ShellConnection(session: session, stream: try await session.run(request))
                } catch let error as CoveyError where error.code == .deadline && tries < 3 {
                    // The server that may have been started ends, since nobody is attached to it.
                    continue
                }
            }
        }
    }
}

/// A connection to an ssh server in a guest.
package struct ShellConnection: Sendable {
    private let session: any GuestSession
    /// Its bytes: standard input and output.
    package let stream: any GuestExecStream

    init(session: any GuestSession, stream: any GuestExecStream) {
        self.session = session
        self.stream = stream
    }

    /// Ends it: the guest tells its sessions, and forgets it. Errors: the guest cannot be reached any more.
    package func end() async throws {
        try await withDeadline(.seconds(10), "ending \(stream.id)") { [stream] in
            try await stream.closeInput()
            while let output = try await stream.next() {
                if case .ended = output { break }
            }
        }
        try await session.acknowledge(stream.id)
    }
}

/// A machine's host key as it is stored.
struct HostKey: Sendable {
    /// As `known_hosts` holds it.
    var publicLine: String
    /// The private key file. A secret.
    var privateText: String
    /// Whether this call made it.
    var isNew = false
}

extension MachineWorker {
    /// The machine's private host key, with its public half in the status, also where a daemon that knew no host keys
    /// started the machine.
    func hostKey() async throws -> String {
        let key = try await storedHostKey()
        if try await host.repositories.machines.get(id).status.sshHostKey == nil || key.isNew {
            try await host.repositories.machines.updateStatus(id) { $0.sshHostKey = key.publicLine }
        }
        return key.privateText
    }

    /// The machine's host key, made where there is none. Its public half belongs into the status, which is what clients
    /// pin: a file that somebody changes later does not get there.
    func storedHostKey() async throws -> HostKey {
        let (path, makeHostKey) = (host.layout.hostKey(id), host.makeHostKey)
        return try await host.pool.run { [id] in
            var content: String?
            if !fileExists(path) {
                let pair = makeHostKey()
                let text = "\(pair.publicLine)\n\(pair.privateText)"
                try makeFolder(parentFolder(path))
                let temporary = "\(path).\(UInt32.random(in: .min ... .max)).new"
                try writeFileAtomically(temporary, Array(text.utf8), mode: 0o600)
                defer { _ = unlink(temporary) }
                // Of two at once the first one's counts.
                if Glibc.link(temporary, path) != 0 && errno != EEXIST {
                    throw SystemError("link", "the host key of vm \(id)")
                }
                content = text
            }
            let text = try readText(path)
            let parts = text.split(separator: "\n", maxSplits: 1)
            guard parts.count == 2, parts[1].hasPrefix("-----BEGIN") else {
                throw CoveyError(
                    .corrupt, "the host key of vm \(id) cannot be read",
                    remedy: "remove \(path): the next login makes a new one")
            }
            return HostKey(
                publicLine: String(parts[0]), privateText: String(parts[1]), isNew: text == content)
        }
    }
}
