package import NIOCore
package import TunnelProtocol

/// One exchange on a tunnel, as its user holds it.
///
/// All methods are called on the receiver's event loop. Where that is the tunnel's own they act at once; otherwise
/// they hop, in order.
package final class TunnelStream: Sendable {
    private let tunnelLoop: any EventLoop
    private let receiverLoop: any EventLoop
    private let state: NIOLoopBoundBox<State>

    private struct State {
        /// `nil` before the stream is open and after it is over, as is the handler, which holds the stream until then.
        var id: StreamID?
        var handler: TunnelHandler?
        /// Let go when the stream is over: the receiver usually holds its stream, and neither must keep the other.
        var receiver: NIOLoopBound<any StreamReceiver>?
        /// Events for a receiver on another loop, kept until the end of the read burst.
        var pending: [StreamEvent] = []
        /// Nothing follows what is pending.
        var isOver = false
    }

    /// Called on the tunnel's event loop.
    init(
        id: StreamID?, handler: TunnelHandler, tunnelLoop: any EventLoop, receiver: NIOLoopBound<any StreamReceiver>,
        receiverLoop: any EventLoop
    ) {
        self.tunnelLoop = tunnelLoop
        self.receiverLoop = receiverLoop
        state = NIOLoopBoundBox(State(id: id, handler: handler, receiver: receiver), eventLoop: tunnelLoop)
    }

    /// Opens a stream on a tunnel that may live on another event loop.
    init(tunnelLoop: any EventLoop, receiver: any StreamReceiver, receiverLoop: any EventLoop) {
        self.tunnelLoop = tunnelLoop
        self.receiverLoop = receiverLoop
        let receiver = NIOLoopBound(receiver, eventLoop: receiverLoop)
        state = NIOLoopBoundBox.makeBoxSendingValue(State(receiver: receiver), eventLoop: tunnelLoop)
    }

    // MARK: Receiver's side

    /// Sends a response head (agent only).
    package func respond(_ head: ResponseHead, endStream: Bool) {
        guard tunnelLoop.inEventLoop else {
            return tunnelLoop.execute { self.respond(head, endStream: endStream) }
        }
        if let (handler, id) = open { handler.respond(id, head, endStream: endStream) }
    }

    /// Sends bytes of a body; `holdBack` and `resume` events tell how fast.
    package func send(_ bytes: ByteBuffer, endStream: Bool) {
        guard tunnelLoop.inEventLoop else { return tunnelLoop.execute { self.send(bytes, endStream: endStream) } }
        if let (handler, id) = open { handler.send(id, bytes, endStream: endStream) }
    }

    /// Ends the body with trailers.
    package func send(trailers: HeaderFields) {
        guard tunnelLoop.inEventLoop else { return tunnelLoop.execute { self.send(trailers: trailers) } }
        if let (handler, id) = open { handler.send(id, trailers: trailers) }
    }

    /// Ends the stream at once. No event follows.
    package func reset(_ code: ResetCode, detail: String = "") {
        guard tunnelLoop.inEventLoop else { return tunnelLoop.execute { self.reset(code, detail: detail) } }
        if let (handler, id) = open { handler.reset(id, code, detail: detail) }
    }

    /// Bytes delivered by a `data` event were written onward.
    package func consumed(_ bytes: Int) {
        guard tunnelLoop.inEventLoop else { return tunnelLoop.execute { self.consumed(bytes) } }
        if let (handler, id) = open { handler.consumed(id, bytes) }
    }

    private var open: (TunnelHandler, StreamID)? {
        let state = state.value
        guard let id = state.id, let handler = state.handler else { return nil }
        return (handler, id)
    }

    // MARK: Tunnel's side

    func opened(_ id: StreamID, by handler: TunnelHandler) {
        state.value.id = id
        state.value.handler = handler
    }

    /// Delivers an event, at once or with the burst. An ending event detaches the stream.
    func deliver(_ event: StreamEvent) {
        guard let receiver = state.value.receiver else { return }
        switch event {
        case .reset, .lost, .refused: finish()
        default: break
        }
        if receiverLoop.inEventLoop {
            receiver.value.received(event)
        } else {
            state.value.pending.append(event)
        }
    }

    /// Nothing follows; the receiver is let go with the burst.
    func finish() {
        state.value.id = nil
        state.value.handler = nil
        state.value.isOver = true
    }

    /// Nothing follows, not even what is pending.
    func detach() {
        finish()
        state.value.pending = []
        state.value.receiver = nil
    }

    /// The read burst that delivered events is over.
    func endBurst() {
        guard let receiver = state.value.receiver else { return }
        if state.value.isOver { state.value.receiver = nil }
        if receiverLoop.inEventLoop {
            receiver.value.receivedBurst()
            return
        }
        let events = state.value.pending
        guard !events.isEmpty else { return }
        state.value.pending = []
        receiverLoop.execute {
            for event in events { receiver.value.received(event) }
            receiver.value.receivedBurst()
        }
    }
}
