import NIOCore
import NIOHTTP1
import TunnelProtocol

/// What the fuzzer runs on each input, and the ordinary tests on each input of its corpus.
///
/// The first byte picks the part; the rest is what a hostile peer sends, or the choices of two honest ones. Nothing may
/// crash, what can be read must be written again as it was, and between honest peers no byte may be lost.
enum FuzzCase {
    static func run(_ input: UnsafeRawBufferPointer) {
        guard let part = input.first else { return }
        let rest = UnsafeRawBufferPointer(rebasing: input.dropFirst())
        switch part % 7 {
        case 0: frames(ByteBuffer(bytes: rest))
        case 1: control(String(decoding: rest, as: UTF8.self))
        case 2: conversation(ByteBuffer(bytes: rest), role: .gateway)
        case 3: conversation(ByteBuffer(bytes: rest), role: .agent)
        case 4: schedule(Array(rest))
        // The rest is for readers that this module does not know: `WebSocketFuzzCase`, `FirstBytesFuzzCase`.
        default: break
        }
    }

    /// Two ends back to back, with users of streams whose every choice the input makes.
    private static func schedule(_ choices: [UInt8]) {
        var model = TunnelModel(Choices(choices))
        let failures = model.run()
        precondition(failures.isEmpty, failures.joined(separator: "; "))
    }

    /// What is read and may be sent is the same after a round trip.
    private static func frames(_ message: ByteBuffer) {
        var reader = FrameReader(message)
        while let frame = try? reader.next() {
            switch frame {
            case .headers(_, let block, _) where !block.isSendable: continue
            // Repairing bytes that are not UTF-8 makes a text longer.
            case .reset(_, _, let detail) where detail.utf8.count > FrameLimits.maxDetailSize: continue
            case .goAway(_, let detail) where detail.utf8.count > FrameLimits.maxDetailSize: continue
            default: break
            }
            var written = ByteBuffer()
            written.writeFrame(frame)
            var again = FrameReader(written)
            let copy = try? again.next()
            precondition(copy == .some(frame), "a frame changed on a round trip")
        }
    }

    private static func control(_ text: String) {
        var agent = AgentSession()
        _ = agent.connected(
            .init(versions: [1], clusterUUID: "u", agentID: "a", agentVersion: "0", maxStreams: 1))
        var gateway = GatewaySession(
            identity: .init(
                clusterUUID: "u", instanceID: "i", tunnelID: "t", gatewayDomain: "g", heartbeatIntervalMilliseconds: 1))
        for line in text.split(separator: "\n") {
            let decoded = ControlMessage.decode(String(line))
            if case .message(let message) = decoded {
                precondition(ControlMessage.decode(message.encoded()) == decoded, "a message changed on a round trip")
            }
            _ = agent.received(decoded)
            if case .apply(let change) = gateway.received(decoded) {
                guard case .send(let ack) = gateway.applied(change, accepted: 0, rejected: []) else { return }
                precondition(ack.encoded().utf8.count <= ControlMessage.maximumSize, "an acknowledgement too long")
            }
        }
    }

    /// A multiplexer with streams under way and a user that answers everything it is told.
    private static func conversation(_ message: ByteBuffer, role: Multiplexer.Role) {
        var limits = FlowLimits()
        limits.budget = 512 * 1024
        var mux = Multiplexer(role: role, maxStreams: 4, limits: limits)
        if role == .gateway {
            let head = RequestHead(method: "POST", authority: "a", target: "/", fields: [:])
            for number in 1...3 { _ = mux.open(head, endStream: number == 2) }
            _ = mux.send(StreamID(1), ByteBuffer(repeating: 0, count: 100_000), endStream: false)
        }
        var reader = FrameReader(message)
        var unfinished: Set<StreamID> = []
        while let frame = try? reader.next() {
            switch mux.receive(frame) {
            case .opened(let id, let head, _):
                mux.respond(id, ResponseHead(status: 200, fields: [:]), endStream: head.method == "HEAD")
                if head.method != "HEAD" { unfinished.insert(id) }
            case .data(let id, let bytes, let endStream):
                mux.consumed(id, bytes.readableBytes)
                if unfinished.contains(id) {
                    _ = mux.send(id, bytes, endStream: endStream)
                    if endStream { unfinished.remove(id) }
                }
            case .trailers(let id, let fields):
                if unfinished.remove(id) != nil {
                    mux.send(id, trailers: HeaderBlock.trailers(fields).isSendable ? fields : [:])
                }
            case .reset(let id, _, _): unfinished.remove(id)
            case .close: return
            case .none, .responded, .refused, .draining: break
            }
            precondition(mux.reservedBytes <= limits.budget, "the budget is exceeded")
            var written = ByteBuffer()
            _ = mux.write(into: &written, limit: 64 * 1024)
            precondition(written.readableBytes <= FrameLimits.maxMessageSize, "a message too long")
            var own = FrameReader(written)
            do {
                while try own.next() != nil {}
            } catch {
                preconditionFailure("a frame of our own cannot be read: \(error)")
            }
        }
        for id in 1...8 { mux.reset(StreamID(UInt32(id)), .cancelled) }
    }
}
