import NIOCore
import TunnelProtocol

/// What was sent of a request's body, while it is little enough to be kept for another try.
struct RequestReplay {
    /// As much as may be sent before the agent grants credit.
    private static let most = FrameLimits.initialRequestCredit

    /// All that was sent; `nil` once it was too much, or is not needed any more.
    private(set) var body: ByteBuffer? = ByteBuffer()

    mutating func sent(_ bytes: ByteBuffer) {
        guard var kept = body else { return }
        body = nil
        guard kept.readableBytes + bytes.readableBytes <= Self.most else { return }
        kept.writeImmutableBuffer(bytes)
        body = kept
    }

    mutating func giveUp() { body = nil }
}
