internal import CoveyCLI
internal import CoveyDaemon

/// What `covey` does to a root whose daemon does not run.
enum OfflineProgram {
    static let actions = OfflineActions(
        restore: { root, file, replaces in
            let report = try await OfflineState(folder: root.state, run: root.run).restore(
                file, into: root.store, replaces: replaces)
            return RestoredState(
                store: report.store, keys: report.keys, revision: report.revision, incarnation: report.incarnation)
        },
        move: { root, target in
            let report = try await OfflineState(folder: root.state, run: root.run).move(from: root.store, to: target)
            return MovedState(from: report.from, to: report.to, incarnation: report.incarnation)
        },
        uninstall: { try await HostChanges(state: $0.state, machines: $0.machines, run: $0.run).takeBack() })
}
