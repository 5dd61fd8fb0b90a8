package import CoveyGuestProtocol
package import CoveyModel
internal import Glibc

/// What the agent does to the machine that it runs in; tests run without one.
package protocol MachineDuties: AnyObject {
    /// Sets host name, clock, network; and hands PID 1 over for an image's init. Returns whether programs must have
    /// their OOM score reset. Errors: what failed.
    func configure(_ configuration: GuestConfiguration) throws(CoveyError) -> Bool
    /// Whether the init that PID 1 was handed to will say when it is ready.
    var initSpeaks: Bool { get }
    /// Sets the wall clock.
    func setClock(_ time: Timestamp) throws(CoveyError)
    /// Changes the network, and the host name where one is given. Errors: what failed.
    func setNetwork(_ network: GuestNetwork, hostname: String?) throws(CoveyError)
    /// Asks everything in the machine to end. Returns whether the agent itself ends the machine; an image's init does
    /// so on its own.
    func beginShutdown(_ how: GuestShutdown) -> Bool
    /// Ends the machine at once.
    func end(_ how: GuestShutdown)
}

/// Writes a line to the console.
func agentLog(_ message: String) {
    let line = Array("covey-guest: \(message)\n".utf8)
    _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}
