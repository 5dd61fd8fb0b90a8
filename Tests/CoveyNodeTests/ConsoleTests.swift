import CoveyModel
import CoveyNode
import Testing

@Suite struct ConsoleTests {
    @Test("one writes to a console: who came first, until it leaves or another takes it")
    func seats() {
        let seats = ConsoleSeats()
        let (web, shop) = (MachineID(high: 1, low: 1), MachineID(high: 1, low: 2))
        let ann = seats.enter(web, who: "ann", asks: true, takes: false)
        let bob = seats.enter(web, who: "bob", asks: true, takes: false)
        let cy = seats.enter(shop, who: "cy", asks: true, takes: false)
        #expect(seats.seat(ann) == ConsoleSeat(writes: true, writer: "ann"))
        #expect(seats.seat(bob) == ConsoleSeat(writes: false, writer: "ann"))
        #expect(seats.seat(cy).writes)
        let dan = seats.enter(web, who: "dan", asks: true, takes: true)
        #expect(seats.seat(ann) == ConsoleSeat(writes: false, writer: "dan"))
        seats.leave(ann)
        #expect(seats.seat(dan).writes)
        seats.leave(dan)
        #expect(seats.seat(bob) == ConsoleSeat(writes: false, writer: nil))
        let eve = seats.enter(web, who: "eve", asks: false, takes: false)
        #expect(!seats.seat(eve).writes)
        #expect(seats.seat(seats.enter(web, who: "fay", asks: true, takes: false)).writes)
    }

    @Test("a machine is over when it has ended and nothing starts it again")
    func over() {
        func isOver(_ change: (inout VirtualMachine) -> Void) -> Bool {
            var machine = VirtualMachine(
                metadata: Metadata(
                    id: MachineID(high: 1, low: 1), name: "web", tenant: "default",
                    createdAt: Timestamp(milliseconds: 0)),
                spec: MachineSpec(image: "x"), status: MachineStatus(phase: .stopped))
            machine.status.observedStart = 1
            machine.status.lastEnd = .crashed
            machine.status.endedAt = Timestamp(milliseconds: 0)
            change(&machine)
            return machine.isOver(at: Timestamp(milliseconds: 10))
        }
        #expect(isOver { _ in })
        #expect(!isOver { $0.status.phase = .running })
        #expect(!isOver { $0.spec.restart = .always })
        #expect(!isOver { $0.spec.restartRequest = 1 })
        #expect(!isOver { $0.status.lastEnd = .rebooted })
        #expect(isOver { $0.spec.deleting = true })
    }
}
