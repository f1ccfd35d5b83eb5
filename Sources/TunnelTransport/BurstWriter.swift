package import NIOCore

/// Writes to a connection what one burst of events brings, in as few pieces as possible, and knows when it has left.
///
/// Heads, chunk lines and small bodies are gathered in one buffer, which is used again once the kernel has its bytes;
/// large bodies pass uncopied between such pieces. Bound to the connection's event loop.
package struct BurstWriter {
    /// Bodies up to this many bytes are copied to what stands before them: that costs less than another piece.
    private static let copied = 8 * 1024
    /// A gathering buffer larger than this is not kept between bursts.
    private static let kept = 4 * 1024

    private var gathered = ByteBuffer()
    private var hasUnflushedPieces = false

    package init() {}

    /// Whether there is something to flush.
    package var hasOutput: Bool { hasUnflushedPieces || gathered.readableBytes > 0 }

    /// Appends to what is gathered.
    package mutating func gather(_ body: (inout ByteBuffer) -> Void) { body(&gathered) }

    /// Appends bytes of a body.
    package mutating func write(_ bytes: ByteBuffer, to context: ChannelHandlerContext) {
        guard bytes.readableBytes > Self.copied else {
            gathered.writeImmutableBuffer(bytes)
            return
        }
        writeGathered(to: context)
        context.write(NIOAny(bytes), promise: nil)
        hasUnflushedPieces = true
    }

    /// Hands everything to the kernel, or to the channel where the kernel takes no more.
    package mutating func flush(to context: ChannelHandlerContext) {
        guard hasOutput else { return }
        if gathered.readableBytes > 0 {
            context.writeAndFlush(NIOAny(gathered), promise: nil)
            recycle()
        } else {
            context.flush()
        }
        hasUnflushedPieces = false
    }

    private mutating func writeGathered(to context: ChannelHandlerContext) {
        guard gathered.readableBytes > 0 else { return }
        context.write(NIOAny(gathered), promise: nil)
        hasUnflushedPieces = true
        recycle()
    }

    /// Where the channel still holds the bytes, clearing makes a new buffer.
    private mutating func recycle() {
        if gathered.capacity <= Self.kept { gathered.clear() } else { gathered = ByteBuffer() }
    }
}

extension ChannelHandlerContext {
    /// Bytes written to the channel that have not left for the kernel.
    package var unsentBytes: Int { (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 }

    /// Whether this many bytes, written and flushed, are as good as with the kernel: a few are while the channel takes
    /// more, for what it holds then is bounded by its water mark.
    package func isAsGoodAsSent(_ bytes: Int) -> Bool { bytes <= Self.negligible && channel.isWritable }

    /// Calls `body` when all that was written so far has left for the kernel, or never will.
    package func whenSent(_ body: @escaping () -> Void) {
        let body = NIOLoopBound(body, eventLoop: eventLoop)
        writeAndFlush(NIOAny(ByteBuffer())).whenComplete { _ in body.value() }
    }

    private static var negligible: Int { 16 * 1024 }
}
