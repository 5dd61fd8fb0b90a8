import CoveyModel
import CoveySystem
import Glibc
import Synchronization

/// A server on loopback that answers as a test says, also what no server should.
final class FakeServer: Sendable {
    struct Request: Sendable {
        var method: String
        var path: String
        var headers: [String: String]
        /// How often this path has been asked for, this one included.
        var count: Int
    }

    struct Answer: Sendable {
        var status = 200
        var headers: [String: String] = [:]
        var body: [UInt8] = []
        /// What is said to be the length; nil is the truth.
        var length: Int?
        /// Where the connection is reset; nil for not at all.
        var cutAfter: Int?
        /// Whether it falls silent instead of ending.
        var stalls = false
        /// Bytes are sent singly with this pause.
        var drip: Duration?
    }

    private struct State {
        var counts: [String: Int] = [:]
        var seen: [Request] = []
        var open: Set<Int32> = []
        var ended = false
    }

    let port: UInt16
    private let listener: Int32
    private let state: Shared
    private let handler: @Sendable (Request) -> Answer

    /// Held by the threads, which outlive the server.
    private final class Shared: Sendable {
        let value = Mutex(State())
    }

    init(_ handler: @escaping @Sendable (Request) -> Answer) throws {
        self.handler = handler
        let listener = try check("socket") { socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(O_CLOEXEC), 0) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) {
            try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                try check("bind") { bind(listener, pointer, size) }
                try check("listen") { listen(listener, 64) }
                try check("getsockname") { getsockname(listener, pointer, &size) }
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        self.listener = listener
        let state = Shared()
        self.state = state
        startThread(named: "fake-server") {
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                let ended = state.value.withLock { value in
                    value.open.insert(connection)
                    return value.ended
                }
                if ended { return }
                startThread(named: "fake-client") {
                    FakeServer.serve(connection, state, handler)
                    _ = state.value.withLock { $0.open.remove(connection) }
                    close(connection)
                }
            }
        }
    }

    deinit {
        state.value.withLock { value in
            value.ended = true
            for connection in value.open { shutdown(connection, Int32(SHUT_RDWR)) }
        }
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    var host: String { "127.0.0.1:\(port)" }

    /// What was asked, in order.
    var seen: [Request] { state.value.withLock(\.seen) }

    private static func serve(_ connection: Int32, _ state: Shared, _ handler: @Sendable (Request) -> Answer) {
        var buffer: [UInt8] = []
        while true {
            while buffer.firstRange(of: Array("\r\n\r\n".utf8)) == nil {
                guard let part = try? readSome(connection), !part.isEmpty else { return }
                buffer += part
            }
            guard let end = buffer.firstRange(of: Array("\r\n\r\n".utf8)) else { return }
            let lines = String(decoding: buffer[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
            buffer.removeSubrange(..<end.upperBound)
            let words = (lines.first ?? "").split(separator: " ")
            guard words.count == 3 else { return }
            var headers: [String: String] = [:]
            for line in lines.dropFirst() {
                let parts = line.split(separator: ":", maxSplits: 1)
                let value = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
                headers[parts[0].lowercased(), default: ""] += value
            }
            let length = Int(headers["content-length"] ?? "0") ?? 0
            while buffer.count < length {
                guard let part = try? readSome(connection), !part.isEmpty else { return }
                buffer += part
            }
            buffer.removeFirst(length)
            let path = String(words[1])
            let request = state.value.withLock { value in
                value.counts[path, default: 0] += 1
                let request = Request(
                    method: String(words[0]), path: path, headers: headers, count: value.counts[path] ?? 1)
                value.seen.append(request)
                return request
            }
            guard send(handler(request), to: connection, headOnly: request.method == "HEAD") else { return }
        }
    }

    /// Returns whether the connection goes on.
    private static func send(_ answer: Answer, to connection: Int32, headOnly: Bool) -> Bool {
        var head = "HTTP/1.1 \(answer.status) X\r\n"
        for (name, value) in answer.headers { head += "\(name): \(value)\r\n" }
        head += "Content-Length: \(answer.length ?? answer.body.count)\r\n\r\n"
        func put(_ bytes: ArraySlice<UInt8>) -> Bool {
            var rest = bytes
            while !rest.isEmpty {
                let sent = rest.withUnsafeBytes {
                    Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard sent > 0 else { return false }
                rest = rest.dropFirst(sent)
            }
            return true
        }
        guard put(Array(head.utf8)[...]) else { return false }
        if headOnly { return true }
        let body = answer.body[..<min(answer.cutAfter ?? answer.body.count, answer.body.count)]
        if let drip = answer.drip {
            for byte in body {
                guard put([byte]) else { return false }
                usleep(UInt32(drip.components.attoseconds / 1_000_000_000_000))
            }
        } else {
            guard put(body) else { return false }
        }
        if answer.stalls {
            // Until the other side gives up.
            while let part = try? readSome(connection), !part.isEmpty {}
            return false
        }
        if answer.cutAfter != nil {
            // A reset and no orderly end.
            var linger = linger(l_onoff: 1, l_linger: 0)
            setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
            return false
        }
        return true
    }
}
