internal import CoveyModel
internal import Testing

@testable internal import CoveyStore

@Suite("Keys")
struct KeySpaceTests {
    private let node = NodeID(high: 1, low: 2)
    private let machine = MachineID(high: 3, low: 4)
    private let image = ImageID(high: 5, low: 6)

    @Test("the table of keys is the one of the decision record")
    func table() {
        let vm = "00000000-0000-0003-0000-000000000004"
        let host = "00000000-0000-0001-0000-000000000002"
        let table: [(StoreKey, String)] = [
            (KeySpace.format, "meta/format"),
            (KeySpace.incarnation, "meta/incarnation"),
            (KeySpace.ancestors, "meta/ancestors"), (KeySpace.filling, "meta/filling"), (KeySpace.moved, "meta/moved"),
            (KeySpace.nodes, "nodes/"),
            (KeySpace.node(node), "nodes/\(host)"),
            (KeySpace.nodeName("berlin-1"), "name/node/berlin-1"),
            (KeySpace.presences, "presence/"), (KeySpace.presence(node), "presence/\(host)"),
            (KeySpace.bindings(node), "node/\(host)/vm/"),
            (KeySpace.binding(node, machine), "node/\(host)/vm/\(vm)"),
            (KeySpace.runs(node), "node/\(host)/run/"),
            (KeySpace.runs(node, machine), "node/\(host)/run/\(vm)/"),
            (KeySpace.run(node, machine, 7), "node/\(host)/run/\(vm)/0000000007"),
            (KeySpace.uids(node), "node/\(host)/uid/"),
            (KeySpace.uid(node, 12), "node/\(host)/uid/00012"),
            (KeySpace.resources(.machine, nil), "vm/"),
            (KeySpace.resources(.machine, .standard), "vm/default/"),
            (KeySpace.spec("default", machine), "vm/default/\(vm)/spec"),
            (KeySpace.status("default", machine), "vm/default/\(vm)/status"),
            (KeySpace.owner(machine), "owner/vm/\(vm)"),
            (KeySpace.spec("default", image), "image/default/00000000-0000-0005-0000-000000000006/spec"),
            (KeySpace.spec("default", KernelID(high: 0, low: 1)), "kernel/default/\(zeros)1/spec"),
            (KeySpace.spec("default", OperationID(high: 0, low: 1)), "operation/default/\(zeros)1/spec"),
            (KeySpace.spec("default", VolumeID(high: 0, low: 1)), "volume/default/\(zeros)1/spec"),
            (KeySpace.spec("default", net), "network/default/\(zeros)9/spec"),
            (KeySpace.blocks, "networks/blocks"),
            (KeySpace.addresses(net), "addr/\(zeros)9/"),
            (KeySpace.address(net, ip("10.83.0.5")), "addr/\(zeros)9/10.83.0.5"),
            (KeySpace.address(net, ip("fd00::5")), "addr/\(zeros)9/fd00::5"),
            (KeySpace.rests, "rest/"),
            (KeySpace.rests(net), "rest/\(zeros)9/"),
            (KeySpace.rest(net, ip("10.83.0.5")), "rest/\(zeros)9/10.83.0.5"),
            (KeySpace.mac(net, MACAddress(bits: 0x0A00_0000_0001)), "mac/\(zeros)9/0a:00:00:00:00:01"),
            (KeySpace.ports(node, PublishedPort(hostPort: 80, guestPort: 1)), "node/\(host)/port/tcp/00080/4/"),
            (KeySpace.port(node, PublishedPort(hostPort: 80, guestPort: 1)), "node/\(host)/port/tcp/00080/4/127.0.0.1"),
            (
                KeySpace.port(node, PublishedPort(bind: ip("0.0.0.0"), hostPort: 80, guestPort: 1)),
                "node/\(host)/port/tcp/00080/4/any"
            ),
            (
                KeySpace.port(node, PublishedPort(bind: ip("::1"), hostPort: 53, guestPort: 1, transport: .udp)),
                "node/\(host)/port/udp/00053/6/::1"
            ),
            (
                KeySpace.portOnEveryAddress(node, PublishedPort(bind: ip("::1"), hostPort: 53, guestPort: 1)),
                "node/\(host)/port/tcp/00053/6/any"
            ),
            (KeySpace.name(.machine, "default", "web"), "name/vm/default/web"),
            (KeySpace.name(.image, "default", "reg.io:5000/a/b@x"), "name/image/default/reg.io:5000%2Fa%2Fb@x"),
            (KeySpace.defaultKernel("default"), "default/kernel/default"),
            (KeySpace.requests, "request/"),
            (KeySpace.request("default", "é/ 1"), "request/default/%C3%A9%2F%201"),
            (KeySpace.allEvents, "event/"),
            (KeySpace.events(.standard), "event/default/"),
            (KeySpace.event("team", EventID(high: 0, low: 1)), "event/team/\(zeros)1"),
            (KeySpace.election("a/b"), "election/a%2Fb"),
            (KeySpace.openWork("jobs"), "queue/jobs/open/"),
            (KeySpace.work("jobs", "1"), "queue/jobs/open/item/1"),
            (KeySpace.claims("jobs"), "queue/jobs/open/claim/"),
            (KeySpace.claim("jobs", "1"), "queue/jobs/open/claim/1"),
            (KeySpace.finishedWork("jobs", "1"), "queue/jobs/done/1"),
        ]
        for (key, text) in table { #expect(key.text == text) }
    }

    private let net = NetworkID(high: 0, low: 9)
    private func ip(_ text: String) -> IPAddress { IPAddress(text) ?? .v4(IPv4Address(bits: 0)) }
    private let zeros = "00000000-0000-0000-0000-00000000000"

    @Test("what is in a key is read back, and no other key is taken for it")
    func parsing() {
        let spec = KeySpace.resource(KeySpace.spec("team", machine), VirtualMachine.self)
        #expect(spec?.tenant == "team" && spec?.id == machine && spec?.isSpec == true)
        #expect(KeySpace.resource(KeySpace.status("team", machine), VirtualMachine.self)?.isSpec == false)
        #expect(KeySpace.resource(KeySpace.spec("team", image), VirtualMachine.self) == nil)
        #expect(KeySpace.resource("vm/team/x/spec", VirtualMachine.self) == nil)
        #expect(KeySpace.resource("vm/team/\(machine)/other", VirtualMachine.self) == nil)
        #expect(KeySpace.boundMachine(KeySpace.binding(node, machine)) == machine)
        let address = KeySpace.networkAddress(KeySpace.rest(net, ip("fd00::5")))
        #expect(address?.network == net && address?.address == ip("fd00::5"))
        #expect(KeySpace.networkAddress("addr/x/10.0.0.1") == nil && KeySpace.networkAddress("addr/\(net)/x") == nil)
        let event = EventID(high: 0, low: 1)
        #expect(KeySpace.event(KeySpace.event("team", event)) == event)
        #expect(KeySpace.event("event/team/x") == nil && KeySpace.event("events/team/\(event)") == nil)
        #expect(KeySpace.slot(KeySpace.uid(node, 4095)) == 4095)
    }
}
