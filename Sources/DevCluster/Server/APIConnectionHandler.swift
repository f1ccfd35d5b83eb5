import Logging
import NIOCore
import NIOHTTP1

/// Turns HTTP requests into ``APIRequest``s and answers back into HTTP: the thin shell around ``ClusterState``.
final class APIConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// What the real server reads of a body at most.
    private static let bodyLimit = 3 * 1024 * 1024

    private let server: ClusterServer
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var bodyIsTooLarge = false
    private var watch: WatchStream?

    init(server: ClusterServer) {
        self.server = server
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body.removeAll(keepingCapacity: true)
            bodyIsTooLarge = false
            if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
                context.writeAndFlush(
                    wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
            }
        case .body(let buffer):
            if body.count + buffer.readableBytes > Self.bodyLimit {
                bodyIsTooLarge = true
            } else {
                body.append(contentsOf: buffer.readableBytesView)
            }
        case .end:
            guard let head else { return }
            answer(head, context: context)
        }
    }

    private func answer(_ head: HTTPRequestHead, context: ChannelHandlerContext) {
        let start = NIODeadline.now()
        var request = APIRequest(method: head.method.rawValue, target: head.uri, body: body)
        request.accept = head.headers[canonicalForm: "accept"].joined(separator: ",")
        request.contentType = head.headers.first(name: "content-type") ?? ""
        request.userAgent = head.headers.first(name: "user-agent") ?? ""
        let reply: APIReply
        if !server.isAllowed(authorization: head.headers.first(name: "authorization"), path: request.path) {
            reply = .document(APIStatus.unauthorized.json, code: 401)
        } else if bodyIsTooLarge {
            let status = APIStatus.bodyTooLarge(limit: Self.bodyLimit)
            reply = .document(status.json, code: status.code)
        } else {
            reply = server.respond(to: request)
        }
        write(reply, to: head, context: context)
        server.logger.debug(
            "Request",
            metadata: [
                "method": "\(head.method.rawValue)", "target": "\(head.uri)", "status": "\(reply.code)",
                "duration_us": "\((NIODeadline.now() - start).nanoseconds / 1000)",
                "user_agent": "\(request.userAgent)",
            ])
    }

    private func write(_ reply: APIReply, to request: HTTPRequestHead, context: ChannelHandlerContext) {
        var headers = HTTPHeaders()
        headers.add(name: "cache-control", value: "no-cache, private")
        switch reply {
        case .document(let document, let code, let contentType, let warnings):
            for warning in warnings {
                let quoted = warning.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
                headers.add(name: "warning", value: "299 - \"\(quoted)\"")
            }
            var bytes = document.serialized()
            bytes.append(UInt8(ascii: "\n"))
            writeWhole(bytes, code, contentType, headers, to: request, context: context)
        case .bytes(let bytes, let code, let contentType):
            writeWhole(bytes, code, contentType, headers, to: request, context: context)
        case .watch(let plan):
            headers.add(name: "content-type", value: "application/json;stream=watch")
            let head = HTTPResponseHead(version: request.version, status: .ok, headers: headers)
            context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
            let channel = context.channel
            let keepAlive = request.isKeepAlive
            let watch = WatchStream(plan: plan, server: server, channel: channel) { [weak self] in
                self?.watch = nil
                Self.end(channel, keepAlive: keepAlive)
            }
            self.watch = watch
            watch.start()
        }
    }

    private func writeWhole(
        _ bytes: [UInt8], _ code: Int, _ contentType: String, _ headers: HTTPHeaders, to request: HTTPRequestHead,
        context: ChannelHandlerContext
    ) {
        var headers = headers
        headers.add(name: "content-type", value: contentType)
        headers.add(name: "content-length", value: String(bytes.count))
        let head = HTTPResponseHead(
            version: request.version, status: HTTPResponseStatus(statusCode: code), headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: nil)
        }
        Self.end(context.channel, keepAlive: request.isKeepAlive)
    }

    private static func end(_ channel: any Channel, keepAlive: Bool) {
        let end = channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        if !keepAlive { end.whenComplete { _ in channel.close(promise: nil) } }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { watch?.pump() }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        watch?.stop()
        watch = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A client that breaks off, or one that does not speak TLS: nobody to answer.
        server.logger.debug("Connection failed", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension APIConnectionHandler: Sendable {}
