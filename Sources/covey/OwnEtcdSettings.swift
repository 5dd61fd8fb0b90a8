internal import CoveyConfiguration
internal import CoveyDaemon

extension DaemonConfiguration {
    /// What is said of the daemon's own member of etcd.
    var etcd: OwnEtcdSettings {
        OwnEtcdSettings(
            listen: etcdListen.map { ("\($0.address)", Int($0.port)) }, join: etcdJoin, authority: etcdAuthority)
    }
}
