package import CoveyAPI
package import CoveyModel

/// The one place that says what a machine may be.
package struct MachineValidation: Sendable {
    private static let leastMemory = ByteCount.mebibytes(64)
    private static let mostMemory = ByteCount.gibibytes(1024)
    private static let leastDisk = ByteCount.mebibytes(16)
    private static let mostDisk = ByteCount.gibibytes(64 * 1024)
    private static let longestStop: Int64 = 3_600_000

    private let defaults: MachineDefaults
    private let limits: MachineLimits

    /// Validation for a host.
    package init(defaults: MachineDefaults, limits: MachineLimits) {
        self.defaults = defaults
        self.limits = limits
    }

    /// The spec that a request means, without image and kernel resolved.
    ///
    /// Errors: ``ErrorCode/invalid`` naming the field; ``ErrorCode/exhausted`` for more memory than the host has.
    package func spec(_ request: MachineRequest) throws(CoveyError) -> MachineSpec {
        if let name = request.name { try Names.checkLabel(name, kind: "vm") }
        try Names.checkImage(request.image)
        if let kernel = request.kernel { try Names.checkKernel(kernel) }
        try check(labels: request.labels)
        let cpus = request.cpus ?? defaults.cpus
        let memory = request.memory ?? defaults.memory
        try check(cpus: cpus)
        try check(memory: memory)
        if let disk = request.disk { try check(disk: disk) }
        try check(volumes: request.volumes, scratch: request.scratch)
        try check(environment: request.environment)
        if let program = request.program { try check(program) }
        var spec = MachineSpec(
            image: request.image, wanted: request.noStart ? .stopped : .running, cpus: cpus, memory: memory,
            disk: request.disk, kernel: request.kernel, driver: request.driver,
            accel: request.accel ?? defaults.accel, restart: request.restart ?? .never, program: request.program,
            environment: request.environment, removeWhenStopped: request.removeWhenStopped,
            ready: request.ready ?? (request.readyProbe == nil ? .image : .probe))
        try check(ready: request.readyProbe, in: spec)
        spec.readyProbe = request.readyProbe
        try check(networks: request)
        spec.ports = request.ports
        spec.egress = request.egress
        spec.networkLimit = request.networkLimit
        spec.diskLimit = request.diskLimit
        spec.volumes = request.volumes.map { mount in
            VolumeMount(volume: mount.volume, path: MachineValidation.plain(mount.path), readOnly: mount.readOnly)
        }
        spec.scratch = request.scratch.map { ScratchDisk(size: $0.size, path: MachineValidation.plain($0.path)) }
        if let limit = request.stopTimeout {
            try check(stopTimeout: limit.wholeMilliseconds)
            spec.stopTimeoutMilliseconds = limit.wholeMilliseconds
        }
        return spec
    }

    private func check(ready probe: Probe?, in spec: MachineSpec) throws(CoveyError) {
        guard (spec.ready == .probe) == (probe != nil) else {
            throw CoveyError(
                .invalid, probe == nil ? "ready is a probe that is missing" : "ready_probe goes with ready: probe")
        }
        try probe?.check()
    }

    /// Whether the image fits on the disk that was asked for.
    package func check(disk: ByteCount?, image: Image) throws(CoveyError) {
        guard let disk, let size = image.status.size, disk < size else { return }
        throw CoveyError(
            .invalid, "a disk of \(disk) is smaller than the image \(image.metadata.name) of \(size.rounded)",
            remedy: "use --disk \(size) or more, or leave it out")
    }

    /// Whether the host's drivers can do what is asked. `facts` is empty where nothing is known of them.
    package func check(driver: DriverName?, accel: Accelerator, facts: [DriverFacts]) throws(CoveyError) {
        let wanted = facts.filter { driver == nil || $0.driver == driver }
        guard !facts.isEmpty else { return }
        guard let usable = wanted.first(where: \.available) else {
            let name = driver?.rawValue ?? "any driver"
            let reason = wanted.compactMap(\.reason).first ?? "it is not part of this daemon"
            throw CoveyError(
                .unsupported, "\(name) cannot run machines here: \(reason)",
                remedy: driver == nil || driver == .qemu
                    ? "install it: apt-get install qemu-system-x86" : "leave --driver out, or use --driver qemu")
        }
        guard accel != .auto, !usable.accelerators.isEmpty, !usable.accelerators.contains(accel) else { return }
        throw CoveyError(
            .unsupported, "accelerator \(accel.rawValue) cannot be used here: \(usable.reason ?? "it does not work")",
            remedy: "use --accel auto")
    }

    /// Whether a program can be run at all.
    package func check(_ program: Program) throws(CoveyError) {
        guard let first = program.arguments.first, !first.isEmpty else {
            throw CoveyError(.invalid, "there is no program to run", remedy: "write it behind --")
        }
        let size = program.arguments.reduce(0) { $0 + $1.utf8.count + 1 }
        guard size <= 128 << 10, !program.arguments.contains(where: { $0.utf8.contains(0) }) else {
            throw CoveyError(.invalid, "the program's arguments are longer than 128 KiB or hold a NUL byte")
        }
        try check(environment: program.environment)
        for text in [program.user, program.workingDirectory] {
            guard let text else { continue }
            guard !text.isEmpty, text.utf8.count <= 4096, !text.utf8.contains(0) else {
                throw CoveyError(.invalid, "the program's user or working directory is empty or too long")
            }
        }
        if let folder = program.workingDirectory, !folder.hasPrefix("/") {
            throw CoveyError(.invalid, "the working directory \(folder) is not absolute")
        }
    }

    /// Whether a stop may take so long.
    package func check(stopTimeout milliseconds: Int64) throws(CoveyError) {
        guard (0...MachineValidation.longestStop).contains(milliseconds) else {
            throw CoveyError(.invalid, "a stop timeout of \(milliseconds) ms is out of range", remedy: "use 0s to 1h")
        }
    }

    /// Whether labels can be stored and selected by.
    package func check(labels: [String: String]) throws(CoveyError) {
        guard labels.count <= 64 else {
            throw CoveyError(.invalid, "\(labels.count) labels are too many", remedy: "use at most 64")
        }
        for (key, value) in labels.sorted(by: { $0.key < $1.key }) {
            let valid =
                (1...128).contains(key.utf8.count) && value.utf8.count <= 256
                && key.utf8.allSatisfy { (33...126).contains($0) && $0 != 61 && $0 != 44 }
            guard valid else {
                throw CoveyError(
                    .invalid, "label \"\(key)\" is not valid",
                    remedy: "use 1 to 128 printable characters without = and , and a value of at most 256 bytes")
            }
        }
    }

    private func check(cpus: Int) throws(CoveyError) {
        guard (1...max(limits.cpus, 1)).contains(cpus) else {
            throw CoveyError(
                .invalid, "\(cpus) CPUs are out of range: the host has \(limits.cpus)",
                remedy: "use --cpus 1 to \(limits.cpus)")
        }
    }

    private func check(memory: ByteCount) throws(CoveyError) {
        guard memory >= MachineValidation.leastMemory, memory <= MachineValidation.mostMemory else {
            throw CoveyError(.invalid, "memory of \(memory) is out of range", remedy: "use --memory 64M to 1T")
        }
        guard memory <= limits.memory else {
            throw CoveyError(
                .exhausted, "memory of \(memory) is more than the host's \(limits.memory.rounded)",
                remedy: "use less --memory")
        }
    }

    private func check(disk: ByteCount) throws(CoveyError) {
        guard disk >= MachineValidation.leastDisk, disk <= MachineValidation.mostDisk else {
            throw CoveyError(.invalid, "a disk of \(disk) is out of range", remedy: "use --disk 16M to 64T")
        }
    }

    private func check(environment: [String: String]) throws(CoveyError) {
        let size = environment.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 2 }
        guard size <= 128 << 10 else { throw CoveyError(.invalid, "the environment is longer than 128 KiB") }
        for (key, value) in environment.sorted(by: { $0.key < $1.key }) {
            guard !key.isEmpty, !key.contains("="), !key.utf8.contains(0), !value.utf8.contains(0) else {
                throw CoveyError(
                    .invalid, "environment variable \"\(key)\" is not valid", remedy: "write it as NAME=VALUE")
            }
        }
    }
}
