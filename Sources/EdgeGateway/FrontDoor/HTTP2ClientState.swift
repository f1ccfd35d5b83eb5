import NIOCore

/// What one client's connection of HTTP/2 is up to: whether streams may begin on it, and when it ends.
///
/// ```
/// serving ──► announced ──► draining ──► closed
///                 (GOAWAY with no last stream, PING)   (GOAWAY with the last one)
/// ```
/// Requests that are on their way when the client hears of the end are still taken (RFC 9113 §6.8): the last stream is
/// named once an answer to the PING shows that nothing else is on its way, or has had time to.
struct HTTP2ClientState {
    enum Action: Hashable {
        case none
        /// Tell the client to begin no more streams, and ask for an answer.
        case announce
        /// Tell it which was the last.
        case goAway(last: Int32)
        /// The same where nothing is under way: close the connection behind it.
        case goAwayAndClose(last: Int32)
        /// It has been told; nothing is under way any more.
        case close
    }

    struct Times: Hashable {
        /// Without a stream, until the connection is closed.
        var keepAlive = TimeAmount.seconds(75)
        /// From the connection to the end of the client's preface (RFC 9113 §3.4).
        var preface = TimeAmount.seconds(15)
        /// How long the answer to the PING may take.
        var answer = TimeAmount.seconds(5)
        /// The same as `keepAlive` where the gateway waits for the end.
        var drainIdle = TimeAmount.seconds(1)
    }

    private enum Phase: Hashable {
        /// Next: `announced`, `closed`.
        case serving
        /// Next: `draining`, `closed`.
        case announced(until: NIODeadline)
        /// Next: `closed`.
        case draining
        case closed
    }

    private let times: Times
    private var phase = Phase.serving
    /// The end is announced with the first stream.
    private var endsWithFirst: Bool
    private var hasPreface = false
    /// The gateway waits for the end.
    private var isImpatient = false
    private let born: NIODeadline
    private var idleSince: NIODeadline
    private(set) var streams = 0
    private(set) var lastStream: Int32 = 0

    /// - Parameter isEnding: whether the gateway is ending already; one request is taken, then.
    init(isEnding: Bool, now: NIODeadline, times: Times) {
        endsWithFirst = isEnding
        born = now
        idleSince = now
        self.times = times
    }

    var isClosed: Bool { phase == .closed }

    /// The client has spoken as HTTP/2 demands.
    mutating func prefaceCame() { hasPreface = true }

    /// A stream began.
    mutating func opened(_ id: Int32, now: NIODeadline) -> Action {
        streams += 1
        lastStream = max(lastStream, id)
        guard endsWithFirst else { return .none }
        return drain(now: now)
    }

    /// A stream is over.
    mutating func ended(now: NIODeadline) -> Action {
        streams -= 1
        if streams == 0 { idleSince = now }
        return phase == .draining && streams == 0 ? close() : .none
    }

    /// The gateway is about to end.
    mutating func drain(now: NIODeadline) -> Action {
        endsWithFirst = false
        guard phase == .serving else { return .none }
        phase = .announced(until: now + times.answer)
        return .announce
    }

    /// The client still takes the end of its answers.
    mutating func isTaking(now: NIODeadline) { idleSince = now }

    /// Moreover, it waits for that.
    mutating func closeIfIdle() { isImpatient = true }

    /// The client has answered the PING: what it had sent before it heard of the end is here.
    mutating func answered() -> Action {
        guard case .announced = phase else { return .none }
        return nameLast()
    }

    /// Something ends it: a violation, or the end of the gateway's patience.
    ///
    /// - Returns: the last stream, to be told to the client; nil where that has happened.
    mutating func closeNow() -> Int32? {
        let wasTold = phase == .draining || phase == .closed
        phase = .closed
        return wasTold ? nil : lastStream
    }

    /// The moment `check` is worth calling.
    var deadline: NIODeadline {
        switch phase {
        case .closed: .distantFuture
        case .announced(let until): min(until, idleEnd)
        case .serving, .draining: hasPreface ? idleEnd : min(born + times.preface, idleEnd)
        }
    }

    private var idleEnd: NIODeadline {
        guard streams == 0 else { return .distantFuture }
        return idleSince + (isImpatient ? times.drainIdle : times.keepAlive)
    }

    mutating func check(now: NIODeadline) -> Action {
        guard phase != .closed else { return .none }
        if !hasPreface, now >= born + times.preface { return close() }
        if now >= idleEnd {
            let wasTold = phase == .draining
            phase = .closed
            return wasTold ? .close : .goAwayAndClose(last: lastStream)
        }
        if case .announced(let until) = phase, now >= until { return nameLast() }
        return .none
    }

    private mutating func nameLast() -> Action {
        guard streams == 0 else {
            phase = .draining
            return .goAway(last: lastStream)
        }
        phase = .closed
        return .goAwayAndClose(last: lastStream)
    }

    private mutating func close() -> Action {
        phase = .closed
        return .close
    }
}
