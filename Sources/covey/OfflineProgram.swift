internal import CoveyCLI
internal import CoveyConfiguration
internal import CoveyDaemon
internal import CoveyModel

/// What `covey` does to a root whose daemon does not run.
enum OfflineProgram {
    static let actions = OfflineActions(
        restore: { root, file, replaces in
            let state = OfflineState(folder: root.state, run: root.run, etcd: root.configuration.etcd)
            let report: OfflineState.Restored
            if let file {
                report = try await state.restore(file, into: root.store, replaces: replaces)
            } else {
                guard root.store == "etcd" else {
                    throw CoveyError(
                        .invalid, "this root has no etcd member of its own", remedy: "--survivor is for store: etcd")
                }
                report = try await state.recover(from: nil, replaces: false)
            }
            return RestoredState(
                store: report.store, keys: report.keys, revision: report.revision, incarnation: report.incarnation)
        },
        move: { root, target in
            let report = try await OfflineState(folder: root.state, run: root.run).move(from: root.store, to: target)
            return MovedState(from: report.from, to: report.to, incarnation: report.incarnation)
        },
        uninstall: { try await HostChanges(state: $0.state, machines: $0.machines, run: $0.run).takeBack() })
}
