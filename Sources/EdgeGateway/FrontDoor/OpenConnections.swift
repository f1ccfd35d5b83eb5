import NIOCore
import Settings
import Synchronization

/// The connections that are open, so that an ending gateway leaves none behind.
final class OpenConnections: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var count: ConnectionCount
        var isDraining = false
        var lastOpenAt: NIODeadline?
    }

    private let state: Mutex<State>

    init(_ count: ConnectionCount) { state = Mutex(State(count: count)) }

    /// Whether a connection is open, or was not long ago.
    func wereThere(within time: TimeAmount) -> Bool {
        state.withLock { state in
            if !state.channels.isEmpty { return true }
            return state.lastOpenAt.map { NIODeadline.now() - $0 < time } ?? false
        }
    }

    /// Returns whether the gateway is ending already; `nil` where there may not be one more.
    func add(_ channel: any Channel) -> Bool? {
        let id = ObjectIdentifier(channel)
        let isDraining: Bool? = state.withLock { state in
            guard state.count.opened() else { return nil }
            state.channels[id] = channel
            return state.isDraining
        }
        guard isDraining != nil else { return nil }
        channel.closeFuture.whenComplete { [self] _ in
            state.withLock { state in
                state.channels[id] = nil
                state.count.closed()
                state.lastOpenAt = .now()
            }
        }
        return isDraining
    }

    /// A connection is known to be this client's. Returns whether the client may have one more.
    func attribute(_ channel: any Channel, to client: IPAddress) -> Bool {
        guard state.withLock({ $0.count.joined(client) }) else { return false }
        channel.closeFuture.whenComplete { [self] _ in state.withLock { $0.count.left(client) } }
        return true
    }

    /// From now on the next answer is each connection's last.
    func announceEnd() {
        let open = state.withLock { state in
            state.isDraining = true
            return Array(state.channels.values)
        }
        for channel in open { channel.pipeline.fireUserInboundEventTriggered(ConnectionDrain.answerAndClose) }
    }

    /// Lets exchanges end, and closes what is left when the time is over or the task is cancelled.
    func close(by schedule: DrainSchedule, on loop: any EventLoop) async {
        let open = all
        for channel in open { channel.pipeline.fireUserInboundEventTriggered(ConnectionDrain.closeIfIdle) }
        let timer = loop.scheduleTask(deadline: schedule.front) { self.closeAll(by: schedule.streams) }
        await withTaskCancellationHandler {
            try? await EventLoopFuture.andAllComplete(open.map(\.closeFuture), on: loop).get()
        } onCancel: {
            closeAll(by: .now())
        }
        timer.cancel()
    }

    private var all: [any Channel] { state.withLock { Array($0.channels.values) } }

    private func closeAll(by deadline: NIODeadline) {
        for channel in all { channel.pipeline.fireUserInboundEventTriggered(ConnectionDrain.close(by: deadline)) }
    }
}

/// What an ending gateway asks of a connection.
enum ConnectionDrain: Sendable {
    /// No request after the next, or the one under way.
    case answerAndClose
    /// Moreover, do not wait for one.
    case closeIfIdle
    /// Wait for no answer; say goodbye where the connection's protocol has a word for it. Only a last word that is on
    /// its way has time, and until then.
    case close(by: NIODeadline)
}
