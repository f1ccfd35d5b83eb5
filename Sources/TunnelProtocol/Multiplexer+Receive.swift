package import NIOCore

extension HeaderFields {
    /// Bytes that count as held until they are written onward: none of the few that most heads are.
    package var heldBytes: Int { byteCount > 8 * 1024 ? byteCount : 0 }
}

extension Multiplexer {
    /// Takes in one frame from the peer.
    ///
    /// - Parameters:
    ///   - now: on the caller's monotonic clock, for the limits on frames that do nothing. One reading for a whole burst
    ///     will do.
    ///   - isShared: whether bytes of the frame keep a message in memory that is mostly not its stream's (`FrameReader`).
    package mutating func receive(
        _ frame: Frame, at now: NIODeadline = .distantPast, isShared: Bool = false
    ) -> Action {
        self.now = now
        switch frame {
        case .headers(let id, .request(let head), let endStream): return receive(id, request: head, endStream)
        case .headers(let id, .response(let head), let endStream): return receive(id, response: head, endStream)
        case .headers(let id, .trailers(let fields), let endStream): return receive(id, trailers: fields, endStream)
        case .data(let id, let bytes, let endStream): return receive(id, bytes, endStream, isShared)
        case .window(let id, let increment): return receive(id, credit: increment)
        case .reset(let id, let code, let detail): return receive(id, reset: code, detail)
        case .goAway(let last, let detail): return receive(goAway: last, detail)
        }
    }

    /// What was read beside frames and does nothing: `nil`, or the violation if it is too much.
    package mutating func receivedUseless(_ kind: FloodGuard.Kind, at now: NIODeadline) -> ProtocolViolation? {
        flood.spend(kind, at: now)
    }

    private mutating func receive(_ id: StreamID, request head: RequestHead, _ endStream: Bool) -> Action {
        guard role == .agent else {
            return .close(ProtocolViolation(.unexpectedFrame, "a request on stream \(id): only the gateway opens them"))
        }
        guard id > lastStreamID, id.rawValue <= UInt32(Int32.max) else {
            return .close(ProtocolViolation(.badStreamID, "stream \(id) opened after stream \(lastStreamID)"))
        }
        lastStreamID = id
        if isDraining { return refuse(id, .refused, "draining") }
        guard streams.count < maxStreams + (head.isCanary ? 1 : 0) else {
            return refuse(id, .refused, "as many streams as allowed are open")
        }
        guard queuedBytes < limits.budget && !isStuck || head.isCanary else {
            return refuse(id, .overloaded, "the tunnel's memory budget is used up by answers that wait to be sent")
        }
        guard Int(head.window) <= SendWindow.largest else {
            return .close(ProtocolViolation(.badCredit, "stream \(id) opened with a window of \(head.window)"))
        }
        // They cost no credit, and are held until the exchange is over.
        let heldHead = head.fields.heldBytes
        guard heldHead <= budget.free else {
            return refuse(id, .overloaded, "the tunnel's memory budget has no room for the request's fields")
        }
        budget.reserve(heldHead)
        var window = ReceiveWindow(granted: 0)
        if !endStream {
            let opening = FrameLimits.initialRequestCredit
            guard budget.free >= opening, let grant = budget.openingGrant(limits: limits) else {
                budget.release(heldHead)
                return refuse(id, .overloaded, "the tunnel's memory budget is used up")
            }
            window.raise(by: max(grant, opening))
            budget.reserve(window.window)
            if grant > opening { answer(.window(id, increment: UInt32(grant - opening))) }
        }
        flood.opened(by: role)
        streams[id] = Stream(
            sent: .head, received: endStream ? .ended : .body, sendWindow: SendWindow(credit: Int(head.window)),
            receiveWindow: window, heldRequest: heldHead)
        return .opened(id, head, endStream: endStream)
    }

    private mutating func receive(_ id: StreamID, response head: ResponseHead, _ endStream: Bool) -> Action {
        guard role == .gateway else {
            return .close(ProtocolViolation(.unexpectedFrame, "a response on stream \(id) from the gateway"))
        }
        guard var stream = streams[id] else { return unknown(id, "HEADERS") }
        guard stream.received == .head else {
            return .close(ProtocolViolation(.unexpectedFrame, "a second final head on stream \(id)"))
        }
        if stream.isAbandoned, !head.isInformational {
            resetAnswered(id)
            return .none
        }
        if head.isInformational {
            if let violation = flood.spend(.informational, at: now) { return .close(violation) }
            guard !endStream else {
                return .close(ProtocolViolation(.unexpectedFrame, "stream \(id) ends with status \(head.status)"))
            }
        } else {
            guard hold(head.fields, &stream) else { return cut(id) }
            stream.received = .body
            if endStream { end(&stream) }
            update(id, stream)
        }
        return .responded(id, head, endStream: endStream)
    }

    private mutating func receive(_ id: StreamID, trailers: HeaderFields, _ endStream: Bool) -> Action {
        guard var stream = streams[id] else { return unknown(id, "HEADERS") }
        guard stream.received == .body, endStream else {
            return .close(ProtocolViolation(.unexpectedFrame, "trailers outside the body of stream \(id)"))
        }
        guard hold(trailers, &stream) else { return cut(id) }
        end(&stream)
        update(id, stream)
        return .trailers(id, trailers)
    }

    /// Counts an answer's large fields against the budget until they are written onward: they cost no credit. `false`
    /// where neither the budget nor an eighth beyond it has room.
    private mutating func hold(_ fields: HeaderFields, _ stream: inout Stream) -> Bool {
        let size = role == .gateway ? fields.heldBytes : 0
        guard size > 0 else { return true }
        guard size <= budget.free + budget.total / 8 else { return false }
        stream.heldHeads += size
        budget.reserve(size)
        return true
    }

    private mutating func cut(_ id: StreamID) -> Action {
        resetAnswered(id)
        return .reset(id, .backendInvalid, detail: "the tunnel's memory budget has no room for the answer's fields")
    }

    private mutating func receive(
        _ id: StreamID, _ bytes: ByteBuffer, _ endStream: Bool, _ isShared: Bool
    ) -> Action {
        guard var stream = streams[id] else { return unknown(id, "DATA") }
        guard stream.received == .body else {
            return .close(ProtocolViolation(.unexpectedFrame, "DATA outside the body of stream \(id)"))
        }
        guard stream.receiveWindow.received(bytes.readableBytes) else {
            return .close(
                ProtocolViolation(
                    .creditExceeded,
                    "\(bytes.readableBytes) bytes on stream \(id), whose credit is \(stream.receiveWindow.outstanding)")
            )
        }
        if endStream {
            end(&stream)
        } else if bytes.readableBytes == 0, let violation = flood.spend(.emptyData, at: now) {
            return .close(violation)
        }
        update(id, stream)
        // Credit counts bytes, and promises memory: where the stream's user is behind, so that these bytes will wait,
        // they must not keep a much larger buffer. A user that keeps pace gets them as they are.
        let isBehind = stream.receiveWindow.held - bytes.readableBytes > (isShared ? limits.turn : Self.oneRead)
        if isBehind, bytes.readableBytes < bytes.storageCapacity / 2 {
            return .data(id, ByteBuffer(buffer: bytes), endStream: endStream)
        }
        return .data(id, bytes, endStream: endStream)
    }

    /// What one read of the socket brings at most, in bytes: so much of one stream may fill the buffer it came in.
    private static var oneRead: Int { 256 * 1024 }

    private mutating func receive(_ id: StreamID, credit increment: UInt32) -> Action {
        guard var stream = streams[id] else { return unknown(id, "WINDOW", .window) }
        if let violation = flood.spend(.window, at: now) { return .close(violation) }
        guard stream.sendWindow.add(increment) else {
            return .close(ProtocolViolation(.badCredit, "an increment of \(increment) on stream \(id)"))
        }
        noteStall(&stream)
        makeReadyIfPossible(id, &stream)
        streams[id] = stream
        return .none
    }

    private mutating func receive(_ id: StreamID, reset code: ResetCode, _ detail: String) -> Action {
        guard let stream = streams[id] else { return unknown(id, "RESET", .reset) }
        // A stream that this agent has answered was no waste of its time.
        if role == .gateway || stream.sent == .head, let violation = flood.spend(.reset, at: now) {
            return .close(violation)
        }
        remove(id)
        return .reset(id, code, detail: detail)
    }

    private mutating func receive(goAway last: StreamID, _ detail: String) -> Action {
        if isDraining || isDrainAnnounced, let violation = flood.spend(.stray, at: now) { return .close(violation) }
        // The peer opens streams only towards the agent: there GOAWAY just says that no more will come, now or soon.
        guard role == .gateway else {
            let isNews = !isDrainAnnounced && !isDraining
            isDrainAnnounced = true
            if last != .announcement { isDraining = true }
            return isNews ? .draining(unprocessed: [], detail: detail) : .none
        }
        isDraining = true
        let unprocessed = streams.keys.filter { $0 > last }.sorted()
        for id in unprocessed { remove(id) }
        return .draining(unprocessed: unprocessed, detail: detail)
    }

    private mutating func end(_ stream: inout Stream) {
        stream.received = .ended
        stream.receiveWindow.ended(budget: &budget)
    }

    private mutating func refuse(_ id: StreamID, _ code: ResetCode, _ detail: String) -> Action {
        // An honest gateway keeps the limit of streams, but cannot know what memory is free.
        if code == .refused, let violation = flood.spend(.reset, at: now) { return .close(violation) }
        flood.reset()
        answer(.reset(id, code, detail: detail))
        return .refused(id, code, detail: detail)
    }

    /// A frame for a stream that is not open: it crossed our RESET (or the end of the stream) on the wire, unless the
    /// stream was never opened at all.
    private mutating func unknown(_ id: StreamID, _ what: String, _ kind: FloodGuard.Kind = .stray) -> Action {
        guard id > lastStreamID || id.rawValue == 0 else {
            return flood.spend(kind, at: now).map { .close($0) } ?? .none
        }
        return .close(ProtocolViolation(.badStreamID, "\(what) on stream \(id), which was never opened"))
    }
}
