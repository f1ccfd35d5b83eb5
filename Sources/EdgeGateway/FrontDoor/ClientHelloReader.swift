import NIOCore

/// Finds in a TLS client's first message which server it wants (RFC 8446 §4.1.2, RFC 6066 §3), in however many records
/// it comes (RFC 8446 §5.1).
struct ClientHelloReader: Sendable {
    /// What is known once the message is there.
    enum Wish: Equatable, Sendable {
        case server(String)
        /// It names none, or no sense can be made of it: TLS shall say what is wrong.
        case unknown
    }

    /// The longest message, in bytes; TLS takes none that is longer.
    private static let longest = 16 * 1024

    /// All that has come, for whoever speaks TLS.
    private(set) var received = ByteBuffer()
    /// Where in it the next record begins.
    private var next = 0
    /// What the records before it carried.
    private var message = ByteBuffer()

    /// `nil` until the message is there as a whole, or cannot become one.
    mutating func append(_ bytes: ByteBuffer) -> Wish? {
        received.writeImmutableBuffer(bytes)
        while let type = received.getInteger(at: next, as: UInt8.self) {
            guard type == 22 else { return .unknown }
            guard let version = received.getInteger(at: next + 1, as: UInt8.self) else { return nil }
            guard version == 3 else { return .unknown }
            guard let length = received.getInteger(at: next + 3, as: UInt16.self) else { return nil }
            guard length > 0, length <= Self.longest else { return .unknown }
            guard let content = received.getSlice(at: next + 5, length: Int(length)) else { return nil }
            next += 5 + Int(length)
            message.writeImmutableBuffer(content)
            if let wish = wish() { return wish }
        }
        return nil
    }

    private func wish() -> Wish? {
        var rest = message
        guard let header = rest.readInteger(as: UInt32.self) else { return nil }
        let length = Int(header & 0xFF_FFFF)
        guard header >> 24 == 1, length <= Self.longest else { return .unknown }
        guard var hello = rest.readSlice(length: length) else { return nil }
        return Self.serverName(in: &hello).map { .server($0) } ?? .unknown
    }

    private static func serverName(in hello: inout ByteBuffer) -> String? {
        // Version and random number, session, cipher suites, compression methods.
        guard hello.readSlice(length: 34) != nil, hello.readLengthPrefixedSlice(as: UInt8.self) != nil,
            hello.readLengthPrefixedSlice(as: UInt16.self) != nil,
            hello.readLengthPrefixedSlice(as: UInt8.self) != nil,
            var extensions = hello.readLengthPrefixedSlice(as: UInt16.self)
        else { return nil }
        while let type = extensions.readInteger(as: UInt16.self),
            var content = extensions.readLengthPrefixedSlice(as: UInt16.self)
        {
            guard type == 0 else { continue }
            guard var names = content.readLengthPrefixedSlice(as: UInt16.self) else { return nil }
            while let kind = names.readInteger(as: UInt8.self),
                let name = names.readLengthPrefixedSlice(as: UInt16.self)
            {
                guard kind == 0 else { continue }
                guard name.readableBytesView.allSatisfy({ $0 < 0x80 }) else { return nil }
                return String(buffer: name)
            }
            return nil
        }
        return nil
    }
}

/// Holds a connection's first bytes back until it is known which server the client wants.
final class ClientHelloHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private var reader = ClientHelloReader()
    private var isOver = false
    private let begin: (ClientHelloReader.Wish) throws -> Void

    /// - Parameter begin: adds the handler for TLS behind this one; throws where there is none, and takes care of the
    ///   connection itself.
    init(begin: @escaping (ClientHelloReader.Wish) throws -> Void) { self.begin = begin }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver, let wish = reader.append(unwrapInboundIn(data)) else { return }
        isOver = true
        do {
            try begin(wish)
        } catch {
            return
        }
        context.fireChannelRead(wrapInboundOut(reader.received))
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }
}

@available(*, unavailable)
extension ClientHelloHandler: Sendable {}
