internal import CoveyModel
internal import CoveySystem
package import CoveyVMM

extension QEMUDriver {
    package func destroy(_ handle: MachineHandle) async throws {
        if let process = try await process(handle.processName) {
            // A daemon that died between launch and handle knows but the name, which no other run has.
            guard handle.process.pid == 0 || process.identity == handle.process else {
                throw CoveyError(
                    .conflict,
                    "\(handle.processName) is process \(process.identity.pid), not \(handle.process.pid) of the handle")
            }
            try await end(handle.processName)
        } else {
            // The guard does not know it, so nobody may run under this handle.
            try await UnsupervisedProcess.end(handle.process, within: deadlines.end, reactor: reactor, pool: pool)
        }
        try await pool.run {
            for path in [
                handle.controlSocket, handle.guestSocket, handle.consoleInput, Self.errorLog(handle), handle.memoryFile,
            ] {
                if let path { try removeFile(path) }
            }
        }
    }

    /// Kills a process, waits until it is gone, and has it forgotten; one that is not there is no error.
    func end(_ name: String) async throws {
        try await ignoringUnknown {
            try await withDeadline(deadlines.supervisor, "killing \(name)") { [supervisor] in
                try await supervisor.kill(name)
            }
        }
        try await ignoringUnknown {
            _ = try await withDeadline(deadlines.end, "the end of \(name) after its kill") { [supervisor] in
                try await supervisor.waitForExit(name)
            }
        }
        try await ignoringUnknown {
            try await withDeadline(deadlines.supervisor, "forgetting \(name)") { [supervisor] in
                try await supervisor.forget(name)
            }
        }
    }

    private func ignoringUnknown(_ body: () async throws -> Void) async throws {
        do { try await body() } catch let error as CoveyError where error.code == .notFound {}
    }
}
