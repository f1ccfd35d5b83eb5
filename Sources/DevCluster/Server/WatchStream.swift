import NIOCore
import NIOHTTP1

/// One open watch: pulls what has happened since the last time and writes it as lines, for as long as the connection takes
/// them. Bound to its channel's event loop.
final class WatchStream {
    private let server: ClusterServer
    private let channel: any Channel
    private var cursor: WatchCursor
    private let presentation: Presentation
    private var isFirstLine = true
    private var isOpen = true
    private var listener: Int?
    private var timers: [Scheduled<Void>] = []
    private var bookmarks: RepeatedTask?
    private let finish: () -> Void
    private let plan: WatchPlan

    /// - Parameter finish: Called once when the watch ends by itself; ends the response.
    init(plan: WatchPlan, server: ClusterServer, channel: any Channel, finish: @escaping () -> Void) {
        self.server = server
        self.channel = channel
        self.cursor = plan.cursor
        self.presentation = plan.presentation
        self.finish = finish
        self.plan = plan
    }

    /// Begins: writes what is there and listens for more.
    func start() {
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        let eventLoop = channel.eventLoop
        listener = server.add(
            ClusterServer.Listener(
                wake: { eventLoop.execute { bound.value.pump() } }, end: { eventLoop.execute { bound.value.end() } }))
        // Without a wish of the client's a watch lasts half an hour to an hour, as on a real server.
        let seconds = plan.timeoutSeconds ?? Int64.random(in: 1800...3600)
        timers.append(eventLoop.scheduleTask(in: .seconds(seconds)) { bound.value.end() })
        if plan.sendsBookmarks {
            bookmarks = eventLoop.scheduleRepeatedTask(
                initialDelay: server.bookmarkInterval, delay: server.bookmarkInterval
            ) { _ in bound.value.bookmark() }
        }
        pump()
    }

    /// Writes what has happened. A connection that takes no more is left alone until it does.
    func pump() {
        guard isOpen, channel.isWritable else { return }
        guard let events = server.advance(&cursor) else {
            end()
            return
        }
        write(events)
        if cursor.isFinished { end() }
    }

    private func bookmark() {
        pump()
        guard isOpen, channel.isWritable else { return }
        write([cursor.bookmark()])
    }

    private func write(_ events: [WatchEvent]) {
        guard !events.isEmpty else { return }
        let now = server.now
        for event in events {
            let line = presentation.watchLine(
                event, resource: cursor.selection.resource, now: now, isFirst: isFirstLine)
            isFirstLine = false
            var bytes = line.serialized()
            bytes.append(UInt8(ascii: "\n"))
            channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: bytes))), promise: nil)
        }
        channel.flush()
    }

    /// Ends the watch and its response.
    func end() {
        guard isOpen else { return }
        // Stopped first: flushing may call back into this object.
        stop()
        if plan.sendsBookmarks, !cursor.isFinished { write([cursor.bookmark()]) }
        finish()
    }

    /// Stops listening; the connection is gone or going.
    func stop() {
        isOpen = false
        if let listener { server.remove(listener: listener) }
        listener = nil
        for timer in timers { timer.cancel() }
        bookmarks?.cancel()
    }
}

@available(*, unavailable)
extension WatchStream: Sendable {}
