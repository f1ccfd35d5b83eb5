/// A route that was looked at for a request, and what came of it.
package struct RouteCandidate<Value: Sendable>: Sendable {
    /// What came of a route, spelled as in answers for people and programs.
    package enum Verdict: String, Hashable, Sendable, CaseIterable {
        /// It serves the request.
        case chosen
        /// An exact path equals the request's, and goes before prefixes.
        case exactPathWins = "an exact path wins over a prefix"
        /// It covers the path, and a longer prefix does, too.
        case longerPrefixWins = "a longer prefix wins"
        /// An exact path that is not the request's, byte for byte.
        case pathDiffers = "its path is exact and not the one asked for"
        /// The path goes on, but not behind a slash: `/foo` does not cover `/foobar`.
        case segmentDiffers = "its path ends within a segment of the one asked for; prefixes match by whole segments"
        /// A prefix that the path does not begin with.
        case prefixDiffers = "the path asked for does not begin with its path"
        /// The host is listed itself, which hides the wildcard, whatever their paths.
        case exactHostWins = "the exact host name is served, which hides the wildcard"
    }

    /// The host's name or wildcard.
    package var host: String
    package var match: PathMatch
    package var value: Value
    package var verdict: Verdict
}

extension RouteTable {
    /// The routes that have to do with a request, in order of precedence, each with what came of it. The one that
    /// `lookup` finds is `chosen`; there is none where `lookup` finds none.
    ///
    /// - Parameters:
    ///   - host: as `RequestHost.normalize` returns it.
    ///   - path: the raw path without its query.
    package func explain(host: String, path: some StringProtocol) -> [RouteCandidate<Value>] {
        guard host.utf8.first != UInt8(ascii: "*") else { return [] }
        let exact = hosts[host]
        var candidates = exact?.explain(path: path, host: host) ?? []
        guard let wildcard = Self.wildcard(covering: host), let covering = hosts[wildcard] else { return candidates }
        for var candidate in covering.explain(path: path, host: wildcard) {
            if exact != nil { candidate.verdict = .exactHostWins }
            candidates.append(candidate)
        }
        return candidates
    }
}

extension HostRoutes {
    /// As `RouteTable.explain`, for one host.
    fileprivate func explain(path: some StringProtocol, host: String) -> [RouteCandidate<Value>] {
        let bytes = Array(path.utf8)
        let isExact = exact[bytes] != nil
        let winner = isExact ? nil : bytes.withUnsafeBytes { prefixes.place(ofLongest: $0) }
        var candidates: [RouteCandidate<Value>] = []
        for (path, value) in exact.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            candidates.append(
                .init(
                    host: host, match: .exact(String(decoding: path, as: UTF8.self)), value: value,
                    verdict: path == bytes ? .chosen : .pathDiffers))
        }
        // The one that wins is the first to be read.
        if let place = candidates.firstIndex(where: { $0.verdict == .chosen }) {
            candidates.insert(candidates.remove(at: place), at: 0)
        }
        // The longest first, which is the order of precedence.
        let byLength = prefixes.entries.enumerated().sorted { $0.element.path.count > $1.element.path.count }
        for (index, prefix) in byLength {
            let verdict: RouteCandidate<Value>.Verdict
            if index == winner {
                verdict = .chosen
            } else if PrefixIndex<Value>.covers(prefix.path, bytes) {
                verdict = isExact ? .exactPathWins : .longerPrefixWins
            } else {
                verdict = bytes.starts(with: prefix.path) ? .segmentDiffers : .prefixDiffers
            }
            candidates.append(
                .init(
                    host: host, match: .prefix(String(decoding: prefix.path, as: UTF8.self)), value: prefix.value,
                    verdict: verdict))
        }
        return candidates
    }
}
