internal import Glibc

/// Finds frames in what a host sends.
///
/// The stream has no connection boundaries, so every session begins with ``SessionMarker``, which occurs nowhere else
/// in what a host sends: wherever it comes, also within half a frame of an older session, the reader begins anew.
package struct GuestFrameReader {
    /// What was found.
    package enum Found: Hashable, Sendable {
        /// A session begins: its `open` frame.
        case opened(Frame)
        /// A frame of the session that is open.
        case frame(Frame)
        /// The session that was open is broken; nothing more comes before the next one opens.
        case broken(FrameFault)
    }

    private enum State { case searching, opening, open(UInt64) }

    private var buffer: [UInt8] = []
    private var head = 0
    private var searched = 0
    private var markers: [Int] = []
    private var state = State.searching

    /// A reader that waits for a session.
    package init() {}

    /// Bytes that are held.
    package var held: Int { buffer.count - head }

    /// Forgets what is half read, and the session.
    package mutating func reset() { self = GuestFrameReader() }

    /// Gives up the session that is open: nothing more comes before the next one opens.
    package mutating func closeSession() { state = .searching }

    /// Takes bytes.
    package mutating func append(_ bytes: [UInt8]) {
        buffer += bytes
        var from = max(head, searched - (SessionMarker.bytes.count - 1))
        while let position = SessionMarker.position(in: buffer, from: from) {
            markers.append(position)
            from = position + SessionMarker.bytes.count
        }
        searched = max(from, buffer.count)
    }

    /// The next thing found; nil where more bytes are needed.
    package mutating func next() -> Found? {
        while true {
            if case .searching = state {
                guard !markers.isEmpty else {
                    drop(through: max(head, buffer.count - (SessionMarker.bytes.count - 1)))
                    return nil
                }
                drop(through: markers.removeFirst() + SessionMarker.bytes.count)
                state = .opening
            }
            let limit = markers.first ?? buffer.count
            do throws(FrameFault) {
                if let frame = try parse(limit) {
                    switch state {
                    case .searching: continue
                    case .opening:
                        guard frame.type == .open, frame.channel == 0 else {
                            throw FrameFault("a session did not open")
                        }
                        state = .open(frame.session)
                        return .opened(frame)
                    case .open(let session):
                        if frame.session != session { continue }
                        if frame.type == .open { throw FrameFault("a session opened twice") }
                        return .frame(frame)
                    }
                }
                if markers.isEmpty { return nil }
                state = .searching
            } catch {
                let wasOpen = if case .open = state { true } else { false }
                state = .searching
                if wasOpen { return .broken(error) }
            }
        }
    }

    private mutating func parse(_ limit: Int) throws(FrameFault) -> Frame? {
        guard head + Frame.headerLength <= limit else { return nil }
        let header = try FrameHeader(buffer, at: head)
        let start = head + Frame.headerLength
        guard start + header.length <= limit else { return nil }
        let frame = try header.frame(Array(buffer[start..<(start + header.length)]))
        drop(through: start + header.length)
        return frame
    }

    private mutating func drop(through position: Int) {
        head = position
        guard head > Frame.longestPayload || head >= buffer.count else { return }
        let gone = min(head, buffer.count)
        buffer.removeFirst(gone)
        head -= gone
        searched = max(0, searched - gone)
        for index in markers.indices { markers[index] -= gone }
    }
}

/// The 16 bytes before each session's first frame. They are no UTF-8, and the host splits input that contains them,
/// so that they occur nowhere else in what it sends.
package enum SessionMarker {
    /// The bytes.
    package static let bytes: [UInt8] = [
        0xF7, 0xFD, 0xFE, 0xFA, 0x43, 0x6F, 0x76, 0x65, 0x79, 0xF8, 0xF9, 0xFB, 0xFC, 0xF6, 0xC0, 0xC1,
    ]

    /// Where the marker begins at or after a position; nil where it does not occur.
    package static func position(in haystack: [UInt8], from start: Int) -> Int? {
        haystack.withUnsafeBufferPointer { hay in
            bytes.withUnsafeBufferPointer { needle in
                let last = hay.count - needle.count
                guard let base = hay.baseAddress, let wanted = needle.baseAddress else { return nil }
                var position = start
                // The C library looks for the first byte much faster than a loop does.
                while position <= last,
                    let found = memchr(base + position, Int32(needle[0]), last - position + 1)
                {
                    position = UnsafeRawPointer(found) - UnsafeRawPointer(base)
                    if memcmp(base + position, wanted, needle.count) == 0 { return position }
                    position += 1
                }
                return nil
            }
        }
    }
}
