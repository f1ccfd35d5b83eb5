import NIOCore
import TunnelProtocol
import TunnelTransport

/// Sends each message back, answers pings, and takes part in the closing handshake as a tunnel does.
final class EchoHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// As long as the suite's longest message.
    private static let longest = 16 << 20
    /// How long the end that leaves the last word to the other waits for it.
    private static let goodbyeTimeout = TimeAmount.seconds(1)

    private let role: WebSocketRole
    private var reader: WebSocketReader
    private var writer: WebSocketWriter
    private var hasClosed = false
    private let ended: EventLoopPromise<Void>?

    /// - Parameter ended: succeeds with the end of the connection.
    init(role: WebSocketRole, ended: EventLoopPromise<Void>? = nil) {
        self.role = role
        self.ended = ended
        reader = WebSocketReader(role: role, limits: WebSocketLimits(text: Self.longest, binary: Self.longest))
        writer = WebSocketWriter(role: role)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Behind a goodbye no byte counts.
        guard !hasClosed else { return }
        reader.append(unwrapInboundIn(data))
        do throws(ProtocolViolation) {
            while !hasClosed, let message = try reader.next() { receive(message, context) }
        } catch {
            let code = WebSocketClose.code(for: error)
            close(WebSocketClose.payload(code, reason: error.description), context)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

    func channelInactive(context: ChannelHandlerContext) {
        ended?.succeed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func receive(_ message: WebSocketMessage, _ context: ChannelHandlerContext) {
        switch message {
        case .text(let text): write(ByteBuffer(string: text), WebSocketOpcode.text, context)
        case .binary(let bytes): write(bytes, WebSocketOpcode.binary, context)
        case .ping(let bytes): write(bytes, WebSocketOpcode.pong, context)
        case .pong: break
        case .close: close(WebSocketClose.payload(WebSocketClose.normal, reason: ""), context)
        }
    }

    private func write(_ payload: ByteBuffer, _ opcode: UInt8, _ context: ChannelHandlerContext) {
        var message = writer.startMessage(capacity: payload.readableBytes, allocator: context.channel.allocator)
        message.writeImmutableBuffer(payload)
        writer.finish(&message, opcode: opcode)
        context.write(wrapOutboundOut(message), promise: nil)
    }

    /// The server ends the connection, and the client waits for it (RFC 6455 §7.1.1).
    private func close(_ payload: ByteBuffer, _ context: ChannelHandlerContext) {
        hasClosed = true
        write(payload, WebSocketOpcode.close, context)
        context.flush()
        let channel = context.channel
        switch role {
        case .server: channel.close(promise: nil)
        case .client:
            let deadline = context.eventLoop.scheduleTask(in: Self.goodbyeTimeout) { channel.close(promise: nil) }
            channel.closeFuture.whenComplete { _ in deadline.cancel() }
        }
    }
}
