/// A cpio archive of the "newc" format, as the kernel unpacks it into its first root.
///
/// Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
struct CpioArchive {
    private var bytes: [UInt8] = []
    private var inode: UInt32 = 0

    init() {}

    /// Adds a folder of mode 0755.
    mutating func addFolder(_ path: String) { add(path, mode: 0o040755, links: 2) }

    /// Adds a file.
    mutating func addFile(_ path: String, mode: UInt32 = 0o644, _ content: [UInt8]) {
        add(path, mode: 0o100000 | mode, content: content)
    }

    /// Adds a character device of mode 0600.
    mutating func addDevice(_ path: String, major: UInt32, minor: UInt32) {
        add(path, mode: 0o020600, device: (major, minor))
    }

    /// The whole archive.
    consuming func finish() -> [UInt8] {
        inode = .max
        add("TRAILER!!!", mode: 0)
        return bytes
    }

    private mutating func add(
        _ path: String, mode: UInt32, links: UInt32 = 1, device: (UInt32, UInt32) = (0, 0), content: [UInt8] = []
    ) {
        inode &+= 1
        let fields: [UInt32] = [
            inode, mode, 0, 0, links, 0, UInt32(content.count), 0, 0, device.0, device.1, UInt32(path.utf8.count) + 1,
            0,
        ]
        bytes.reserveCapacity(bytes.count + 256 + content.count)
        bytes += Array("070701".utf8)
        for field in fields {
            let text = String(field, radix: 16)
            bytes += Array(repeating: UInt8(ascii: "0"), count: 8 - text.utf8.count)
            bytes += Array(text.utf8)
        }
        bytes += Array(path.utf8) + [0]
        pad()
        bytes += content
        pad()
    }

    private mutating func pad() {
        while bytes.count % 4 != 0 { bytes.append(0) }
    }
}
