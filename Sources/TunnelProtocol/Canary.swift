package import NIOCore

/// A small request through the data path of a tunnel, again and again: a peer whose socket answers pings while its
/// streams hang is found by it. See `docs/tunnel-protocol.md`, "Liveness".
///
/// The gateway's half. It decides when to open a canary stream and when to give the tunnel up: 5 s after a canary was
/// opened and nothing of the data path has come since, which is at the latest 12 s after the data path hung. While heads
/// and DATA still come the answer may merely stand behind them in a slow socket, and has six times as long.
///
/// ```
/// resting ──interval──► open ──answered──► resting
///    ▲                   │ └──timeout, nothing else came──► failed
///    └──next interval── refused ──nothing else came for three timeouts──► failed
/// ```
/// Time is what the caller observes on its own monotonic clock; time in which the caller itself stood still (its event
/// loop was busy, the machine slept) is not held against the peer.
package struct Canary: Hashable, Sendable {
    package enum Action: Hashable, Sendable {
        case none
        /// Open a canary stream; tell `refused` if that is not possible.
        case open
        /// The data path hangs; the text says for how long. Told once.
        case failed(String)
    }

    private enum State: Hashable, Sendable {
        case resting(since: NIODeadline)
        case open(since: NIODeadline)
        /// It could not be opened; the next attempt is due an interval after this one.
        case refused(since: NIODeadline)
        case failed
    }

    /// Ticks come once per second; what is beyond this is this side's own standstill.
    static let latestTick = TimeAmount.seconds(2)

    let interval: TimeAmount
    let timeout: TimeAmount
    private var state: State
    private var lastTick: NIODeadline
    /// The last sign of life of the data path: an answered canary, a head, DATA.
    private var lastLife: NIODeadline

    /// The first canary is due with the first tick.
    package init(now: NIODeadline, interval: TimeAmount = .seconds(5), timeout: TimeAmount = .seconds(5)) {
        self.interval = interval
        self.timeout = timeout
        state = .resting(since: now - interval)
        lastTick = now
        lastLife = now
    }

    /// To be called at least once per second.
    package mutating func tick(at now: NIODeadline) -> Action {
        let standstill = now - lastTick - Self.latestTick
        if standstill > .zero { forgive(standstill, now) }
        lastTick = now
        switch state {
        case .resting(let since), .refused(let since):
            if case .refused = state, now - lastLife >= timeout * 3 { return fail(now) }
            guard now - since >= interval else { return .none }
            state = .open(since: now)
            return .open
        case .open(let since):
            guard now - since >= timeout else { return .none }
            guard now - max(since, lastLife) >= timeout || now - since >= timeout * 6 else { return .none }
            return fail(now)
        case .failed:
            return .none
        }
    }

    /// The canary's whole answer arrived, or the peer reset it: its data path is alive either way.
    package mutating func answered(at now: NIODeadline) {
        guard case .open(let since) = state else { return }
        state = .resting(since: since)
        lastLife = now
    }

    /// The canary could not be opened: too much waits for the socket. No failure while other frames still come.
    package mutating func refused() {
        if case .open(let since) = state { state = .refused(since: since) }
    }

    /// A head or DATA of another stream arrived.
    package mutating func moved(at now: NIODeadline) { lastLife = now }

    private mutating func fail(_ now: NIODeadline) -> Action {
        state = .failed
        let silence = (now - lastLife).nanoseconds / 1_000_000
        return .failed("no canary was answered and nothing else came for \(silence) ms")
    }

    private mutating func forgive(_ standstill: TimeAmount, _ now: NIODeadline) {
        lastLife = min(lastLife + standstill, now)
        switch state {
        case .open(let since): state = .open(since: min(since + standstill, now))
        case .refused(let since): state = .refused(since: min(since + standstill, now))
        case .resting, .failed: break
        }
    }
}

/// The agent's half: where canaries came and nothing of the data path comes any more, the gateway's side of it hangs.
package struct CanaryWatch: Hashable, Sendable {
    let interval: TimeAmount
    /// `nil` until the first canary.
    private var lastLife: NIODeadline?
    private var lastTick: NIODeadline?

    /// - Parameter interval: as the gateway's welcome announced it.
    package init(interval: TimeAmount) { self.interval = interval }

    /// A canary arrived.
    package mutating func received(at now: NIODeadline) { lastLife = now }

    /// Another frame arrived: a gateway whose canary is late still moves.
    package mutating func moved(at now: NIODeadline) { if lastLife != nil { lastLife = now } }

    /// To be called at least once per second. Returns whether canaries came before, and none for three intervals.
    package mutating func isMissed(at now: NIODeadline) -> Bool {
        defer { lastTick = now }
        guard let last = lastLife else { return false }
        let standstill = now - (lastTick ?? now) - Canary.latestTick
        if standstill > .zero { lastLife = min(last + standstill, now) }
        return now - (lastLife ?? now) >= interval * 3
    }
}

extension RequestHead {
    /// The method of a canary; no HTTP request has it.
    package static let canaryMethod = "CANARY"
    /// Credit for a canary's answer, in bytes.
    package static let canaryWindow = 256

    /// What the gateway sends through the data path; the agent answers it itself.
    package static var canary: RequestHead {
        RequestHead(
            method: canaryMethod, authority: "", target: "*", window: UInt32(canaryWindow), fields: [:])
    }

    package var isCanary: Bool { method == Self.canaryMethod && authority.isEmpty }
}
