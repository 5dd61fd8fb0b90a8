import CoveyModel
import Testing

@testable import CoveyCLI

@Suite struct TerminalTests {
    private func scan(_ keys: String, _ typed: [String]) throws -> (String, Bool) {
        var scanner = DetachScanner(try #require(DetachKeys(argument: keys)))
        var passed: [UInt8] = []
        for piece in typed {
            let (bytes, leaves) = scanner.scan(Array(piece.utf8))
            passed += bytes
            if leaves { return (String(decoding: passed, as: UTF8.self), true) }
        }
        return (String(decoding: passed, as: UTF8.self), false)
    }

    @Test("keys are written as docker writes them, and what is none is refused")
    func keys() throws {
        #expect(DetachKeys(argument: "ctrl-p,ctrl-q") == .usual)
        #expect(DetachKeys(argument: "ctrl-]") == .escape)
        #expect(DetachKeys(argument: "CTRL-A,d")?.keys == [1, 0x64])
        #expect(DetachKeys.usual.text == "ctrl-p,ctrl-q" && DetachKeys.escape.text == "ctrl-]")
        #expect(DetachKeys(argument: "")?.keys.isEmpty == true)
        for wrong in ["ctrl-", "ctrl-1", "shift-a", "ab"] { #expect(DetachKeys(argument: wrong) == nil, "\(wrong)") }
    }

    @Test("the keys leave whichever way they arrive, and the beginning of them alone reaches the program")
    func leaving() throws {
        #expect(try scan("ctrl-p,ctrl-q", ["ab\u{10}\u{11}cd"]) == ("ab", true))
        #expect(try scan("ctrl-p,ctrl-q", ["ab\u{10}", "\u{11}"]) == ("ab", true))
        #expect(try scan("ctrl-p,ctrl-q", ["\u{10}", "x\u{11}"]) == ("\u{10}x\u{11}", false))
        #expect(try scan("ctrl-p,ctrl-q", ["\u{10}\u{10}\u{11}"]) == ("\u{10}", true))
        #expect(try scan("", ["\u{10}\u{11}"]) == ("\u{10}\u{11}", false))
        #expect(try scan("a,a,b", ["aaab"]) == ("a", true))
    }

    @Test("a replay asks the terminal nothing, and shows all else, wherever it is cut")
    func replay() {
        let shown = "\u{1B}[1;31mred\u{1B}[0m\u{1B}[?1049h\u{1B}]0;title\u{07}\u{1B}(Bplain"
        let asked =
            "\u{1B}[c\u{1B}[>c\u{1B}[6n\u{1B}[?6n\u{1B}[18t\u{1B}]11;?\u{07}\u{1B}P+q544e\u{1B}\\\u{1B}[?2026$p\u{1B}Z"
        let all = Array((asked + shown + asked).utf8)
        for cut in all.indices {
            var filter = ReplayFilter()
            let bytes = filter.pass(Array(all[..<cut])) + filter.pass(Array(all[cut...])) + filter.rest()
            #expect(String(decoding: bytes, as: UTF8.self) == shown, "cut at \(cut)")
        }
    }

    @Test("what a program changed about the terminal is taken back, and no more than that")
    func changes() {
        var changes = TerminalChanges()
        #expect(changes.undoing.isEmpty)
        changes.note(Array("\u{1B}[?1049h\u{1B}[?1;2004h\u{1B}[?25l\u{1B}=\u{1B}[2;10r\u{1B}[1m".utf8))
        let undone = String(decoding: changes.undoing, as: UTF8.self)
        for part in ["[?1049l", "[?2004l", "[?1l", "[?25h", "\u{1B}>", "[0m", "[r"] { #expect(undone.contains(part)) }
        changes.note(changes.undoing)
        #expect(changes.undoing.isEmpty, "\(changes.undoing)")
    }

    @Test("machines are listed by what they use now, and equals by name")
    func top() {
        func use(_ name: String, _ cpu: UInt64, _ milliseconds: Int64, read: UInt64 = 0) -> MachineUse {
            var figures = MachineFigures(at: Timestamp(milliseconds: milliseconds))
            figures.cpuNanoseconds = cpu
            figures.diskReadBytes = read
            return MachineUse(id: MachineID(high: 1, low: UInt64(name.utf8.first ?? 0)), name: name, figures: figures)
        }
        let before = [use("a", 0, 0), use("b", 0, 0), use("c", 0, 0)]
        let now = [use("b", 1_000_000, 1000), use("c", 500_000_000, 1000, read: 2 << 20), use("a", 1_000_000, 1000)]
        #expect(TopColumns.sorted(now, before: before).map(\.name) == ["c", "a", "b"])
        let cells = TopColumns.all(before: before).map { $0.cell(now[1]) }
        #expect(cells.contains("50.0%"))
        #expect(cells.contains { $0.hasPrefix("2") && $0.hasSuffix("MiB/s") }, "\(cells)")
        #expect(TopColumns.perSecond(1, since: 2, .seconds(1)) == nil)
    }

    @Test("a wait for the end of a program knows the end, a machine without one, and one that ended otherwise")
    func exit() throws {
        func machine(_ change: (inout VirtualMachine) -> Void) -> VirtualMachine {
            var machine = VirtualMachine(
                metadata: Metadata(
                    id: MachineID(high: 1, low: 2), name: "web", tenant: "default",
                    createdAt: Timestamp(milliseconds: 0)),
                spec: MachineSpec(image: "x", program: Program(arguments: ["true"])), status: MachineStatus())
            change(&machine)
            return machine
        }
        let wait = MachineWait(goal: .exit, limit: nil)
        #expect(try !wait.reached(machine { $0.status.phase = .running }))
        #expect(try wait.reached(machine { $0.status.exitCode = 3 }))
        let ready = Condition(
            type: "Ready", state: .yes, reason: "Started", message: "", since: Timestamp(milliseconds: 0))
        let idle = machine {
            $0.spec.program = nil
            $0.status.phase = .running
            $0.status.conditions = [ready]
        }
        #expect(throws: CoveyError.self) { try wait.reached(idle) }
        let crashed = machine {
            $0.status.phase = .stopped
            $0.status.lastEnd = .crashed
        }
        #expect(throws: CoveyError.self) { try wait.reached(crashed) }
    }
}
