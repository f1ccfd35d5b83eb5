package import NIOCore

/// Decides when to ping a silent peer and when to give it up.
///
/// Any inbound byte counts as life. Time is what the caller observes on its own monotonic clock.
package struct Liveness: Hashable, Sendable {
    package enum Action: Hashable, Sendable {
        case none
        case ping
        /// Nothing arrived for the whole timeout.
        case dead
    }

    let interval: TimeAmount
    let timeout: TimeAmount
    private var lastInbound: NIODeadline
    private var lastPing: NIODeadline

    package init(now: NIODeadline, interval: TimeAmount = .seconds(10), timeout: TimeAmount = .seconds(30)) {
        self.interval = interval
        self.timeout = timeout
        lastInbound = now
        lastPing = now
    }

    package mutating func received(at now: NIODeadline) { lastInbound = now }

    /// To be called at least once per second.
    package mutating func tick(at now: NIODeadline) -> Action {
        if now - lastInbound >= timeout { return .dead }
        if now - lastPing >= interval {
            lastPing = now
            return .ping
        }
        return .none
    }
}
