import NIOCore

/// Puts a client's acknowledgement of the gateway's SETTINGS before a large head that it sent without waiting for them.
///
/// The codec takes 16 KiB of fields until it has seen the acknowledgement, and ends the connection over more. A client may
/// ask before it knows any settings (RFC 9113 §3.4), with as many cookies as it has; its acknowledgement follows at once
/// (§6.5.3), and means the same before the head as behind it. All that is held is the head and what is behind it, up to
/// the acknowledgement; small heads, which nearly all are, pass as they come.
struct HTTP2EarlyFrames {
    /// Fields that take so many bytes take fewer than 16 KiB once they are decompressed: Huffman's code saves three
    /// eighths at most, and what a table can stand for is little in a first request.
    private static let smallBlock = 8 << 10
    /// With more than this held, the codec is left to deal with it.
    private static let most = 256 << 10
    /// RFC 9113 §4.2; until the acknowledgement nothing else is allowed.
    private static let mostPayload = 16_384
    private static let frameHeader = 9

    /// What has not been passed on.
    private var waiting = ByteBuffer()
    /// How much of it has been looked at: whole frames.
    private var seen = 0
    /// Of the preface (RFC 9113 §3.4).
    private var prefaceLeft = 24
    /// The head that is being read, or is held: where it begins in `waiting`, and its size so far.
    private var head: (start: Int, size: Int)?
    private var isHolding = false
    /// Nothing needs to be looked at any more.
    private(set) var isDone = false

    /// Bytes came.
    ///
    /// - Returns: what is to be passed on.
    mutating func received(_ bytes: ByteBuffer) -> ByteBuffer {
        waiting.writeImmutableBuffer(bytes)
        let skipped = min(prefaceLeft, waiting.readableBytes - seen)
        prefaceLeft -= skipped
        seen += skipped
        while prefaceLeft == 0, !isDone, let frame = nextFrame() {
            if frame.length > Self.mostPayload { return all() }
            guard waiting.readableBytes - seen >= Self.frameHeader + frame.length else { break }
            if frame.isAcknowledgement { return acknowledged(Self.frameHeader + frame.length) }
            look(at: frame)
            seen += Self.frameHeader + frame.length
        }
        if waiting.readableBytes > Self.most { return all() }
        let passing = head?.start ?? seen
        defer {
            seen -= passing
            head?.start -= passing
            waiting.discardReadBytes()
        }
        return waiting.readSlice(length: passing) ?? ByteBuffer()
    }

    private struct Frame {
        var length: Int
        var type: UInt8
        var flags: UInt8

        var isAcknowledgement: Bool { type == 4 && flags & 1 != 0 }
        var beginsHead: Bool { type == 1 }
        var continuesHead: Bool { type == 9 }
        var endsHead: Bool { flags & 4 != 0 }
    }

    private func nextFrame() -> Frame? {
        let start = waiting.readerIndex + seen
        guard waiting.readableBytes - seen >= Self.frameHeader,
            let word = waiting.getInteger(at: start, as: UInt32.self),
            let flags = waiting.getInteger(at: start + 4, as: UInt8.self)
        else { return nil }
        return Frame(length: Int(word >> 8), type: UInt8(truncatingIfNeeded: word), flags: flags)
    }

    private mutating func look(at frame: Frame) {
        guard !isHolding else { return }
        if frame.beginsHead {
            head = (seen, frame.length)
        } else if frame.continuesHead, head != nil {
            head?.size += frame.length
        } else {
            return
        }
        guard frame.endsHead, let size = head?.size else { return }
        if size > Self.smallBlock { isHolding = true } else { head = nil }
    }

    /// The acknowledgement is at `seen`, of that many bytes: what is held goes behind it.
    private mutating func acknowledged(_ count: Int) -> ByteBuffer {
        guard isHolding, let start = head?.start, var ordered = waiting.readSlice(length: start),
            var held = waiting.readSlice(length: seen - start), var acknowledgement = waiting.readSlice(length: count)
        else { return all() }
        ordered.writeBuffer(&acknowledgement)
        ordered.writeBuffer(&held)
        ordered.writeBuffer(&waiting)
        waiting = ordered
        return all()
    }

    /// Passes on everything, and looks at nothing any more.
    private mutating func all() -> ByteBuffer {
        isDone = true
        defer { waiting = ByteBuffer() }
        return waiting
    }
}

/// Does so in front of the codec, until the acknowledgement is there.
final class HTTP2EarlyFramesHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private var frames = HTTP2EarlyFrames()

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !frames.isDone else { return context.fireChannelRead(data) }
        let bytes = frames.received(unwrapInboundIn(data))
        if bytes.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(bytes)) }
        if frames.isDone { context.pipeline.syncOperations.removeHandler(self, promise: nil) }
    }
}

@available(*, unavailable)
extension HTTP2EarlyFramesHandler: Sendable {}
