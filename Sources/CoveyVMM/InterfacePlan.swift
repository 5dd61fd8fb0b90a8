package import CoveyModel

/// A network interface as a VMM is to have it.
package struct InterfacePlan: Hashable, Sendable {
    /// The host's tap, by name; it exists, and ``LaunchPlan/user`` owns it.
    package var tap: String
    /// The guest's address on it.
    package var mac: MACAddress
    /// The largest packet, in bytes.
    package var mtu: Int

    /// Makes an interface of a plan.
    package init(tap: String, mac: MACAddress, mtu: Int) {
        self.tap = tap
        self.mac = mac
        self.mtu = mtu
    }
}
