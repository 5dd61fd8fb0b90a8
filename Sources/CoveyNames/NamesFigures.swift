package import CoveyNetwork

/// What the names service did since it was made.
package struct NamesFigures: Hashable, Sendable {
    /// Questions that came, whatever became of them.
    package var questions: UInt64 = 0
    /// Answers from our own names.
    package var own: UInt64 = 0
    /// Answers from what was kept.
    package var kept: UInt64 = 0
    /// Questions that others were asked.
    package var forwarded: UInt64 = 0
    /// Questions that others did not answer, or that were too many at once.
    package var failed: UInt64 = 0
    /// Questions that were no such.
    package var malformed: UInt64 = 0
    /// Questions from addresses that are not of their network.
    package var foreign: UInt64 = 0
    /// Questions beyond an asker's rate, which were dropped.
    package var flooded: UInt64 = 0
    /// Answers of others that were to no question of ours.
    package var forged: UInt64 = 0
    /// Questions for names that an asker's policy does not allow.
    package var denied: UInt64 = 0
    /// The same by interface; those of unknown askers are left out.
    package var deniedByInterface: [InterfaceKey: UInt64] = [:]

    /// None so far.
    package init() {}
}
