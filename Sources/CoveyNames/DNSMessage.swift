package import CoveyModel

/// The type of a record or question.
package struct DNSType: RawRepresentable, Hashable, Sendable {
    /// The number of IANA's registry.
    package let rawValue: UInt16
    /// A type by its number.
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let a = DNSType(rawValue: 1)
    package static let ns = DNSType(rawValue: 2)
    package static let cname = DNSType(rawValue: 5)
    package static let soa = DNSType(rawValue: 6)
    package static let ptr = DNSType(rawValue: 12)
    package static let mx = DNSType(rawValue: 15)
    package static let txt = DNSType(rawValue: 16)
    package static let aaaa = DNSType(rawValue: 28)
    package static let srv = DNSType(rawValue: 33)
    package static let dname = DNSType(rawValue: 39)
    package static let opt = DNSType(rawValue: 41)
    package static let axfr = DNSType(rawValue: 252)
    package static let any = DNSType(rawValue: 255)

    /// Whether it stands in questions alone, or in transactions between servers: 128 to 255, but `ANY`, and `OPT`.
    package var isMeta: Bool { (128...254).contains(rawValue) || self == .opt }
}

/// How an answer came out.
package struct DNSResponseCode: RawRepresentable, Hashable, Sendable {
    /// The number of IANA's registry, 12 bits with EDNS.
    package let rawValue: UInt16
    /// A code by its number.
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let success = DNSResponseCode(rawValue: 0)
    package static let formatError = DNSResponseCode(rawValue: 1)
    package static let serverFailure = DNSResponseCode(rawValue: 2)
    package static let noSuchName = DNSResponseCode(rawValue: 3)
    package static let notImplemented = DNSResponseCode(rawValue: 4)
    package static let refused = DNSResponseCode(rawValue: 5)
    package static let badVersion = DNSResponseCode(rawValue: 16)
}

/// What is asked.
package struct DNSQuestion: Hashable, Sendable {
    /// The name.
    package var name: DNSName
    /// The type.
    package var type: DNSType
    /// The class: 1 is the internet.
    package var recordClass: UInt16

    /// A question of the internet's class.
    package init(_ name: DNSName, _ type: DNSType, recordClass: UInt16 = 1) {
        self.name = name
        self.type = type
        self.recordClass = recordClass
    }
}

/// The start of a zone of authority. Source: RFC 1035 3.3.13, RFC 2308.
package struct DNSAuthority: Hashable, Sendable {
    /// The primary server.
    package var server: DNSName
    /// The mailbox, as a name.
    package var mailbox: DNSName
    /// Serial, refresh, retry and expire.
    package var times: [UInt32]
    /// How long an absence may be kept, in seconds.
    package var minimum: UInt32
}

/// A record.
package struct DNSRecord: Hashable, Sendable {
    /// What a record says.
    package enum Content: Hashable, Sendable {
        /// Of `A` and `AAAA`.
        case address(IPAddress)
        /// Of `CNAME`, `NS`, `PTR` and `DNAME`.
        case name(DNSName)
        /// Of `SOA`.
        case authority(DNSAuthority)
        /// Of all others: the data, names in it without compression.
        case other([UInt8])
    }

    /// Whose it is.
    package var name: DNSName
    /// Its type.
    package var type: DNSType
    /// Its class.
    package var recordClass: UInt16
    /// How long it may be kept, in seconds.
    package var timeToLive: UInt32
    /// What it says.
    package var content: Content

    /// Puts the parts together, of the internet's class.
    package init(_ name: DNSName, _ type: DNSType, timeToLive: UInt32, _ content: Content, recordClass: UInt16 = 1) {
        self.name = name
        self.type = type
        self.recordClass = recordClass
        self.timeToLive = timeToLive
        self.content = content
    }

    /// An `A` or `AAAA` record.
    package static func address(_ name: DNSName, _ address: IPAddress, timeToLive: UInt32) -> DNSRecord {
        let type: DNSType =
            switch address {
            case .v4: .a
            case .v6: .aaaa
            }
        return DNSRecord(name, type, timeToLive: timeToLive, .address(address))
    }
}

/// What a message says beyond RFC 1035: the `OPT` record. Source: RFC 6891.
package struct DNSExtension: Hashable, Sendable {
    /// The largest UDP message that the sender takes, in bytes.
    package var payloadSize: UInt16
    /// The version; we speak 0.
    package var version: UInt8
    /// Whether records of DNSSEC are wanted.
    package var wantsSignatures: Bool
    /// Why an answer is as it is; nil says nothing. Source: RFC 8914.
    package var reason: UInt16?

    /// Makes one.
    package init(payloadSize: UInt16 = 1232, version: UInt8 = 0, wantsSignatures: Bool = false, reason: UInt16? = nil) {
        self.payloadSize = payloadSize
        self.version = version
        self.wantsSignatures = wantsSignatures
        self.reason = reason
    }
}

/// A message. Source: RFC 1035 4.
package struct DNSMessage: Hashable, Sendable {
    /// Ties an answer to its question.
    package var id: UInt16
    /// Whether it is an answer.
    package var isResponse: Bool
    /// The kind of question; 0 is the usual.
    package var opcode: UInt8
    /// Whether the answer is the zone's own.
    package var isAuthoritative: Bool
    /// Whether the answer was cut.
    package var isTruncated: Bool
    /// Whether the asker wants others to be asked.
    package var recursionDesired: Bool
    /// Whether the answerer asks others.
    package var recursionAvailable: Bool
    /// Whether the answerer found the signatures good.
    package var isAuthentic: Bool
    /// Whether the asker checks signatures by itself.
    package var checkingDisabled: Bool
    /// How it came out.
    package var code: DNSResponseCode
    /// What is asked.
    package var questions: [DNSQuestion]
    /// The answer.
    package var answers: [DNSRecord]
    /// Who is responsible.
    package var authorities: [DNSRecord]
    /// What is said beside, without the extension.
    package var additionals: [DNSRecord]
    /// What is said beyond RFC 1035; nil where the sender knows none of it.
    package var edns: DNSExtension?

    /// A question.
    package init(id: UInt16, question: DNSQuestion, edns: DNSExtension? = nil) {
        self.init(id: id)
        recursionDesired = true
        questions = [question]
        self.edns = edns
    }

    /// An empty message.
    init(id: UInt16) {
        self.id = id
        isResponse = false
        opcode = 0
        isAuthoritative = false
        isTruncated = false
        recursionDesired = false
        recursionAvailable = false
        isAuthentic = false
        checkingDisabled = false
        code = .success
        questions = []
        answers = []
        authorities = []
        additionals = []
    }

    /// The empty answer to this question.
    package func response(_ code: DNSResponseCode = .success, reason: UInt16? = nil) -> DNSMessage {
        var answer = DNSMessage(id: id)
        answer.isResponse = true
        answer.opcode = opcode
        answer.recursionDesired = recursionDesired
        answer.recursionAvailable = true
        answer.checkingDisabled = checkingDisabled
        answer.code = code
        answer.questions = questions
        if let edns {
            answer.edns = DNSExtension(wantsSignatures: edns.wantsSignatures, reason: reason)
        }
        return answer
    }

    /// The largest answer that the asker takes by UDP, in bytes. Never above 1232, so that none is cut into fragments.
    package var payloadLimit: Int { min(max(Int(edns?.payloadSize ?? 512), 512), 1232) }
}
