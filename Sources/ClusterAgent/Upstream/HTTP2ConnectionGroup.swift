import DequeModule
import HTTPExchange
import NIOCore

/// The connections of HTTP/2 to one backend, and the exchanges that wait for one.
final class HTTP2ConnectionGroup {
    typealias Link = NIOLoopBound<any UpstreamLink>

    /// Streams that a connection is expected to take before it has said how many.
    private static let expectedStreams = 100

    private let eventLoop: any EventLoop
    /// Makes a connection; calls back once it may be used, or when it failed.
    private let dial: (HTTP2ConnectionGroup, @escaping (Result<HTTP2UpstreamConnection, any Error>) -> Void) -> Void
    /// Takes new streams.
    private var open: [HTTP2UpstreamConnection] = []
    /// Has streams, and takes no more.
    private var retired: [HTTP2UpstreamConnection] = []
    private var waiting: Deque<EventLoopPromise<Link>> = []
    private var dialling = 0

    init(
        eventLoop: any EventLoop,
        dial:
            @escaping (
                HTTP2ConnectionGroup, @escaping (Result<HTTP2UpstreamConnection, any Error>) -> Void
            ) -> Void
    ) {
        self.eventLoop = eventLoop
        self.dial = dial
    }

    var isEmpty: Bool { open.isEmpty && retired.isEmpty && waiting.isEmpty && dialling == 0 }

    /// A stream of a connection that is there; `nil` where all are full.
    func take() -> HTTP2UpstreamStream? {
        waiting.isEmpty ? open.first { $0.hasRoom }?.makeStream() : nil
    }

    /// A stream of whichever connection has room for it first; makes another connection if need be.
    func wait() -> EventLoopFuture<Link> {
        let promise = eventLoop.makePromise(of: Link.self)
        waiting.append(promise)
        hasRoom()
        return promise.futureResult
    }

    /// A connection may have room.
    func hasRoom() {
        while !waiting.isEmpty, let connection = open.first(where: { $0.hasRoom }), let next = waiting.popFirst() {
            next.succeed(NIOLoopBound(connection.makeStream(), eventLoop: eventLoop))
        }
        while waiting.count > dialling * Self.expectedStreams {
            dialling += 1
            dial(self) { [self] in dialled($0) }
        }
    }

    private func dialled(_ result: Result<HTTP2UpstreamConnection, any Error>) {
        dialling -= 1
        switch result {
        case .success(let connection):
            open.append(connection)
            hasRoom()
            // One that allows no streams: who waits for the next connection would wait for ever.
            if !connection.hasRoom, connection.state.streams == 0 {
                connection.close()
                fail(UpstreamError(.overloaded, "the backend takes no requests on its connections"))
            }
        case .failure(let error): fail(error)
        }
    }

    private func fail(_ error: any Error) {
        let failed = waiting
        waiting = []
        for promise in failed { promise.fail(error) }
    }

    /// The connection takes no more streams; those it has go on.
    func forget(_ connection: HTTP2UpstreamConnection) {
        guard let index = open.firstIndex(where: { $0 === connection }) else { return }
        retired.append(open.remove(at: index))
    }

    /// The connection is gone.
    func ended(_ connection: HTTP2UpstreamConnection) {
        open.removeAll { $0 === connection }
        retired.removeAll { $0 === connection }
    }

    func check(_ now: NIODeadline) {
        for connection in open + retired { connection.check(now) }
    }
}

@available(*, unavailable)
extension HTTP2ConnectionGroup: Sendable {}
