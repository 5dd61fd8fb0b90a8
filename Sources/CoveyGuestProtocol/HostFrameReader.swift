/// Finds the frames of one session in what a guest sends.
///
/// Before the guest's hello there may be bytes of older sessions, cut anywhere; they are skipped. After it every byte
/// counts.
package struct HostFrameReader {
    private let session: UInt64
    private let beginning: [UInt8]
    private var buffer: [UInt8] = []
    private var head = 0
    private var found = false

    /// A reader for the session with this random id.
    package init(session: UInt64) {
        self.session = session
        var beginning = Frame.magic
        beginning.append(littleEndian: session)
        self.beginning = beginning
    }

    /// Takes bytes.
    package mutating func append(_ bytes: [UInt8]) {
        if head > Frame.longestPayload || head == buffer.count {
            buffer.removeFirst(head)
            head = 0
        }
        buffer += bytes
    }

    /// The next frame; the first is the hello. Nil where more bytes are needed.
    package mutating func next() throws(FrameFault) -> Frame? {
        while true {
            if !found && !search() { return nil }
            guard buffer.count - head >= Frame.headerLength else { return nil }
            do throws(FrameFault) {
                let header = try FrameHeader(buffer, at: head)
                if !found && header.type != FrameType.hello.rawValue { throw FrameFault("a session without a hello") }
                let start = head + Frame.headerLength
                guard buffer.count - start >= header.length else { return nil }
                let frame = try header.frame(Array(buffer[start..<(start + header.length)]))
                head = start + header.length
                if frame.session != session { continue }
                found = true
                return frame
            } catch {
                if found { throw error }
                head += 1
            }
        }
    }

    /// Moves to where a frame of the session may begin; false where there is none yet.
    private mutating func search() -> Bool {
        while head + beginning.count <= buffer.count {
            if buffer[head] == beginning[0], buffer[head..<(head + beginning.count)].elementsEqual(beginning) {
                return true
            }
            head += 1
        }
        return false
    }
}
