import NIOCore
import TunnelProtocol

// The fuzzer compiles the reader with this file; see Package.swift.
#if canImport(TunnelTransport)
import TunnelTransport
#endif

/// What the fuzzer runs on the inputs that are a WebSocket's byte stream, and the ordinary tests on those of its corpus.
///
/// The first byte marks them, the second chooses the end that reads and the bytes that arrive at a time.
enum WebSocketFuzzCase {
    /// What the first byte of such an input leaves when divided by seven.
    static let remainder: UInt8 = 5

    /// However the bytes are cut on their way, the same messages and the same violation come of them.
    static func run(_ input: UnsafeRawBufferPointer) {
        guard input.count > 2 else { return }
        let role: WebSocketRole = input[1] & 1 == 0 ? .server : .client
        let wire = Array(input[2...])
        let whole = read(wire[...], by: wire.count, as: role)
        let cut = read(wire[...], by: 1 + Int(input[1] >> 1), as: role)
        precondition(whole.messages == cut.messages, "the messages depend on how the bytes arrive")
        precondition(whole.violation == cut.violation, "the violation depends on how the bytes arrive")
    }

    private static func read(_ wire: ArraySlice<UInt8>, by step: Int, as role: WebSocketRole)
        -> (messages: [WebSocketMessage], violation: ProtocolViolation.Code?)
    {
        var reader = WebSocketReader(role: role)
        var messages: [WebSocketMessage] = []
        var rest = wire
        do throws(ProtocolViolation) {
            while !rest.isEmpty {
                reader.append(ByteBuffer(bytes: rest.prefix(step)))
                rest = rest.dropFirst(step)
                while let message = try reader.next() { messages.append(message) }
                precondition(
                    reader.bufferedBytes <= FrameLimits.maxMessageSize + 14 + step, "more is kept than a message")
            }
            return (messages, nil)
        } catch {
            return (messages, error.code)
        }
    }
}
