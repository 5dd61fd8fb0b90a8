internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey volume attach`.
struct VolumeAttachCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "attach", abstract: "Give a volume to a machine.",
        discussion: """
            One machine may write to a volume, or any number may read it. Disks cannot be plugged into a running \
            machine, which sees the volume from its next start on.

            Example: covey volume attach data web:/var/lib/data
            """)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The volume.")
    var volume: String

    @Argument(help: "The machine and the path, as VM:PATH or VM:PATH:ro.")
    var place: VolumePlace

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let both = try await client.attachVolume(
                volume, to: place.machine, at: place.path, readOnly: place.readOnly)
            let name = both.machine.metadata.name
            if both.machine.isUp, !both.machine.status.volumes.contains(both.volume.metadata.id), !global.quiet {
                Standard.error("covey: vm \(name) runs, and sees the volume after: covey vm restart \(name)\n")
            }
            try global.printed.mutated(both.volume, name: both.volume.metadata.name)
            return 0
        }
    }
}

/// `covey volume detach`.
struct VolumeDetachCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "detach", abstract: "Take a volume from a machine that does not run.",
        discussion: "Example: covey volume detach data web")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The volume.")
    var volume: String

    @Argument(help: "The machine.")
    var vm: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let both = try await client.detachVolume(volume, from: vm)
            try global.printed.mutated(both.volume, name: both.volume.metadata.name)
            return 0
        }
    }
}

/// `VM:PATH` or `VM:PATH:ro`.
struct VolumePlace: ExpressibleByArgument, Sendable {
    let machine: String
    let path: String
    let readOnly: Bool

    init?(argument: String) {
        guard let mount = VolumeMount(argument) else { return nil }
        machine = mount.volume
        path = mount.path
        readOnly = mount.readOnly
    }
}

extension VirtualMachine {
    /// Whether its VMM runs or is about to.
    fileprivate var isUp: Bool {
        switch status.phase {
        case .scheduled, .preparing, .starting, .running, .paused: true
        case .pending, .stopping, .stopped, .failed, .deleting, .unknown: false
        }
    }
}
