package import CoveyModel

/// What decides whether and how QEMU runs machines on this host: facts only, so that the decision is a function.
package struct HostFacts: Hashable, Sendable {
    /// What `uname -m` prints.
    package var machine: String
    /// Whether the CPU flags show `vmx` (Intel) or `svm` (AMD).
    package var hasVirtualisationFlag: Bool
    /// What became of opening `/dev/kvm`.
    package var kvm: KVMDevice
    /// The operator's choice for the whole host: `auto` leaves it to the facts.
    package var override: Accelerator
    /// What became of asking QEMU.
    package var qemu: QEMUProgram

    /// Collects facts.
    package init(
        machine: String, hasVirtualisationFlag: Bool, kvm: KVMDevice, override: Accelerator, qemu: QEMUProgram
    ) {
        self.machine = machine
        self.hasVirtualisationFlag = hasVirtualisationFlag
        self.kvm = kvm
        self.override = override
        self.qemu = qemu
    }
}

/// What became of opening `/dev/kvm` and of `KVM_CREATE_VM`.
package enum KVMDevice: Hashable, Sendable {
    /// There is no such file.
    case absent
    /// Opening it was refused to us.
    case forbidden
    /// It opens, or fails in an unusual way, but makes no machine; the reason.
    case failing(String)
    /// It opens and makes a machine; who else may open it.
    case works(KVMAccess)
}

/// Who may open `/dev/kvm`; VMMs have no privilege to do so.
package enum KVMAccess: Hashable, Sendable {
    /// Everyone.
    case everyone
    /// Members of this group.
    case group(UInt32)
    /// Root alone.
    case rootOnly
}

/// What became of asking QEMU.
package enum QEMUProgram: Hashable, Sendable {
    /// It is not installed.
    case missing
    /// It is there and does not answer; the reason.
    case broken(String)
    /// It answered.
    case answers(QEMUAbilities)
}

/// What a QEMU says of itself.
package struct QEMUAbilities: Hashable, Sendable {
    /// The program's absolute path.
    package var path: String
    /// Its version: `7.2.22`.
    package var version: String
    /// Whether it has the `microvm` machine.
    package var hasMicroVM: Bool
    /// Whether it was built with KVM.
    package var hasKVM: Bool

    /// Collects abilities.
    package init(path: String, version: String, hasMicroVM: Bool, hasKVM: Bool) {
        self.path = path
        self.version = version
        self.hasMicroVM = hasMicroVM
        self.hasKVM = hasKVM
    }
}
