/// Covey's version; scripts/set-commit writes the commit beside it at build time.
package enum CoveyVersion {
    /// The semantic version, the one place that says it.
    package static let current = "0.1.0"
}
