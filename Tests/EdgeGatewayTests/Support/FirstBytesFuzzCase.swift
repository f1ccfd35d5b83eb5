import NIOCore

// The fuzzer compiles the readers with this file; see Package.swift.
#if canImport(EdgeGateway)
@testable import EdgeGateway
#endif

/// What the fuzzer runs on the inputs that are the beginning of a public connection, of a proxy or of TLS, and the
/// ordinary tests on those of its corpus.
///
/// The first byte marks them, the second chooses the bytes that arrive at a time.
enum FirstBytesFuzzCase {
    /// What the first byte of such an input leaves when divided by seven.
    static let remainder: UInt8 = 6

    private enum Outcome: Equatable {
        case header(ProxyHeader, rest: ByteBuffer)
        case invalid(ProxyHeader.Invalid)
        case incomplete
    }

    /// However the bytes are cut on their way, the same comes of them, and no more is kept than a header or a message.
    static func run(_ input: UnsafeRawBufferPointer) {
        guard input.count > 2 else { return }
        let wire = Array(input[2...])
        let whole = read(wire[...], by: wire.count)
        let cut = read(wire[...], by: 1 + Int(input[1]))
        precondition(whole == cut, "the header depends on how its bytes arrive")
        precondition(whole != .incomplete || wire.count < ProxyHeader.longest, "more is kept than a header")
        let wish = hello(wire[...], by: wire.count)
        precondition(wish == hello(wire[...], by: 1 + Int(input[1])), "a name depends on how its bytes arrive")
    }

    private static func hello(_ wire: ArraySlice<UInt8>, by step: Int) -> ClientHelloReader.Wish? {
        var reader = ClientHelloReader()
        var rest = wire
        while !rest.isEmpty {
            if let wish = reader.append(ByteBuffer(bytes: rest.prefix(step))) { return wish }
            rest = rest.dropFirst(step)
        }
        return nil
    }

    private static func read(_ wire: ArraySlice<UInt8>, by step: Int) -> Outcome {
        var buffer = ByteBuffer()
        var rest = wire
        do throws(ProxyHeader.Invalid) {
            while !rest.isEmpty {
                buffer.writeBytes(rest.prefix(step))
                rest = rest.dropFirst(step)
                guard let header = try ProxyHeader.take(from: &buffer) else { continue }
                buffer.writeBytes(rest)
                return .header(header, rest: buffer)
            }
            return .incomplete
        } catch {
            return .invalid(error)
        }
    }
}
