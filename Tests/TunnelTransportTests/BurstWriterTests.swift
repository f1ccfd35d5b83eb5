import NIOCore
import NIOEmbedded
import Testing
import TunnelTransport

@Suite("Writing what one burst brings")
struct BurstWriterTests {
    /// A channel whose writes are seen one by one, flushed or not.
    private final class Pieces: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        /// Each write, and "flush" for each flush.
        var seen: [String] = []
        var buffers: [ByteBuffer] = []

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            let bytes = unwrapOutboundIn(data)
            buffers.append(bytes)
            seen.append("\(bytes.readableBytes)")
            context.write(data, promise: promise)
        }

        func flush(context: ChannelHandlerContext) {
            seen.append("flush")
            context.flush()
        }
    }

    /// Where the writer writes from.
    private final class Origin: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
    }

    private func withChannel(_ body: (ChannelHandlerContext, Pieces) throws -> Void) throws {
        let pieces = Pieces()
        let origin = Origin()
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandlers(pieces, origin)
        try body(try channel.pipeline.syncOperations.context(handler: origin), pieces)
        _ = try channel.finish(acceptAlreadyClosed: true)
    }

    @Test("small pieces leave as one, with one flush")
    func gathered() throws {
        try withChannel { context, pieces in
            var writer = BurstWriter()
            #expect(!writer.hasOutput)
            writer.gather { $0.writeString("head ") }
            writer.write(ByteBuffer(string: "body "), to: context)
            writer.write(ByteBuffer(repeating: 0x78, count: 8 * 1024), to: context)
            #expect(writer.hasOutput)
            #expect(pieces.seen == [])
            writer.flush(to: context)
            #expect(pieces.seen == ["8202", "flush"])
            #expect(!writer.hasOutput)
            #expect(pieces.buffers.first?.getString(at: 0, length: 11) == "head body x")
        }
    }

    @Test("a large body passes uncopied, between what stood before it and what follows")
    func uncopied() throws {
        try withChannel { context, pieces in
            var writer = BurstWriter()
            let large = ByteBuffer(repeating: 0x78, count: 8 * 1024 + 1)
            writer.gather { $0.writeString("before") }
            writer.write(large, to: context)
            writer.write(large, to: context)
            writer.gather { $0.writeString("behind") }
            writer.flush(to: context)
            #expect(pieces.seen == ["6", "8193", "8193", "6", "flush"])
            let addresses = [large, pieces.buffers[1]].map { $0.withUnsafeReadableBytes { $0.baseAddress } }
            #expect(addresses[0] == addresses[1])
        }
    }

    @Test("a burst that ends with a large body is flushed, and one of nothing is not")
    func flushes() throws {
        try withChannel { context, pieces in
            var writer = BurstWriter()
            writer.flush(to: context)
            writer.gather { _ in }
            writer.flush(to: context)
            #expect(pieces.seen == [])
            writer.write(ByteBuffer(repeating: 1, count: 10_000), to: context)
            #expect(writer.hasOutput)
            writer.flush(to: context)
            writer.flush(to: context)
            #expect(pieces.seen == ["10000", "flush"])
        }
    }

    @Test("bytes that the channel still holds stay what they were when the buffer is used again")
    func reused() throws {
        try withChannel { context, pieces in
            var writer = BurstWriter()
            for text in ["first", "other"] {
                writer.gather { $0.writeString(text) }
                writer.flush(to: context)
            }
            #expect(pieces.buffers.map { String(buffer: $0) } == ["first", "other"])
        }
    }

    @Test("a few bytes are as good as sent while the channel takes more, many are not")
    func asGoodAsSent() throws {
        try withChannel { context, pieces in
            #expect(context.isAsGoodAsSent(1000))
            #expect(!context.isAsGoodAsSent(1 << 20))
        }
    }

    @Test("what is to follow bytes follows when they have left")
    func sentLater() throws {
        let held = HeldFlushes()
        let origin = Origin()
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandlers(held, origin)
        let context = try channel.pipeline.syncOperations.context(handler: origin)
        var writer = BurstWriter()
        writer.gather { $0.writeString("bytes") }
        writer.flush(to: context)
        #expect(context.unsentBytes == 5)
        var isSent = false
        context.whenSent { isSent = true }
        #expect(!isSent)
        held.release()
        channel.embeddedEventLoop.run()
        #expect(isSent)
        _ = try channel.finish(acceptAlreadyClosed: true)
    }

    /// Keeps flushes back, as a channel whose socket takes no more.
    private final class HeldFlushes: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer

        private var context: ChannelHandlerContext?

        func handlerAdded(context: ChannelHandlerContext) { self.context = context }
        func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }
        func flush(context: ChannelHandlerContext) {}
        func release() { context?.flush() }
    }
}
