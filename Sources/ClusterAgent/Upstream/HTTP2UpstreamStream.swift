import HTTPExchange
import NIOCore
import NIOHPACK
import NIOHTTP2
import TunnelProtocol

/// One exchange on a connection of HTTP/2 to a backend.
final class HTTP2UpstreamStream: UpstreamLink {
    private let connection: HTTP2UpstreamConnection
    private(set) var id: HTTP2StreamID?
    private var user: (any UpstreamUser)?
    private var reader = HTTP2ResponseReader(method: "")
    private var requestEnded = false
    /// The peer has ended its side.
    private var responseArrived = false
    /// The codec knows it no more: nothing may be sent on it.
    private var isClosed = false
    /// Nothing more is passed on, in either direction.
    private var isOver = false
    private var isHeld = false
    /// Bytes of the request that leave with the burst, or with its end: one frame less.
    private var last: (bytes: ByteBuffer, credit: Int)?
    /// What came while the exchange took nothing; bounded by the stream's window.
    private var waiting = HeldBytes()
    private var waitingEnd: HTTP1ResponseReader.Part?
    /// What the peer may still send.
    private var window = HTTP2UpstreamConnection.streamWindow
    private(set) var isReused = false

    init(connection: HTTP2UpstreamConnection) { self.connection = connection }

    var responseHasBody: Bool { reader.expectsBody }

    // MARK: The exchange's wishes

    func begin(_ head: RequestHead, body: Bool, upgrades: Bool, for user: any UpstreamUser) {
        self.user = user
        reader = HTTP2ResponseReader(method: head.method)
        requestEnded = !body
        do throws(UpstreamError) {
            id = try connection.open(head, endStream: !body, self)
            guard let id else {
                return neverProcessed("the connection has just ended")
            }
            isReused = id > 1
        } catch {
            failed(error)
        }
    }

    func send(_ bytes: ByteBuffer) {
        guard let user else { return }
        let size = user.takeOwedCredit()
        guard let id, !isOver, !isClosed, !requestEnded else { return user.sent(size) }
        sendLast(id, endStream: false)
        last = (bytes, size)
    }

    /// - Returns: whether there was something to send.
    @discardableResult
    private func sendLast(_ id: HTTP2StreamID, endStream: Bool) -> Bool {
        guard let (bytes, credit) = last else { return false }
        last = nil
        // They wait for the peer's credit first; the exchange, that they are with the socket.
        connection.sendData(id, bytes, endStream: endStream) { [user] in user?.sent(credit) }
        return true
    }

    func endRequest(trailers: HeaderFields?) {
        guard let id, !isOver, !isClosed, !requestEnded else { return }
        requestEnded = true
        if let trailers = trailers.map(HopByHop.trailers), !trailers.isEmpty {
            sendLast(id, endStream: false)
            connection.sendHeaders(id, trailers: trailers)
        } else if !sendLast(id, endStream: true) {
            connection.sendData(id, ByteBuffer(), endStream: true)
        }
    }

    func flush() {
        if let id, !isOver, !isClosed { sendLast(id, endStream: false) }
        connection.flush()
    }

    func hold(_ held: Bool) {
        guard isHeld != held else { return }
        isHeld = held
        if !held { passOn() }
    }

    func cancel() {
        guard !isOver else { return }
        leave()
        reset(.cancel)
        connection.forget(id)
    }

    private func reset(_ code: HTTP2ErrorCode) {
        // What both sides have ended is closed.
        guard let id, !isClosed, !(requestEnded && responseArrived) else { return }
        isClosed = true
        connection.reset(id, code)
    }

    func giveBack() { cancel() }

    func becomeOpaque() {}
    func endOutput() { cancel() }
    func end() { cancel() }

    private func leave() {
        isOver = true
        user = nil
        last = nil
        waiting = HeldBytes()
        waitingEnd = nil
    }

    // MARK: From the connection

    func received(_ block: HPACKHeaders, endStream: Bool) {
        guard !isOver else { return }
        if endStream { responseArrived = true }
        do throws(HTTP1Error) {
            let part = try reader.received(block, endStream: endStream)
            if case .end = part {
                waitingEnd = part
                passOn()
            } else {
                user?.received(part)
                if reader.hasEnded { finish() }
            }
        } catch {
            failed(error)
        }
    }

    func received(_ bytes: ByteBuffer, endStream: Bool) {
        guard !isOver else { return }
        if endStream { responseArrived = true }
        do throws(HTTP1Error) {
            try reader.received(bytes.readableBytes, endStream: endStream)
        } catch {
            return failed(error)
        }
        if isHeld { waiting.hold(bytes) } else { waiting.append(bytes) }
        if endStream { waitingEnd = .end(nil) }
        passOn()
    }

    /// Passes on what waits, for as long as it is taken.
    private func passOn() {
        while !isHeld, !isOver, let bytes = waiting.takeFirst() { user?.received(.body(bytes)) }
        guard !isOver, waiting.readableBytes == 0 else { return }
        if let end = waitingEnd {
            waitingEnd = nil
            user?.received(end)
            finish()
        } else {
            widen()
        }
    }

    /// Credit for what was passed on, in large pieces.
    private func widen() {
        let increment = HTTP2UpstreamConnection.streamWindow - window - waiting.readableBytes
        guard let id, !isOver, !isClosed, !responseArrived, increment >= HTTP2UpstreamConnection.streamWindow / 2 else {
            return
        }
        connection.sendWindow(id, increment)
    }

    /// The response has ended. Where the request has not, the exchange has cancelled it by now.
    private func finish() {
        guard !isOver else { return }
        guard requestEnded else { return cancel() }
        leave()
        connection.forget(id)
    }

    /// What the peer may still send, after each frame that changed it.
    func windowIs(_ size: Int) {
        window = size
        if !isHeld { widen() }
    }

    /// RST_STREAM came.
    func wasReset(_ code: HTTP2ErrorCode) {
        isClosed = true
        // All of the answer is here; the backend wants no more of the request (RFC 9113 §8.1).
        guard !isOver, !reader.hasEnded else { return }
        switch code {
        case .refusedStream: neverProcessed("the backend refused the stream")
        case .http11Required: failed(UpstreamError(.backendInvalid, "the backend wants HTTP/1.1 for this"))
        default: failed(UpstreamError(.backendClosed, "the backend reset the stream (\(code))"))
        }
    }

    /// The codec knows it no more.
    func wasClosed(_ reason: HTTP2ErrorCode?) {
        isClosed = true
        guard !isOver, !reader.hasEnded else { return }
        failed(UpstreamError(.backendClosed, "the stream was closed (\(reason.map { "\($0)" } ?? "no reason"))"))
    }

    func neverProcessed(_ detail: String) {
        guard !isOver else { return }
        let user = user
        leave()
        connection.forget(id)
        user?.neverProcessed(detail)
    }

    func failed(_ error: any Error) {
        guard !isOver else { return }
        let user = user
        leave()
        if error is HTTP1Error { reset(.protocolError) }
        connection.forget(id)
        user?.connectionClosed(error)
    }
}

@available(*, unavailable)
extension HTTP2UpstreamStream: Sendable {}
