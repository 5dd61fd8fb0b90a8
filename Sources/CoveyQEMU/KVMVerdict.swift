/// What is to be thought of KVM on a host.
enum KVMVerdict: Hashable, Sendable, CaseIterable {
    /// Guests run on it.
    case usable
    /// `/dev/kvm` is not there, though the CPU could.
    case absent
    /// `/dev/kvm` is not there, and the CPU shows no virtualisation.
    case absentAndNoFlag
    /// We may not open it.
    case forbidden
    /// It opens, but the CPU shows neither `vmx` nor `svm`: a guest kernel would never boot.
    case useless
    /// It opens, but makes no machine.
    case failing
    /// Only root may open it, and VMMs do not run as root.
    case rootOnly
    /// QEMU was built without it.
    case notBuilt

    /// Looks at the facts. The flag comes before the device's answers: without it these mean nothing.
    init(_ facts: HostFacts) {
        if case .answers(let qemu) = facts.qemu, !qemu.hasKVM {
            self = .notBuilt
            return
        }
        switch facts.kvm {
        case .absent: self = facts.hasVirtualisationFlag ? .absent : .absentAndNoFlag
        case .forbidden: self = .forbidden
        case .failing where !facts.hasVirtualisationFlag, .works where !facts.hasVirtualisationFlag: self = .useless
        case .failing: self = .failing
        case .works(.rootOnly): self = .rootOnly
        case .works(.group), .works(.everyone): self = .usable
        }
    }

    /// Whether an operator's word can overrule the verdict: the device answers, only the flag is missing.
    func canBeForced(_ facts: HostFacts) -> Bool {
        guard self == .useless else { return self == .usable }
        switch facts.kvm {
        case .works(.everyone), .works(.group): return true
        case .works(.rootOnly), .absent, .forbidden, .failing: return false
        }
    }

    /// Why it cannot be used.
    func reason(_ facts: HostFacts) -> String {
        switch self {
        case .usable: return "KVM works"
        case .absent: return "/dev/kvm does not exist, though the CPU shows virtualisation"
        case .absentAndNoFlag: return "/dev/kvm does not exist and the CPU shows neither vmx nor svm"
        case .forbidden: return "/dev/kvm may not be opened by the daemon"
        case .useless:
            return "/dev/kvm is there, but the CPU shows neither vmx nor svm, so a guest would not boot on it"
        case .failing:
            guard case .failing(let text) = facts.kvm else { return "/dev/kvm makes no machine" }
            return "/dev/kvm makes no machine: \(text)"
        case .rootOnly: return "/dev/kvm may be opened by root alone, and machines do not run as root"
        case .notBuilt: return "this QEMU was built without KVM"
        }
    }

    /// What can be done; nil where nothing need be.
    var remedy: String? {
        switch self {
        case .usable: nil
        case .absent: "load the module: modprobe kvm_intel or modprobe kvm_amd"
        case .absentAndNoFlag, .useless:
            "turn on virtualisation in the firmware, or nested virtualisation where this host is itself a machine"
        case .forbidden: "run the daemon as root, and allow the device where it runs in a container"
        case .failing: "look at dmesg for kvm; another hypervisor may hold the CPU"
        case .rootOnly: "give it to a group: chgrp kvm /dev/kvm && chmod 0660 /dev/kvm"
        case .notBuilt: "install the distribution's QEMU: apt-get install qemu-system-x86"
        }
    }
}
