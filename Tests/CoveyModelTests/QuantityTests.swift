import CoveyModel
import Testing

@Suite struct ByteCountTests {
    @Test(
        "a size is read in powers of two",
        arguments: [
            ("0", 0), ("1000", 1000), ("512M", 512 << 20), ("4G", 4 << 30), ("4GiB", 4 << 30), ("4gb", 4 << 30),
            ("1k", 1024), ("2T", 2 << 40), ("007K", 7 << 10),
        ] as [(String, Int64)])
    func reads(text: String, bytes: Int64) { #expect(ByteCount(text) == ByteCount(bytes)) }

    @Test("what is no size is refused", arguments: ["", "G", "-1", "1.5G", "4X", "9999999999T", " 4G", "4 G", "0x10"])
    func refuses(text: String) { #expect(ByteCount(text) == nil) }

    @Test("the text of a size is read back as the same size")
    func roundTrip() {
        var generator = SystemRandomNumberGenerator()
        for shift in 0..<50 {
            let size = ByteCount(Int64.random(in: 0..<(1 << 12), using: &generator) << Int64(shift % 40))
            #expect(ByteCount(size.description) == size)
        }
        #expect(ByteCount.mebibytes(1536).description == "1536M")
        #expect(ByteCount.gibibytes(4).description == "4G")
    }

    @Test("a rounded size has two figures below ten")
    func rounded() {
        #expect(ByteCount(1_288_490_189).rounded == "1.2 GiB")
        #expect(ByteCount.mebibytes(96).rounded == "96 MiB")
        #expect(ByteCount(12).rounded == "12 B")
    }
}

@Suite struct DurationTextTests {
    @Test(
        "a duration is read with its units",
        arguments: [("90s", 90_000), ("10m", 600_000), ("1h30m", 5_400_000), ("250ms", 250), ("7d", 604_800_000)]
            as [(String, Int64)])
    func reads(text: String, milliseconds: Int64) { #expect(Duration(text: text) == .milliseconds(milliseconds)) }

    @Test("what is no duration is refused", arguments: ["", "10", "s", "-1s", "1y", "1.5s", "99999999999999999d"])
    func refuses(text: String) { #expect(Duration(text: text) == nil) }

    @Test("the text of a duration is read back as the same duration")
    func roundTrip() {
        for milliseconds in [1, 999, 1000, 61_001, 3_600_000, 90_061_001] as [Int64] {
            let duration = Duration.milliseconds(milliseconds)
            #expect(Duration(text: duration.text) == duration)
        }
        #expect(Duration.seconds(90).text == "1m30s")
    }
}

@Suite struct TimestampTests {
    @Test(
        "an instant is written and read as RFC 3339",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_798_761_599_999, "2026-12-31T23:59:59.999Z"), (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] as [(Int64, String)])
    func bothWays(milliseconds: Int64, text: String) {
        #expect(Timestamp(milliseconds: milliseconds).description == text)
        #expect(Timestamp(text)?.milliseconds == milliseconds)
    }

    @Test("every day of four hundred years is read back")
    func days() {
        for day in stride(from: Int64(-30_000), to: 116_000, by: 1) {
            let instant = Timestamp(milliseconds: day * 86_400_000)
            guard Timestamp(instant.description) == instant else {
                Issue.record("\(instant) is not read back")
                return
            }
        }
    }

    @Test(
        "what is no instant in UTC is refused",
        arguments: ["", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "x"])
    func refuses(text: String) { #expect(Timestamp(text) == nil) }

    @Test("a fraction may have any number of digits up to nine")
    func fractions() {
        #expect(Timestamp("1970-01-01T00:00:00.5Z")?.milliseconds == 500)
        #expect(Timestamp("1970-01-01T00:00:00.123456789Z")?.milliseconds == 123)
        #expect(Timestamp("1970-01-01T00:00:00Z")?.milliseconds == 0)
    }
}

@Suite struct IdentifierTests {
    @Test("an id is a UUID of version 7 that sorts by time and is read back from its text")
    func version7() {
        var last: MachineID?
        for millisecond in 0..<200 {
            let time = Timestamp(milliseconds: 1_800_000_000_000 + Int64(millisecond))
            let id = IdentifierSource(time: { time }).next(VirtualMachine.self)
            let text = id.description
            #expect(text.count == 36)
            #expect(Array(text)[14] == "7")
            #expect("89ab".contains(Array(text)[19]))
            #expect(MachineID(text) == id)
            if let last { #expect(last < id) }
            last = id
        }
    }

    @Test(
        "what is no id is refused",
        arguments: [
            "", "0198", "0198c0de-0000-7000-8000-00000000000", "0198C0DE-0000-7000-8000-000000000000",
            "0198c0de-0000-7000-8000-0000000000zz", "0198c0de00007000-8000-0000-000000000000",
        ])
    func refuses(text: String) { #expect(MachineID(text) == nil) }

    @Test("ids made in one millisecond have different tails")
    func tails() {
        let source = IdentifierSource(time: { Timestamp(milliseconds: 1) })
        let tails = Set((0..<1000).map { _ in source.next(VirtualMachine.self).tail(12) })
        #expect(tails.count == 1000)
    }

    @Test("an instance id is eight lower-case hex digits")
    func instance() {
        #expect(InstanceID(random: 0xAB).description == "000000ab")
        #expect(InstanceID("deadbeef") != nil)
        #expect(InstanceID("DEADBEEF") == nil)
        #expect(InstanceID("deadbee") == nil)
    }
}

@Suite struct NameTests {
    @Test("DNS labels pass", arguments: ["a", "web-1", "0", String(repeating: "x", count: 63)])
    func labels(name: String) throws { try Names.checkLabel(name, kind: "vm") }

    @Test(
        "what is no DNS label is refused with a remedy",
        arguments: ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a b", String(repeating: "x", count: 64), "a\n"])
    func notLabels(name: String) {
        let error = #expect(throws: CoveyError.self) { try Names.checkLabel(name, kind: "vm") }
        #expect(error?.code == .invalid)
        #expect(error?.remedy != nil)
    }

    @Test(
        "image names are written as docker does",
        arguments: ["debian", "debian:bookworm", "r.example.com:5000/team/app:1.2", "a@sha256:00"])
    func images(name: String) throws { try Names.checkImage(name) }

    @Test("other image names are refused", arguments: ["", "../x", "/abs", "a//b", "a b", "-x", "a\u{0}"])
    func notImages(name: String) { #expect(throws: CoveyError.self) { try Names.checkImage(name) } }
}
