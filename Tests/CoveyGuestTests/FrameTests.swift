import CoveyGuestProtocol
import Testing

func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

@Suite struct FrameTests {
    @Test("the checksum is CRC-32C")
    func checksum() {
        #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.checksum((0..<32).map { UInt8($0) }) == 0x46DD_794E)
    }

    @Test("a frame's bytes are as documented")
    func golden() {
        let frame = Frame(
            session: 0x1122_3344_5566_7788, channel: 7, type: .output, payload: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0x68])
        #expect(hex(frame.bytes) == goldenFrame)
        #expect(frame.bytes.count == Frame.headerLength + 10)
        #expect(hex(SessionMarker.bytes) == "f7fdfefa436f766579f8f9fbfcf6c0c1")
    }

    @Test("the guest finds a session wherever its marker comes, whatever is before it and however it is cut")
    func resynchronises() {
        var seeded = Seeded(state: 3)
        for round in 0..<200 {
            let old = Frame(
                session: 1, channel: 0, type: .request, payload: seeded.bytes(Int.random(in: 0...300, using: &seeded)))
            let host = HostSideSession(session: 2)
            let stream = seeded.bytes(round % 40) + old.bytes.dropLast(round % 60) + host.opening
            var reader = GuestFrameReader()
            var found: [GuestFrameReader.Found] = []
            var position = 0
            while position < stream.count {
                let count = Int.random(in: 1...50, using: &seeded)
                reader.append(Array(stream[position..<min(position + count, stream.count)]))
                while let next = reader.next() { found.append(next) }
                position += count
            }
            guard case .opened(let frame)? = found.first else {
                Issue.record("round \(round): no session was found")
                return
            }
            #expect(frame.session == 2)
            #expect(found.count == 1)
        }
    }

    @Test("the host skips what older sessions left, and takes nothing of theirs")
    func hostSkips() throws {
        var seeded = Seeded(state: 4)
        for cut in 0..<80 {
            let old = Frame(session: 1, channel: 0, type: .hello, payload: seeded.bytes(30)).bytes
            let hello = Frame(session: 2, channel: 0, type: .hello, payload: [9]).bytes
            var reader = HostFrameReader(session: 2)
            reader.append(old + Array(old.dropFirst(cut)) + Array(old.dropLast(cut)))
            #expect(try reader.next() == nil)
            reader.append(hello)
            #expect(try reader.next() == Frame(session: 2, channel: 0, type: .hello, payload: [9]))
            #expect(try reader.next() == nil)
        }
    }

    @Test("any bit that flips in a frame ends the session, on either side")
    func flips() throws {
        let frame = Frame(session: 2, channel: 0, type: .reply, payload: [1, 1, 5]).bytes
        let host = HostSideSession(session: 2)
        let request = Frame(session: 2, channel: 0, type: .request, payload: [1, 1, 5, 2, 1, 10]).bytes
        for bit in 0..<(frame.count * 8) {
            var reader = HostFrameReader(session: 2)
            reader.append(Frame(session: 2, channel: 0, type: .hello, payload: []).bytes)
            _ = try reader.next()
            var flipped = frame
            flipped[bit / 8] ^= 1 << (bit % 8)
            reader.append(flipped + frame)
            #expect(throws: FrameFault.self) { _ = try reader.next() }
        }
        for bit in 0..<(request.count * 8) {
            var reader = GuestFrameReader()
            var flipped = request
            flipped[bit / 8] ^= 1 << (bit % 8)
            reader.append(host.opening + flipped)
            guard case .opened? = reader.next(), case .broken? = reader.next() else {
                Issue.record("bit \(bit) went unseen")
                return
            }
        }
    }

    @Test("input that contains the session marker arrives whole and opens no session")
    func marker() throws {
        var host = HostSideSession(session: 5)
        let channel = host.newChannel()
        var data: [UInt8] = [1, 2]
        for _ in 0..<5000 { data += SessionMarker.bytes }
        var side = GuestSideSession()
        side.receive(host.opening + host.input(channel: channel, offset: 10, data))
        guard case .opened? = side.next() else {
            Issue.record("the session did not open")
            return
        }
        var arrived: [UInt8] = []
        while let input = side.next() {
            guard case .input(channel, let offset, let bytes) = input else {
                Issue.record("unexpected \(input)")
                return
            }
            #expect(Int(offset) == 10 + arrived.count)
            arrived += bytes
        }
        #expect(arrived == data)
    }
}
