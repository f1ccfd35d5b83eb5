import NIOCore
import Synchronization
import TunnelTransport

/// When each part of an ending gateway is over. All of it lies within the grace time, whatever clients and agents do.
///
/// ```
/// begin      agents' listener closes, tunnels announce their end, answers carry `Connection: close`
/// lameDuck   the front listener closes, idle connections are closed
/// front      connections that are still open are cut, WebSocket clients told to come again; tunnels drain
/// streams    tunnels are closed, and what has not taken its last word
/// ```
struct DrainSchedule: Hashable, Sendable {
    /// How long new connections are still taken, so that a balancer in front that learns of the end only now, and a
    /// request just sent, find somebody, and so that another gateway has the routes before this one is deaf.
    private static let lameDuckTime = TimeAmount.seconds(5)
    /// What tunnels have for themselves at the end: half for streams, and half for goodbyes, TLS's included.
    private static let tunnelTime = (TunnelHandler.goodbyeTimeout + TunnelHandler.secureGoodbyeTimeout) * 2

    let lameDuck: NIODeadline
    let front: NIODeadline
    let streams: NIODeadline

    init(begin: NIODeadline, grace: TimeAmount) {
        let quarter = TimeAmount.nanoseconds(max(0, grace.nanoseconds) / 4)
        let forTunnels = min(Self.tunnelTime, quarter)
        lameDuck = begin + min(Self.lameDuckTime, quarter)
        front = begin + max(grace, .zero) - forTunnels
        streams = begin + max(grace, .zero) - .nanoseconds(forTunnels.nanoseconds / 2)
    }
}

/// The order in which a gateway ends, between its two listeners: tunnels have to outlast the requests that use them.
package final class GatewayDrain: Sendable {
    private let grace: TimeAmount
    private let begun = Mutex<DrainSchedule?>(nil)
    private let frontIsDone: AsyncStream<Never>
    private let endFront: AsyncStream<Never>.Continuation

    /// - Parameter grace: for everything, from the signal to the last close.
    package init(grace: Duration) {
        self.grace = TimeAmount(grace)
        (frontIsDone, endFront) = AsyncStream.makeStream()
    }

    /// Why the gateway is not ready, once it ends.
    package var reasons: [String] { isDraining ? ["draining: the gateway is ending"] : [] }

    var isDraining: Bool { begun.withLock { $0 != nil } }

    /// Begins, or says when it began. Callable from anywhere.
    func begin() -> DrainSchedule {
        begun.withLock { schedule in
            if let schedule { return schedule }
            let new = DrainSchedule(begin: .now(), grace: grace)
            schedule = new
            return new
        }
    }

    /// No request uses a tunnel any more.
    func frontDoorIsDone() { endFront.finish() }

    /// Returns when the front door is done or its time is over, or the task is cancelled. For one caller.
    func waitForFrontDoor(_ schedule: DrainSchedule) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in self.frontIsDone {} }
            group.addTask { try? await Task.sleep(until: schedule.front) }
            await group.next()
            group.cancelAll()
        }
    }
}

extension Task where Success == Never, Failure == Never {
    /// Sleeps until a time of NIO's clock; throws when the task is cancelled.
    static func sleep(until deadline: NIODeadline) async throws {
        try await sleep(for: .nanoseconds(max(0, (deadline - .now()).nanoseconds)))
    }
}
