import NIOCore
import Synchronization
import TunnelProtocol
import TunnelTransport

/// How much an agent says about routes before the gateway has taken in what came before.
///
/// The gateway handles control messages in order and answers each heartbeat, so the answer to a heartbeat says that what
/// was sent before it waits no more: `size` messages about routes, a heartbeat, and once that is answered, more.
struct ControlWindow: Hashable, Sendable {
    /// What is to be done before the next message about routes.
    enum Step: Hashable, Sendable {
        case send
        case heartbeat
        case wait
    }

    /// Half a megabyte at most: little enough for the slowest line to take within the time that an answer may take, and
    /// far below what a gateway lets wait.
    static let size = 8

    /// Messages about routes since the last answer that counted.
    private var routes = 0
    private var heartbeats = 0
    private var answers = 0
    /// The number of the heartbeat whose answer opens the window.
    private var awaited: Int?

    var step: Step { routes < Self.size ? .send : awaited == nil ? .heartbeat : .wait }

    mutating func sent(_ message: ControlMessage) {
        switch message {
        case .ingressRoutes: routes += 1
        case .heartbeat:
            heartbeats += 1
            if step == .heartbeat { awaited = heartbeats }
        default: break
        }
    }

    /// - Returns: whether that opens the window. An answer that nobody asked for does not count.
    mutating func heartbeatAnswered() -> Bool {
        answers = min(answers + 1, heartbeats)
        guard let awaited, answers >= awaited else { return false }
        self.awaited = nil
        routes = 0
        return true
    }
}

/// Hands one tunnel's messages over no faster than the line and the gateway take them.
final class ControlPacing: Sendable {
    private struct State {
        var window = ControlWindow()
        var wake: AsyncStream<Void>.Continuation?
    }

    private let state = Mutex(State())

    /// The gateway has answered a heartbeat.
    func heartbeatAnswered() {
        let wake = state.withLock { $0.window.heartbeatAnswered() ? $0.wake : nil }
        wake?.yield()
    }

    /// Sends a message; returns once it is with the socket. Throws `CancellationError` where the tunnel is over.
    func hand(_ message: ControlMessage, to tunnel: Tunnel) async throws {
        let text = message.encoded()
        // One step, so that messages are counted in the order in which they leave.
        let written = state.withLock { state in
            state.window.sent(message)
            return tunnel.deliver(text)
        }
        do {
            try await written.get()
        } catch {
            throw CancellationError()
        }
    }

    /// Runs what publishes routes, one at a time, with a way to send that paces it.
    ///
    /// - Parameters:
    ///   - interval: how long the answer to a heartbeat is awaited before another one is sent.
    ///   - heartbeat: says nothing of what the gateway should have.
    func publish(
        on tunnel: Tunnel, askEvery interval: Duration, heartbeat: @escaping @Sendable () -> ControlMessage,
        _ body: @escaping @Sendable (@escaping @Sendable (ControlMessage) async throws -> Void) async throws -> Void
    ) async throws {
        let (answers, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        state.withLock { $0.wake = wake }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await body { message in
                    if case .ingressRoutes = message { try await self.waitForRoom(answers, tunnel, heartbeat) }
                    try await self.hand(message, to: tunnel)
                }
            }
            group.addTask {
                // Also where an answer got lost.
                while true {
                    try await Task.sleep(for: interval)
                    if self.step == .wait { try await self.hand(heartbeat(), to: tunnel) }
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private var step: ControlWindow.Step { state.withLock { $0.window.step } }

    private func waitForRoom(
        _ answers: AsyncStream<Void>, _ tunnel: Tunnel, _ heartbeat: @Sendable () -> ControlMessage
    ) async throws {
        var answers = answers.makeAsyncIterator()
        while true {
            switch step {
            case .send: return
            case .heartbeat: try await hand(heartbeat(), to: tunnel)
            case .wait: if await answers.next(isolation: nil) == nil { throw CancellationError() }
            }
        }
    }
}
