package import CoveyModel

extension HostFacts {
    /// The oldest QEMU that takes listening sockets under its sandbox, as tried.
    static let oldestVersion = [7, 2]

    /// What the facts mean: whether machines can run, on which accelerators, and why not or not faster.
    package var driverFacts: DriverFacts {
        if let obstacle {
            return DriverFacts(driver: .qemu, available: false, reason: obstacle.text, version: version)
        }
        let verdict = KVMVerdict(self)
        let remedy = verdict.remedy.map { "; \($0)" } ?? ""
        func facts(_ accelerators: [Accelerator], _ reason: String?) -> DriverFacts {
            DriverFacts(
                driver: .qemu, available: !accelerators.isEmpty, reason: reason, version: version,
                accelerators: accelerators)
        }
        switch override {
        case .tcg: return facts([.tcg], "emulation only, as the operator chose")
        case .kvm where verdict == .usable: return facts([.kvm], nil)
        case .kvm where verdict.canBeForced(self):
            return facts([.kvm], "the operator forces KVM, although \(verdict.reason(self))")
        case .kvm: return facts([], "the operator forces KVM, but \(verdict.reason(self))\(remedy)")
        case .auto where verdict == .usable: return facts([.kvm, .tcg], nil)
        case .auto: return facts([.tcg], "emulation only, which is slower: \(verdict.reason(self))\(remedy)")
        }
    }

    /// The accelerator for a machine. Errors: ``ErrorCode/unsupported`` where the wanted one does not work here.
    package func accelerator(wanted: Accelerator) throws(CoveyError) -> Accelerator {
        if let obstacle { throw CoveyError(.unsupported, obstacle.reason, remedy: obstacle.remedy) }
        let possible = driverFacts.accelerators
        switch wanted {
        case .auto:
            if let best = possible.first { return best }
        case .kvm, .tcg:
            if possible.contains(wanted) { return wanted }
        }
        let verdict = KVMVerdict(self)
        switch (wanted, override) {
        case (.kvm, .tcg):
            throw CoveyError(
                .unsupported, "KVM is turned off on this host by the operator", remedy: "use --accel tcg or auto")
        case (.tcg, .kvm) where !possible.isEmpty:
            throw CoveyError(
                .unsupported, "emulation is turned off on this host by the operator", remedy: "use --accel kvm or auto")
        case (_, .kvm):
            throw CoveyError(
                .unsupported, "the operator forces KVM, but \(verdict.reason(self))", remedy: verdict.remedy)
        case (_, .auto), (_, .tcg):
            let alternative = verdict.remedy.map { "\($0), or use --accel tcg" } ?? "use --accel tcg"
            throw CoveyError(
                .unsupported, "KVM cannot be used: \(verdict.reason(self))", remedy: alternative)
        }
    }

    private var version: String? {
        guard case .answers(let qemu) = qemu else { return nil }
        return qemu.version
    }

    private struct Obstacle {
        var reason: String
        var remedy: String
        var text: String { "\(reason); \(remedy)" }
    }

    /// Why no machine can run at all.
    private var obstacle: Obstacle? {
        let install = "apt-get install qemu-system-x86"
        guard machine == Architecture.amd64.rawValue else {
            return Obstacle(
                reason: "this host is \(machine); machines are \(Architecture.amd64.rawValue)",
                remedy: "use an \(Architecture.amd64.rawValue) host")
        }
        switch qemu {
        case .missing: return Obstacle(reason: "qemu-system-x86_64 is not installed", remedy: install)
        case .broken(let text):
            return Obstacle(
                reason: "qemu-system-x86_64 does not answer: \(text)", remedy: "install it anew: \(install)")
        case .answers(let abilities):
            let parts = abilities.version.split(separator: ".").map { Int($0) ?? 0 }
            let oldest = Self.oldestVersion.map(String.init).joined(separator: ".")
            if parts.lexicographicallyPrecedes(Self.oldestVersion) {
                return Obstacle(
                    reason: "QEMU \(abilities.version) is too old", remedy: "install \(oldest) or later: \(install)")
            }
            if !abilities.hasMicroVM {
                return Obstacle(
                    reason: "QEMU \(abilities.version) has no microvm machine",
                    remedy: "install a QEMU that has it: \(install)")
            }
            return nil
        }
    }
}
