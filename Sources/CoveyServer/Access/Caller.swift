/// Who calls.
package struct Caller: Hashable, Sendable, CustomStringConvertible {
    /// The user id of the peer, as the kernel says.
    package var uid: UInt32

    /// A caller by user id.
    package init(uid: UInt32) { self.uid = uid }

    /// `uid:1000`.
    package var description: String { "uid:\(uid)" }
}

/// Where a call's caller is known from.
package enum CallerSource: Sendable {
    /// The credentials of the Unix socket's peer.
    case peerCredentials
    /// Always the same one: a transport within this process.
    case fixed(Caller)
}
