/// Where a daemon keeps its things.
package struct Folders: Hashable, Sendable {
    /// The root folder, where one was given.
    package var root: String?
    /// The Unix socket of the API.
    package var socket: String
    /// The configuration file that is read where none is named.
    package var configuration: String
    /// The store.
    package var state: String
    /// Images.
    package var images: String
    /// Kernels.
    package var kernels: String
    /// Volumes.
    package var volumes: String
    /// One folder a machine, with disks, handle and logs.
    package var machines: String
    /// What may vanish at a reboot.
    package var run: String
    /// The daemon's own logs.
    package var log: String

    /// The folders below a root, or the host's own where there is none.
    package init(root: String?) {
        self.root = root
        let state = root ?? "/var/lib/covey"
        self.state = "\(state)/state"
        images = "\(state)/images"
        kernels = "\(state)/kernels"
        volumes = "\(state)/volumes"
        machines = "\(state)/vms"
        socket = root.map { "\($0)/covey.sock" } ?? "/run/covey/covey.sock"
        configuration = root.map { "\($0)/config.yaml" } ?? "/etc/covey/config.yaml"
        // The socket's folder can be entered by others, this one cannot.
        run = root.map { "\($0)/run" } ?? "/run/covey/private"
        log = root.map { "\($0)/log" } ?? "/var/log/covey"
    }
}
