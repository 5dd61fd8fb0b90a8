internal import ArgumentParser
internal import CoveyAPI
internal import CoveyModel

/// What `run` and `vm create` say of a machine.
struct MachineOptions: ParsableArguments, Sendable {
    @Option(help: "Its name; chosen where it is left out.")
    var name: String?

    @Option(help: "The kernel; the default one where it is left out.")
    var kernel: String?

    @Option(help: "Virtual CPUs.")
    var cpus: Int?

    @Option(help: "Memory, such as 512M.")
    var memory: ByteCount?

    @Option(help: "Size of the root disk, such as 4G; the image's where it is left out.")
    var disk: ByteCount?

    @Option(help: "A volume and where the machine sees it, as NAME:PATH or NAME:PATH:ro.")
    var volume: [VolumeMount] = []

    @Option(help: "A disk that lives and dies with the machine, as SIZE or SIZE:PATH; the path is /scratch.")
    var scratch: ScratchDisk?

    @OptionGroup var networks: MachineNetworkOptions

    @Option(name: [.long, .customShort("e")], help: "Environment of its programs, as KEY=VALUE.")
    var env: [KeyValue] = []

    @Option(name: [.long, .customShort("l")], help: "A label, as KEY=VALUE.")
    var label: [KeyValue] = []

    @Option(help: "What happens after a crash: never, on-failure, on-failure:N or always.")
    var restart: RestartPolicy?

    @Option(help: "The VMM: qemu, firecracker or cloud-hypervisor.")
    var driver: DriverName?

    @Option(help: "The accelerator: auto, kvm or tcg.")
    var accel: Accelerator?

    @Option(
        help: "When it counts as ready: image, agent, booted, or a probe: exec:COMMAND, tcp:PORT, http:PORT/PATH.")
    var ready: ReadyArgument?

    @Flag(name: .customLong("no-start"), help: "Make it without starting it.")
    var noStart = false

    @Option(help: "What to wait for: created, running or ready.")
    var wait: CreateGoal?

    @Option(help: "How long to wait, such as 90s.")
    var timeout: DurationArgument?

    /// The request that the options mean.
    func request(image: String, program: Program?, removeWhenStopped: Bool = false) throws -> MachineRequest {
        var request = MachineRequest(image: image)
        request.name = name
        request.kernel = kernel
        request.cpus = cpus
        request.memory = memory
        request.disk = disk
        request.volumes = volume
        request.scratch = scratch
        try networks.apply(to: &request)
        request.environment = env.map
        request.labels = label.map
        request.restart = restart
        request.driver = driver
        request.accel = accel
        request.ready = ready?.check
        request.readyProbe = ready?.probe
        request.noStart = noStart
        request.program = program
        request.removeWhenStopped = removeWhenStopped
        return request
    }
}
