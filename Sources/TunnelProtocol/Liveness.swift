package import NIOCore

/// Decides when to ping a silent peer and when to give it up.
///
/// Any inbound byte counts as life. Time is what the caller observes on its own monotonic clock; time in which the
/// caller itself stood still (its event loop was busy, the machine slept) is not held against the peer.
package struct Liveness: Hashable, Sendable {
    package enum Action: Hashable, Sendable {
        case none
        case ping
        /// Nothing arrived, and by the next tick that would be so for longer than the timeout.
        case dead
    }

    let interval: TimeAmount
    let timeout: TimeAmount
    private var lastInbound: NIODeadline
    private var lastPing: NIODeadline
    private var lastTick: NIODeadline
    /// Ticks come once per second, or a little later.
    private static let betweenTicks = TimeAmount.milliseconds(1100)

    package init(now: NIODeadline, interval: TimeAmount = .seconds(10), timeout: TimeAmount = .seconds(30)) {
        self.interval = interval
        self.timeout = timeout
        lastInbound = now
        lastPing = now
        lastTick = now
    }

    package mutating func received(at now: NIODeadline) { lastInbound = now }

    /// To be called at least once per second.
    package mutating func tick(at now: NIODeadline) -> Action {
        let standstill = now - lastTick - Canary.latestTick
        if standstill > .zero { lastInbound = min(lastInbound + standstill, now) }
        lastTick = now
        // Rather a tick early than one late; where the timeout is short, its last tenth will do.
        let early = min(Self.betweenTicks, .nanoseconds(timeout.nanoseconds / 10))
        if now - lastInbound >= timeout - early { return .dead }
        if now - lastPing >= interval {
            lastPing = now
            return .ping
        }
        return .none
    }
}
