package import CoveyModel

/// Throws ``ErrorCode/invalid`` for a page of no entries.
package func checkLimit(_ limit: Int?) throws(CoveyError) {
    if let limit, limit < 1 { throw CoveyError(.invalid, "a page of \(limit) entries was asked for") }
}

/// Throws ``ErrorCode/invalid`` for a lease of other than 1 to 9,000,000,000 seconds, as etcd does.
package func checkLease(seconds: Int) throws(CoveyError) {
    guard (1...9_000_000_000).contains(seconds) else {
        throw CoveyError(.invalid, "a lease of \(seconds) s was asked for")
    }
}

/// Throws ``ErrorCode/invalid`` for a revision that is not there yet.
package func checkNotAhead(_ revision: Revision, newest: Revision) throws(CoveyError) {
    guard revision <= newest else {
        throw CoveyError(.invalid, "revision \(revision) is not there yet, the newest is \(newest)")
    }
}

/// The revision to read: a given one that can be read, else the newest.
/// Errors: ``CompactedError``; ``ErrorCode/invalid`` for one that is not there yet.
package func checkReadable(_ revision: Revision?, newest: Revision, compacted: Revision) throws -> Revision {
    guard let revision else { return newest }
    try checkNotAhead(revision, newest: newest)
    if revision < compacted { throw CompactedError(revision: compacted) }
    return revision
}
