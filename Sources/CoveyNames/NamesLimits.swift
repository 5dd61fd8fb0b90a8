/// How much the names service does at once and keeps.
package struct NamesLimits: Hashable, Sendable {
    /// What is kept for each network.
    package var cache = AnswerCache.Limits()
    /// What one asker may do.
    package var client = ClientBudgets.Limits()
    /// How long an ``AnswerListener`` is waited for.
    package var listener = Duration.seconds(1)
    /// Connections by TCP at one address.
    package var connections = 64
    /// How long a connection may stand without a question.
    package var idle = Duration.seconds(10)

    /// The usual ones.
    package init() {}
}
