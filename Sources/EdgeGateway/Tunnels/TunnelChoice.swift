/// Which of a cluster's tunnels carries a request: the one with the fewest open streams. One on the request's own event
/// loop saves two hops between threads, and is worth taking unless it is clearly busier.
///
/// Candidates are looked at one after another, so that choosing costs no memory.
struct TunnelChoice {
    /// What counts of one tunnel.
    struct Candidate: Hashable {
        var openStreams: Int
        var maxStreams: Int
        /// It is neither draining nor closed.
        var takesStreams: Bool
        /// It lives on the request's event loop.
        var isNear: Bool
    }

    /// How much busier than the least busy one a near tunnel may be: twice, and these streams more.
    private static let slack = 8

    private var least: (index: Int, streams: Int)?
    private var near: (index: Int, streams: Int)?
    /// Some tunnel would have been taken, had it not been full.
    private(set) var sawFull = false

    /// Of equally busy ones the first that is looked at wins.
    mutating func consider(_ index: Int, _ candidate: Candidate) {
        guard candidate.takesStreams else { return }
        guard candidate.openStreams < candidate.maxStreams else {
            sawFull = true
            return
        }
        if least.map({ candidate.openStreams < $0.streams }) ?? true { least = (index, candidate.openStreams) }
        guard candidate.isNear else { return }
        if near.map({ candidate.openStreams < $0.streams }) ?? true { near = (index, candidate.openStreams) }
    }

    /// `nil` where no tunnel can take the request.
    var chosen: Int? {
        guard let least else { return nil }
        guard let near, near.streams <= 2 * least.streams + Self.slack else { return least.index }
        return near.index
    }
}

extension TunnelChoice {
    /// What came of a tunnel, spelled as in answers for people and programs.
    enum Verdict: String, Hashable, Sendable {
        case chosen
        case draining = "it takes no more streams: it is about to end"
        case full = "it has as many streams as it may"
        case busier = "another one has fewer streams"
        case itsTurn = "another one is as little busy, and they take turns"
    }

    /// What each of a cluster's tunnels would be to the next request.
    static func explain<ID>(_ tunnels: [(id: ID, candidate: Candidate)]) -> [(ID, Candidate, Verdict)] {
        var choice = TunnelChoice()
        for (index, tunnel) in tunnels.enumerated() { choice.consider(index, tunnel.candidate) }
        let chosen = choice.chosen
        return tunnels.enumerated().map { index, tunnel in
            let candidate = tunnel.candidate
            let verdict: Verdict
            if index == chosen {
                verdict = .chosen
            } else if !candidate.takesStreams {
                verdict = .draining
            } else if candidate.openStreams >= candidate.maxStreams {
                verdict = .full
            } else {
                verdict = candidate.openStreams == chosen.map { tunnels[$0].candidate.openStreams } ? .itsTurn : .busier
            }
            return (tunnel.id, candidate, verdict)
        }
    }
}
