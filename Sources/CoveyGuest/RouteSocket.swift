internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Speaks to the kernel about links, addresses and routes of the network namespace that it was opened in.
/// The kernel answers before it returns: nothing here waits.
final class RouteSocket {
    private static let netlink: Int32 = 16
    private static let errorMessage: UInt16 = 2
    private static let endMessage: UInt16 = 3

    private let descriptor: FileDescriptor
    private var sequence: UInt32 = 0

    /// Opens it.
    init() throws(SystemError) {
        descriptor = FileDescriptor(
            owning: try check("socket", "netlink") {
                socket(RouteSocket.netlink, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            })
    }

    /// Has something done. Errors: the kernel's, about `subject`.
    func perform(_ message: RouteMessage, _ subject: String) throws(SystemError) {
        try post(message)
        while let answers = try readSome(descriptor.raw, limit: 65536), !answers.isEmpty {
            for answer in try split(answers) where answer.type == RouteSocket.errorMessage {
                let code = answer.body.native(Int32.self, at: answer.body.startIndex)
                if code == 0 { return }
                throw SystemError("rtnetlink \(message.kind)", subject, errno: -code)
            }
        }
        throw SystemError("rtnetlink \(message.kind)", subject, errno: EPROTO)
    }

    /// All links.
    func links() throws(SystemError) -> [RouteLink] {
        try post(.links)
        var links: [RouteLink] = []
        while let answers = try readSome(descriptor.raw, limit: 65536), !answers.isEmpty {
            for answer in try split(answers) {
                switch answer.type {
                case RouteSocket.endMessage: return links
                case RouteSocket.errorMessage:
                    let code = answer.body.native(Int32.self, at: answer.body.startIndex)
                    throw SystemError("rtnetlink", "links", errno: -code)
                case RouteMessage.Kind.setLink.rawValue: if let link = RouteLink(answer.body) { links.append(link) }
                case _: break
                }
            }
        }
        throw SystemError("rtnetlink", "links", errno: EPROTO)
    }

    private func post(_ message: RouteMessage) throws(SystemError) {
        sequence += 1
        let bytes = message.bytes(sequence: sequence)
        try check("send", "netlink") { send(descriptor.raw, bytes, bytes.count, 0) }
    }

    /// The messages of what was read that answer the last one sent. Errors: `EPROTO` for what is cut off.
    private func split(_ bytes: [UInt8]) throws(SystemError) -> [(type: UInt16, body: ArraySlice<UInt8>)] {
        var messages: [(type: UInt16, body: ArraySlice<UInt8>)] = []
        var position = 0
        while position + 16 <= bytes.count {
            let length = Int(bytes[...].native(UInt32.self, at: position))
            let type = bytes[...].native(UInt16.self, at: position + 4)
            let least = type == RouteSocket.errorMessage ? 20 : 16
            guard length >= least, length <= bytes.count - position else {
                throw SystemError("recv", "netlink", errno: EPROTO)
            }
            if bytes[...].native(UInt32.self, at: position + 8) == sequence {
                messages.append((type, bytes[(position + 16)..<(position + length)]))
            }
            position += (length + 3) / 4 * 4
        }
        return messages
    }
}
