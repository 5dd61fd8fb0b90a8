internal import CCovey
internal import Glibc

/// The names of a file's extended attributes, of a link itself; none where the file system has no such thing.
package func attributeNames(of path: String) throws(SystemError) -> [String] {
    var buffer = [CChar](repeating: 0, count: 65536)
    let count = llistxattr(path, &buffer, buffer.count)
    if count < 0 && (errno == ENOTSUP || errno == EPERM) { return [] }
    guard count >= 0 else { throw SystemError("llistxattr", path) }
    return buffer.prefix(count).split(separator: 0).map { name in
        String(decoding: name.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// The value of an extended attribute, of a link itself.
package func attributeValue(_ name: String, of path: String) throws(SystemError) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 65536)
    let count = try check("lgetxattr", path) { lgetxattr(path, name, &buffer, buffer.count) }
    return Array(buffer.prefix(count))
}
