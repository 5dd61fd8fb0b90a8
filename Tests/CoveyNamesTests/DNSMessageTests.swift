import CoveyModel
import CoveyNames
import CoveyTesting
import Testing

func name(_ text: String) throws -> DNSName { try #require(DNSName(text)) }

func v4(_ text: String) throws -> IPv4Address { try #require(IPv4Address(text)) }

func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

/// Bytes of hex digits, with spaces anywhere.
func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.filter { !$0.isWhitespace }.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}

@Suite struct DNSMessageTests {
    /// What dig 9.18 sends for `web.vm A`, with its cookie taken out.
    private let question = bytes(
        "8a2f 0120 0001 0000 0000 0001 03 776562 02 766d 00 0001 0001 00 0029 04d0 0000 0000 0000")

    @Test("a question of dig is read, and written back byte for byte")
    func golden() throws {
        let message = try DNSMessage(decoding: question)
        #expect(message.id == 0x8a2f)
        #expect(message.questions == [DNSQuestion(try name("web.vm"), .a)])
        #expect(message.recursionDesired && !message.isResponse && message.isAuthentic)
        #expect(message.edns == DNSExtension(payloadSize: 1232))
        #expect(message.encoded() == question)
    }

    @Test("an answer has the golden bytes, names compressed")
    func goldenAnswer() throws {
        var answer = try DNSMessage(decoding: question).response()
        answer.isAuthoritative = true
        answer.answers = [
            DNSRecord(try name("web.vm"), .cname, timeToLive: 1, .name(try name("www.web.vm"))),
            .address(try name("www.web.vm"), try address("10.1.2.3"), timeToLive: 0),
            .address(try name("WEB.vm"), try address("fd00::3"), timeToLive: 60),
        ]
        let wanted = bytes(
            """
            8a2f 8580 0001 0003 0000 0001 03 776562 02 766d 00 0001 0001
            c00c 0005 0001 00000001 0006 03 777777 c00c
            c024 0001 0001 00000000 0004 0a010203
            c00c 001c 0001 0000003c 0010 fd00 0000 0000 0000 0000 0000 0000 0003
            00 0029 04d0 0000 0000 0000
            """)
        #expect(answer.encoded() == wanted)
        #expect(try DNSMessage(decoding: wanted) == answer)
    }

    @Test("names are equal whatever their case, and a name is within its parents alone")
    func names() throws {
        #expect(try name("Web.VM") == name("web.vm."))
        #expect(try name("Web.VM").wire == bytes("03 576562 02 564d 00"))
        #expect(try name("a.web.vm").isWithin(name("web.vm")))
        #expect(try name("web.vm").isWithin(name("web.vm")))
        #expect(try name("web.vm").isWithin(.root))
        #expect(try !name("aweb.vm").isWithin(name("web.vm")))
        #expect(try !name("vm").isWithin(name("web.vm")))
        #expect(DNSName(String(repeating: "a", count: 64)) == nil)
        #expect(DNSName("a..b") == nil)
        #expect(DNSName((0..<128).map { _ in "a" }.joined(separator: ".")) == nil)
        #expect(DNSName((0..<127).map { _ in "a" }.joined(separator: "."))?.wire.count == 255)
        #expect(try name("a\u{e9}.b").description == "a\\195\\169.b")
    }

    @Test(
        "a name that runs in a circle, forward or too far is refused",
        arguments: [
            "c00c", "c00e", "0161c00c", "c0ff", "80", "41", "3f",
        ])
    func pointers(_ hex: String) {
        let message = bytes("0001 0100 0001 0000 0000 0000" + hex + "0001 0001")
        #expect(throws: DNSDecodingError.self) { try DNSMessage(decoding: message) }
    }

    @Test("a chain of pointers is followed so far and no farther")
    func chain() throws {
        // A name in the first question; each further one is a pointer to the one before it.
        func message(_ count: Int) -> [UInt8] {
            var message = bytes("0001 0100") + [UInt8(count >> 8), UInt8(count & 255)] + bytes("0000 0000 0000")
            var before = message.count
            message += bytes("0161 00 0001 0001")
            for _ in 1..<count {
                let here = message.count
                message += [0xC0 | UInt8(before >> 8), UInt8(before & 255)] + bytes("0001 0001")
                before = here
            }
            return message
        }
        #expect(try DNSMessage(decoding: message(33)).questions.count == 33)
        #expect(throws: DNSDecodingError.badName) { try DNSMessage(decoding: message(34)) }
    }

    @Test("names within the data of other types lose their compression, and stay what they are")
    func otherTypes() throws {
        let message = bytes(
            """
            0001 8180 0001 0002 0000 0000 07 6578616d706c65 03 6f7267 00 000f 0001
            c00c 000f 0001 0000003c 0009 000a 04 6d61696c c00c
            c00c 0021 0001 0000003c 000c 0001 0002 0050 03 777777 c00c
            """)
        let read = try DNSMessage(decoding: message)
        #expect(read.answers[0].content == .other(bytes("000a") + (try name("mail.example.org").wire)))
        #expect(read.answers[1].content == .other(bytes("0001 0002 0050") + (try name("www.example.org").wire)))
        #expect(try DNSMessage(decoding: read.encoded()) == read)
    }

    @Test("an answer that is too large says so and holds the question alone")
    func truncation() throws {
        var answer = DNSMessage(id: 7, question: DNSQuestion(try name("many.vm"), .a)).response()
        answer.answers = try (0..<40).map { .address(try name("many.vm"), .v4(IPv4Address(bits: $0)), timeToLive: 1) }
        let cut = try DNSMessage(decoding: answer.encoded(limit: 512))
        #expect(cut.isTruncated && cut.answers.isEmpty && cut.questions == answer.questions)
        #expect(try !DNSMessage(decoding: answer.encoded(limit: 1232)).isTruncated)
        answer.additionals = answer.answers
        let shorter = try DNSMessage(decoding: answer.encoded(limit: 700))
        #expect(!shorter.isTruncated && shorter.answers.count == 40 && shorter.additionals.isEmpty)
    }

    @Test("no bytes crash the reader, and what it reads is read again from what it writes", arguments: 0..<8)
    func fuzz(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var message = try DNSMessage(decoding: question).response()
        message.answers = [
            DNSRecord(try name("web.vm"), .cname, timeToLive: 1, .name(try name("a.b.c.example"))),
            .address(try name("a.b.c.example"), try address("10.0.0.1"), timeToLive: 5),
            DNSRecord(try name("web.vm"), .mx, timeToLive: 1, .other([0, 1] + (try name("mail.vm").wire))),
            DNSRecord(try name("web.vm"), .txt, timeToLive: 1, .other(Array(4...20))),
        ]
        let good = message.encoded()
        var readable = 0
        for round in 0..<4000 {
            var bytes = good
            if round % 4 == 0 {
                bytes = (0..<Int.random(in: 0...96, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
            } else {
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                if round % 4 == 1 { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
            }
            guard let read = try? DNSMessage(decoding: bytes) else { continue }
            readable += 1
            let written = read.encoded()
            let again = try DNSMessage(decoding: written)
            #expect(again == read, "seed \(seed), round \(round)")
        }
        #expect(readable > 100)
    }
}
