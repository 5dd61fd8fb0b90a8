internal import CoveyModel

/// A path of an archive inside the tree that it is unpacked to: bytes, as the kernel takes them.
struct EntryPath: Hashable, Sendable {
    /// The parts, without `.` and empty ones; none is the tree's root.
    let parts: [[UInt8]]

    /// The longest path: the tree's own folder comes before it, and 4,095 bytes are the end of all.
    static let longest = 3500

    /// Reads a path; one from `/` on counts from the tree's root, as docker does it.
    ///
    /// Errors: ``ErrorCode/corrupt`` for `..`, a part of more than 255 bytes, one that is too long or too deep.
    init(_ bytes: some Collection<UInt8>, depth: Int) throws(CoveyError) {
        func refusal(_ why: String) -> CoveyError {
            let text = String(decoding: bytes.prefix(120), as: UTF8.self)
            return CoveyError(
                .corrupt, "a layer has the path \"\(text)\(bytes.count > 120 ? "…" : "")\", which \(why)",
                remedy: "do not use this image, or ask the one who published it")
        }
        let parts = bytes.split(separator: 47).map { Array($0) }.filter { $0 != [46] }
        guard !parts.contains([46, 46]) else { throw refusal("leads out of the image") }
        guard !bytes.contains(0) else { throw refusal("has a zero byte") }
        guard parts.allSatisfy({ $0.count <= 255 }) else { throw refusal("has a part of more than 255 bytes") }
        guard bytes.count <= EntryPath.longest else { throw refusal("is longer than \(EntryPath.longest) bytes") }
        guard parts.count <= depth else { throw refusal("is deeper than \(depth) folders") }
        self.parts = parts
    }

    /// The last part; nil for the root.
    var name: [UInt8]? { parts.last }

    /// For messages.
    var text: String { "/" + parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/") }
}

/// What a layer's name says besides a name. Source: OCI image specification, layer.md.
enum Whiteout: Hashable, Sendable {
    /// Hides what lower layers have under the name.
    case name([UInt8])
    /// Hides all that lower layers have in the folder.
    case opaque

    private static let prefix = Array(".wh.".utf8)
    private static let opaqueName = Array(".wh..wh..opq".utf8)
    private static let special = Array(".wh..wh.".utf8)

    /// Reads a name; nil where it is none. Errors: ``ErrorCode/corrupt`` for a name that hides a folder itself.
    static func read(_ name: [UInt8]) throws(CoveyError) -> Whiteout? {
        guard name.starts(with: prefix) else { return nil }
        if name == opaqueName { return .opaque }
        let hidden = Array(name.dropFirst(prefix.count))
        guard !hidden.isEmpty, hidden != [46], hidden != [46, 46] else {
            throw CoveyError(
                .corrupt, "a layer has a whiteout of no name", remedy: "do not use this image, or ask its publisher")
        }
        return .name(hidden)
    }

    /// Whether a name is one of aufs's own files, which are no content.
    static func isPlumbing(_ name: [UInt8]) -> Bool { name.starts(with: special) && name != opaqueName }
}
