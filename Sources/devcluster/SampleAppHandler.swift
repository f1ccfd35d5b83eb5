import Crypto
import Logging
import NIOCore
import NIOHTTP1

/// Answers the sample application's requests, one at a time per connection and in constant memory.
final class SampleAppHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private struct Exchange {
        var head: HTTPRequestHead
        var start: NIODeadline
        var digest = SHA256()
        var received: Int64 = 0
    }

    private let name: String
    private let logger: Logger
    private var exchange: Exchange?
    /// A download under way: how much is sent, how much there is.
    private var download: (sent: Int, total: Int)?
    private var isDownloading = false
    private var timer: Scheduled<Void>?

    init(name: String, logger: Logger) {
        self.name = name
        self.logger = logger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            exchange = Exchange(head: head, start: .now())
            if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
                context.writeAndFlush(
                    wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
            }
        case .body(let buffer):
            exchange?.received += Int64(buffer.readableBytes)
            buffer.withUnsafeReadableBytes { exchange?.digest.update(bufferPointer: $0) }
        case .end:
            answer(context: context)
        }
    }

    private func answer(context: ChannelHandlerContext) {
        guard let exchange else { return }
        let target = exchange.head.uri
        let route = SampleAppRoute(target: target)
        switch route {
        case .greeting:
            let headers: HTTPHeaders = [
                "content-type": "text/plain; charset=utf-8", "set-cookie": "session=abc123; Path=/; HttpOnly",
            ]
            var all = headers
            all.add(name: "set-cookie", value: "theme=dark; Path=/")
            all.add(name: "etag", value: "\"\(name)-1\"")
            send(.ok, all, "Hello from \(name)\n", context: context)
        case .headers:
            send(.ok, ["content-type": "application/json"], received(exchange.head), context: context)
        case .bytes(let count):
            head(.ok, ["content-type": "application/octet-stream", "content-length": "\(count)"], context: context)
            download = (exchange.head.method == .HEAD ? count : 0, count)
            continueDownload(context: context)
        case .checksum:
            let digest = exchange.digest.finalize()
            let hex = digest.map { byte in
                let text = String(byte, radix: 16)
                return byte < 16 ? "0\(text)" : text
            }.joined()
            send(
                .ok, ["content-type": "application/json"], "{\"bytes\":\(exchange.received),\"sha256\":\"\(hex)\"}\n",
                context: context)
        case .chunks(let count, let interval):
            head(.ok, ["content-type": "text/plain; charset=utf-8"], context: context)
            sendChunk(0, of: count, every: interval, context: context)
        case .status(let code):
            send(HTTPResponseStatus(statusCode: code), [:], "\(code)\n", context: context)
        case .delay(let interval):
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            timer = context.eventLoop.scheduleTask(in: interval) {
                let (handler, context) = bound.value
                handler.send(.ok, [:], "\(handler.name)\n", context: context)
            }
        case .other:
            send(.ok, ["content-type": "text/plain; charset=utf-8"], "\(name):\(target)\n", context: context)
        }
    }

    private func received(_ head: HTTPRequestHead) -> String {
        func quoted(_ text: String) -> String {
            var result = "\""
            for scalar in text.unicodeScalars {
                switch scalar {
                case "\"": result += "\\\""
                case "\\": result += "\\\\"
                case _ where scalar.value < 0x20:
                    result +=
                        "\\u00" + (scalar.value < 16 ? "0" : "")
                        + String(scalar.value, radix: 16)
                default: result.unicodeScalars.append(scalar)
                }
            }
            return result + "\""
        }
        let fields = head.headers.map { "[\(quoted($0.name)),\(quoted($0.value))]" }.joined(separator: ",")
        return "{\"app\":\(quoted(name)),\"method\":\(quoted(head.method.rawValue)),\"target\":\(quoted(head.uri)),"
            + "\"headers\":[\(fields)]}\n"
    }

    // MARK: Writing

    private func head(_ status: HTTPResponseStatus, _ headers: HTTPHeaders, context: ChannelHandlerContext) {
        guard let exchange else { return }
        var headers = headers
        headers.add(name: "x-app", value: name)
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: exchange.head.version, status: status, headers: headers))),
            promise: nil)
        logger.info(
            "Request",
            metadata: [
                "app": "\(name)", "method": "\(exchange.head.method.rawValue)", "target": "\(exchange.head.uri)",
                "host": "\(exchange.head.headers.first(name: "host") ?? "")", "status": "\(status.code)",
                "bytes_received": "\(exchange.received)",
            ])
    }

    private func send(
        _ status: HTTPResponseStatus, _ headers: HTTPHeaders, _ text: String, context: ChannelHandlerContext
    ) {
        var headers = headers
        let hasBody = status.mayHaveResponseBody
        if hasBody { headers.add(name: "content-length", value: "\(text.utf8.count)") }
        let isHead = exchange?.head.method == .HEAD
        head(status, headers, context: context)
        if hasBody, !isHead {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
        }
        finish(context: context)
    }

    private func finish(context: ChannelHandlerContext) {
        let keepAlive = exchange?.head.isKeepAlive ?? false
        exchange = nil
        let channel = context.channel
        let end = channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        if !keepAlive { end.whenComplete { _ in channel.close(promise: nil) } }
    }

    /// Sends as much as the connection takes; the rest follows when it takes more.
    private func continueDownload(context: ChannelHandlerContext) {
        // Flushing may report new writability from inside the write below; the loop then goes on by itself.
        guard download != nil, !isDownloading else { return }
        isDownloading = true
        while let (sent, total) = download, sent < total, context.channel.isWritable {
            let count = min(64 * 1024, total - sent)
            var buffer = context.channel.allocator.buffer(capacity: count)
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { bytes in
                for index in 0..<count {
                    let position = sent + index
                    bytes[index] = UInt8(truncatingIfNeeded: position &* 31 &+ (position >> 8) &* 17)
                }
                return count
            }
            download = (sent + count, total)
            context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
        }
        isDownloading = false
        if let (sent, total) = download, sent == total {
            download = nil
            finish(context: context)
        }
    }

    private func sendChunk(
        _ index: Int, of count: Int, every interval: TimeAmount, context: ChannelHandlerContext
    ) {
        guard index < count else {
            finish(context: context)
            return
        }
        context.writeAndFlush(
            wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: "chunk \(index)\n")))), promise: nil)
        guard index + 1 < count else {
            finish(context: context)
            return
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: interval) {
            let (handler, context) = bound.value
            handler.sendChunk(index + 1, of: count, every: interval, context: context)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { continueDownload(context: context) }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        download = nil
        exchange = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension SampleAppHandler: Sendable {}
