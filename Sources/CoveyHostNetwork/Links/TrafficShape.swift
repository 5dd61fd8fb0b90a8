internal import CoveyModel
internal import CoveySystem

/// What a machine receives in a second, as a token bucket on its tap. Source: tc-tbf(8), `include/uapi/linux/pkt_sched.h`.
struct TrafficShape: Hashable, Sendable {
    /// Bytes in a second.
    var rate: UInt64
    /// Bytes that may pass at once.
    var burst: UInt32
    /// Bytes that may wait.
    var queue: UInt32

    private static let leastBurst: Int64 = 65536 + 4096
    private static let delay: UInt64 = 20
    static let kind = "tbf"

    /// The shape of a limit. Nil where it bounds no bytes.
    init?(_ limit: TrafficLimit?) {
        guard let limit, let bytes = limit.bytesPerSecond else { return nil }
        rate = UInt64(max(bytes, 1))
        burst = UInt32(clamping: TrafficShape.burst(limit, bytes))
        queue = UInt32(clamping: rate / TrafficShape.delay + UInt64(burst))
    }

    /// Bytes that may pass at once: at least one of the largest packets that segmentation leaves whole.
    static func burst(_ limit: TrafficLimit?, _ bytesPerSecond: Int64) -> Int64 {
        max(limit?.burstBytes ?? bytesPerSecond / 10, leastBurst)
    }

    /// The message that puts it on a link, or changes the one that is there.
    func setting(on link: Int32) -> NetlinkMessage {
        var message = NetlinkMessage(
            type: RouteType.newQueue, flags: [.create, .replace, .acknowledge], header: TrafficShape.header(link))
        message.add(QueueAttribute.kind, text: TrafficShape.kind)
        // struct tc_tbf_qopt: rate and peak rate (cell log, link layer 1 is Ethernet, overhead, align, mpu, rate),
        // limit, buffer, mtu. The burst in bytes stands beside it.
        let specification =
            [0, 1] + UInt16(0).native + Int16(-1).native + UInt16(0).native
            + UInt32(clamping: rate).native
        let options =
            specification + [UInt8](repeating: 0, count: 12) + queue.native + UInt32(0).native + UInt32(0).native
        var nested: [(UInt16, [UInt8])] = [(QueueAttribute.bucket, options), (QueueAttribute.burst, burst.native)]
        if rate > UInt64(UInt32.max) { nested.append((QueueAttribute.rate64, rate.native)) }
        message.add(QueueAttribute.options, nested: nested)
        return message
    }

    /// The message that takes it off a link.
    static func removal(from link: Int32) -> NetlinkMessage {
        NetlinkMessage(type: RouteType.deleteQueue, flags: .acknowledge, header: header(link))
    }

    /// `struct tcmsg` of a link's root queue.
    private static func header(_ link: Int32) -> [UInt8] {
        [0, 0, 0, 0] + link.native + UInt32(0).native + UInt32.max.native + UInt32(0).native
    }
}

/// `TCA_…`. Source: `include/uapi/linux/rtnetlink.h`, `pkt_sched.h`.
enum QueueAttribute {
    static let kind: UInt16 = 1
    static let options: UInt16 = 2
    static let bucket: UInt16 = 1
    static let rate64: UInt16 = 4
    static let burst: UInt16 = 6
}
