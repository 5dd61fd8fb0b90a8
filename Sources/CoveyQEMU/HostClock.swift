internal import CCovey
internal import CoveySystem

/// The host's time stamp counter, which a guest under emulation cannot measure reliably by itself.
enum HostClock {
    private static let measured = covey_measure_tsc_khz()

    /// Its frequency in kHz, measured once per process (10 ms); nil where the host has none.
    static func frequency(_ pool: BlockingPool) async throws -> UInt64? {
        let measured = try await pool.run { Self.measured }
        return measured > 0 ? measured : nil
    }
}
