/// A disk that the agent puts where somebody wants to see it, before anything of the machine's own starts.
package struct GuestMount: Hashable, Sendable {
    /// What lies on the disk.
    package enum Content: UInt8, Sendable, CaseIterable {
        /// An ext4, which is mounted, and grown to the disk's size where it may be written to.
        case ext4 = 1
        /// Whatever the machine likes: the path becomes a link to the device.
        case raw = 2
    }

    /// The disk's serial.
    package var serial: String
    /// Where it is seen, absolute.
    package var path: String
    /// What lies on it.
    package var content: Content
    /// Whether it is only read; the disk itself says so, too.
    package var readOnly: Bool

    /// Makes a mount.
    package init(serial: String, path: String, content: Content, readOnly: Bool) {
        self.serial = serial
        self.path = path
        self.content = content
        self.readOnly = readOnly
    }
}

extension GuestMount {
    func encode(_ out: inout FieldWriter) {
        out.put(1, serial)
        out.put(2, path)
        out.put(3, UInt64(content.rawValue))
        out.put(4, flag: readOnly)
    }

    init(_ fields: FieldReader) throws(FrameFault) {
        self.init(
            serial: try fields.required(1), path: try fields.required(2),
            content: try fields.value(3, Content.self), readOnly: try fields.flag(4))
    }
}
