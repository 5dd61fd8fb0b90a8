package import CoveyNode

/// Where a daemon keeps what, and where its other two programs lie.
package struct DaemonPaths: Hashable, Sendable {
    /// The API's socket.
    package var socket: String
    /// The store.
    package var state: String
    /// Images.
    package var images: String
    /// Kernels.
    package var kernels: String
    /// Volumes.
    package var volumes: String
    /// Machines' disks, handles and logs.
    package var machines: String
    /// What may vanish at a reboot.
    package var run: String
    /// The guard's program.
    package var guardProgram: String
    /// The guest agent's program.
    package var guestProgram: String

    /// Makes paths.
    package init(
        socket: String, state: String, images: String, kernels: String, volumes: String, machines: String, run: String,
        guardProgram: String, guestProgram: String
    ) {
        self.socket = socket
        self.state = state
        self.images = images
        self.kernels = kernels
        self.volumes = volumes
        self.machines = machines
        self.run = run
        self.guardProgram = guardProgram
        self.guestProgram = guestProgram
    }

    /// The part that the node agent looks after.
    package var layout: NodeLayout {
        NodeLayout(machines: machines, run: run, uploads: "\(images)/.uploads")
    }

    /// Callers' credentials until their pulls have ended.
    package var credentials: String { "\(run)/credentials" }

    /// The longest path of a machine's socket must fit an address: 107 bytes.
    package var longestSocket: String { "\(layout.runs)/0123456789ab-999999/control" }
}
