import DequeModule
package import NIOCore

extension Multiplexer {
    /// What became of the streams that had their turn.
    package struct Written: Equatable {
        /// Their source was told to stop and may go on now.
        package var released: [StreamID] = []
        /// Both directions have ended.
        package var finished: [StreamID] = []
    }

    /// Appends frames to `message` until it holds `limit` bytes or there is nothing left to send: urgent frames first,
    /// then the ready streams in turn.
    ///
    /// - Parameter limit: bytes; exceeded by less than one head.
    package mutating func write(into message: inout ByteBuffer, limit: Int) -> Written {
        writeUrgent(into: &message, limit: limit)
        var written = Written()
        let worthwhile = min(limit, Self.smallestTurn)
        while limit - message.readableBytes >= worthwhile, let id = ready.popFirst() {
            guard var stream = streams[id] else { continue }
            stream.isReady = false
            takeTurn(id, &stream, &message, room: limit - message.readableBytes - FrameWire.headerSize)
            if stream.isHeldBack, !stream.isCrowdedOut, stream.outbound.bytes < limits.sendQueueLow {
                stream.isHeldBack = false
                written.released.append(id)
            }
            makeReadyIfPossible(id, &stream)
            update(id, stream)
            if stream.isOver { written.finished.append(id) }
        }
        return written
    }

    /// Moves urgent frames, whole ones only. Where some are left the limit is reached, so that no DATA overtakes a head.
    private mutating func writeUrgent(into message: inout ByteBuffer, limit: Int) {
        guard urgent.readableBytes > 0 else { return }
        if message.readableBytes + urgent.readableBytes <= limit {
            message.writeBuffer(&urgent)
        }
        while message.readableBytes < limit, let size = urgent.firstFrameSize,
            var frame = urgent.readSlice(length: size)
        {
            message.writeBuffer(&frame)
        }
        guard urgent.readableBytes == 0 else {
            urgent.discardReadBytes()
            return
        }
        waitingAnswers = 0
        // Keep a small buffer for the next head, give a large one back.
        if urgent.capacity > 64 * 1024 { urgent = ByteBuffer() } else { urgent.clear() }
    }

    /// The rest of a message that is nearly full is not worth a frame.
    private static var smallestTurn: Int { 512 }

    /// Sends at most one turn of a stream, in one DATA frame, and its end if that is due.
    private mutating func takeTurn(
        _ id: StreamID, _ stream: inout Stream, _ message: inout ByteBuffer, room: Int
    ) {
        let size = min(stream.outbound.bytes, stream.sendWindow.credit, limits.turn, max(room, 1))
        let isLast = size == stream.outbound.bytes
        var endsHere = false
        if isLast, case .plain = stream.outbound.end { endsHere = true }

        if size > 0 || endsHere {
            message.writeDataFrameHeader(stream: id, length: size, endStream: endsHere)
            stream.outbound.move(size, into: &message)
            queuedBody -= size
            stream.sendWindow.spend(size)
            flood.earn(.window)
            noteStall(&stream)
        }
        if endsHere {
            stream.sent = .ended
        } else if isLast, case .trailers(let fields) = stream.outbound.end {
            message.writeFrame(.headers(id, .trailers(fields), endStream: true))
            stream.sent = .ended
        }
    }
}

extension Multiplexer.OutboundQueue {
    fileprivate mutating func move(_ count: Int, into message: inout ByteBuffer) {
        bytes -= count
        var left = count
        while left > 0 {
            guard let slice = chunks[0].readSlice(length: min(left, chunks[0].readableBytes)) else { return }
            left -= slice.readableBytes
            message.writeImmutableBuffer(slice)
            if chunks[0].readableBytes == 0 { chunks.removeFirst() }
        }
    }
}
