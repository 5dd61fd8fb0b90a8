package import CoveyModel

/// Where a node keeps what. Everything of a run carries the machine's id and the run generation.
package struct NodeLayout: Hashable, Sendable {
    /// Machines' disks, handles and logs; survives a reboot.
    package var machines: String
    /// What may vanish at a reboot: sockets, the guest memories.
    package var run: String
    /// What clients send and catalogs give until it is an image or a kernel; below it nothing else lies.
    package var uploads: String

    /// A layout from its folders; without one of their own, uploads lie with what may vanish.
    package init(machines: String, run: String, uploads: String? = nil) {
        self.machines = machines
        self.run = run
        self.uploads = uploads ?? "\(run)/spool"
    }

    /// All that a machine keeps.
    package func folder(_ id: MachineID) -> String { "\(machines)/\(id)" }
    /// The root disk, without the extension that its strategy gives it.
    package func disk(_ id: MachineID) -> String { "\(folder(id))/root" }
    /// The scratch disk.
    package func scratch(_ id: MachineID) -> String { "\(folder(id))/scratch.img" }
    /// The machine's host key: its public half as a line, then the private key file. A secret.
    package func hostKey(_ id: MachineID) -> String { "\(folder(id))/ssh-host-key" }
    /// The handle of the run that goes on.
    package func handle(_ id: MachineID) -> String { "\(folder(id))/handle.json" }
    /// Console and program output.
    package func logs(_ id: MachineID) -> String { "\(folder(id))/logs" }
    /// The serial console.
    package func console(_ id: MachineID) -> String { "\(logs(id))/console.log" }
    /// What a program wrote, as a ``Journal``.
    package func journal(_ id: MachineID, exec: String) -> String { "\(logs(id))/exec-\(exec)" }
    /// Where a journal goes whose machine is gone while somebody still reads it.
    func leftJournal() -> String { "\(machines)/\(NodeLayout.leftPrefix)\(UInt64.random(in: .min ... .max))" }
    /// How the names of such journals begin.
    static let leftPrefix = ".left-"
    /// The sockets of runs.
    package var runs: String { "\(run)/vm" }
    /// The sockets of one run. It takes the tail of the id: socket paths end at 107 bytes.
    package func runFolder(_ id: MachineID, _ generation: Int64) -> String { "\(runs)/\(id.tail(12))-\(generation)" }
    /// The tmpfs that holds guest memories.
    package var memory: String { "\(run)/memory" }
    /// The memory of one run.
    package func memoryFile(_ id: MachineID, _ generation: Int64) -> String { "\(memory)/\(id)-\(generation)" }

    /// Folders that must be there before the first machine, with their modes.
    package var folders: [(path: String, mode: UInt32)] {
        [(machines, 0o700), (run, 0o700), (runs, 0o700), (memory, 0o711)]
    }
}
