import CoveyModel
import CoveySystem
import Testing

@testable import CoveyQEMU

@Suite("Facts of the host and what follows from them")
struct HostFactsTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var name: String
        var facts: HostFacts
        var accelerators: [Accelerator]
        var says: String?
        var testDescription: String { name }

        init(
            _ name: String, machine: String = "x86_64", flag: Bool = true, kvm: KVMDevice = .works(.group(104)),
            override: Accelerator = .auto, qemu: QEMUProgram = good, _ accelerators: [Accelerator], says: String?
        ) {
            self.name = name
            facts = HostFacts(
                machine: machine, hasVirtualisationFlag: flag, kvm: kvm, override: override, qemu: qemu)
            self.accelerators = accelerators
            self.says = says
        }
    }

    static let good = QEMUProgram.answers(
        QEMUAbilities(path: "/usr/bin/qemu-system-x86_64", version: "7.2.22", hasMicroVM: true, hasKVM: true))
    static func qemu(_ version: String = "7.2.22", microvm: Bool = true, kvm: Bool = true) -> QEMUProgram {
        .answers(QEMUAbilities(path: "/q", version: version, hasMicroVM: microvm, hasKVM: kvm))
    }

    static let table: [Row] = [
        Row("usable by a group", [.kvm, .tcg], says: nil),
        Row("usable by everyone", kvm: .works(.everyone), [.kvm, .tcg], says: nil),
        Row("absent, CPU could", kvm: .absent, [.tcg], says: "modprobe kvm_intel"),
        Row("absent, CPU cannot", flag: false, kvm: .absent, [.tcg], says: "neither vmx nor svm; turn on"),
        Row("forbidden", kvm: .forbidden, [.tcg], says: "may not be opened by the daemon; run the daemon as root"),
        Row("useless", flag: false, kvm: .works(.everyone), [.tcg], says: "a guest would not boot on it"),
        Row("useless and for root", flag: false, kvm: .works(.rootOnly), [.tcg], says: "would not boot on it"),
        Row("useless and failing", flag: false, kvm: .failing("x"), [.tcg], says: "would not boot on it"),
        Row("root only", kvm: .works(.rootOnly), [.tcg], says: "chgrp kvm /dev/kvm"),
        Row("makes no machine", kvm: .failing("Device or resource busy"), [.tcg], says: "busy; look at dmesg"),
        Row("QEMU without KVM", qemu: qemu(kvm: false), [.tcg], says: "built without KVM"),
        Row("operator takes TCG", override: .tcg, [.tcg], says: "as the operator chose"),
        Row("operator takes KVM", override: .kvm, [.kvm], says: nil),
        Row("forced though useless", flag: false, kvm: .works(.everyone), override: .kvm, [.kvm], says: "forces KVM"),
        Row("forced in vain: root", flag: false, kvm: .works(.rootOnly), override: .kvm, [], says: "forces KVM, but"),
        Row("forced in vain: absent", kvm: .absent, override: .kvm, [], says: "forces KVM, but /dev/kvm does not"),
        Row("no QEMU", qemu: .missing, [], says: "not installed; apt-get install qemu-system-x86"),
        Row("broken QEMU", qemu: .broken("bad library"), [], says: "does not answer: bad library"),
        Row("old QEMU", qemu: qemu("6.2.0"), [], says: "QEMU 6.2.0 is too old; install 7.2"),
        Row("newer QEMU", qemu: qemu("10.0.2"), [.kvm, .tcg], says: nil),
        Row("no microvm", qemu: qemu(microvm: false), [], says: "no microvm machine"),
        Row("foreign architecture", machine: "aarch64", [], says: "this host is aarch64"),
    ]

    @Test("each combination of facts has its answer and its reason", arguments: table)
    func fingerprint(row: Row) {
        let facts = row.facts.driverFacts
        #expect(facts.accelerators == row.accelerators)
        #expect(facts.available == !row.accelerators.isEmpty)
        if let says = row.says {
            #expect(facts.reason?.contains(says) == true, "\(facts.reason ?? "")")
        } else {
            #expect(facts.reason == nil)
        }
    }

    @Test("an accelerator that is wanted is chosen just where it works", arguments: table)
    func choice(row: Row) throws {
        for wanted in Accelerator.allCases {
            let expected = wanted == .auto ? row.accelerators.first : row.accelerators.first { $0 == wanted }
            do {
                let chosen = try row.facts.accelerator(wanted: wanted)
                #expect(chosen == expected, "\(wanted)")
            } catch {
                #expect(expected == nil, "\(wanted): \(error)")
                #expect(error.code == .unsupported)
                #expect(error.remedy?.isEmpty == false, "\(wanted)")
            }
        }
    }

    @Test("flags are whole words of the first flags line")
    func flags() {
        #expect(HostFactsReader.hasVirtualisationFlag("processor\t: 0\nflags\t\t: fpu vmx sse\n"))
        #expect(HostFactsReader.hasVirtualisationFlag("flags : fpu svm"))
        #expect(!HostFactsReader.hasVirtualisationFlag("flags : fpu vmxnet svm_lock\nvmx flags : vnmi"))
        #expect(!HostFactsReader.hasVirtualisationFlag(""))
    }

    @Test("this host is read, QEMU included, and the process that was asked is gone")
    func thisHost() async throws {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let supervisor = DirectSupervisor(reactor: reactor)
        let facts = await HostFactsReader(reactor: reactor, supervisor: supervisor).read()
        guard case .answers(let qemu) = facts.qemu else {
            Issue.record("QEMU did not answer: \(facts.qemu)")
            return
        }
        #expect(qemu.hasMicroVM && qemu.version.split(separator: ".").count == 3)
        #expect(facts.machine == "x86_64")
        #expect(facts.driverFacts.accelerators.contains(.tcg))
        #expect(try await supervisor.processes().isEmpty)
        #expect(supervisor.spawned.count == 1)
        let missing = await HostFactsReader(reactor: reactor, supervisor: supervisor, binary: "/nowhere/qemu").read()
        #expect(missing.qemu == .missing)
        let broken = await HostFactsReader(reactor: reactor, supervisor: supervisor, binary: "/bin/false").read()
        guard case .broken = broken.qemu else {
            Issue.record("a program that ends at once is no QEMU")
            return
        }
        #expect(try await supervisor.processes().isEmpty)
    }

    @Test("the device's absence and refusal are told apart")
    func device() throws {
        #expect(KVMDevice.probe("/tmp/cvy-qemu-no-such-device") == .absent)
        guard case .failing = KVMDevice.probe("/dev/null") else {
            Issue.record("/dev/null is no KVM")
            return
        }
    }

    @Test("the time stamp counter's frequency is plausible and measured once")
    func clock() async throws {
        let pool = BlockingPool()
        let first = try #require(try await HostClock.frequency(pool))
        #expect((500_000...10_000_000).contains(first))
        #expect(try await HostClock.frequency(pool) == first)
    }
}
