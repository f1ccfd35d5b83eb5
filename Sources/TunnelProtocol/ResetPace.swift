import DequeModule
package import NIOCore

/// When a gateway may send its RESETs of streams that are not answered, so that clients who open requests and give them
/// up, however fast, are never taken for a gateway that floods.
///
/// Stays well below what `FloodGuard` lets pass at the agent: by so much that what a stalled connection delivers all at
/// once, after seconds, is no flood either. A RESET that has to wait keeps the place of its stream: giving up requests
/// gets nobody more of them than are open at once.
struct ResetPace {
    /// A stream to be reset, and what to say.
    struct Waiting {
        var id: StreamID
        var code: ResetCode
        var detail: String
    }

    private var bucket: FloodGuard.Bucket
    /// First come, first served; a stream may have ended meanwhile.
    private(set) var waiting: Deque<Waiting> = []

    init(maxStreams: Int) { bucket = Self.bucket(maxStreams) }

    /// The agent takes no more streams than this.
    mutating func limit(to maxStreams: Int) { bucket = Self.bucket(maxStreams) }

    private static func bucket(_ maxStreams: Int) -> FloodGuard.Bucket {
        FloodGuard.Bucket(perSecond: Double(max(50, maxStreams / 2)), burst: max(500, maxStreams))
    }

    /// Whether a RESET may leave now, before which none waits.
    mutating func mayReset(at now: NIODeadline) -> Bool { waiting.isEmpty && bucket.spend(at: now) }

    mutating func wait(_ reset: Waiting) { waiting.append(reset) }

    /// Whether the first RESET that waits may leave now.
    mutating func mayResetFirst(at now: NIODeadline) -> Bool { bucket.spend(at: now) }

    mutating func removeFirst() { waiting.removeFirst() }
}

extension Multiplexer {
    /// Ends a stream at once. One that is gone is ignored.
    ///
    /// From a gateway the RESET of one that is not answered may have to wait (`ResetPace`): then the stream takes its
    /// place until `resetAbandoned`, and what still comes for it is thrown away.
    ///
    /// - Parameter now: on the caller's monotonic clock.
    package mutating func reset(
        _ id: StreamID, _ code: ResetCode, detail: String = "", at now: NIODeadline = .distantPast
    ) {
        guard var stream = streams[id], !stream.isAbandoned else { return }
        guard role == .gateway, stream.received == .head, !pace.mayReset(at: now) else {
            return sendReset(id, code, detail)
        }
        abandon(&stream)
        streams[id] = stream
        pace.wait(.init(id: id, code: code, detail: detail))
    }

    /// Whether RESETs wait for their time.
    package var hasAbandoned: Bool { !pace.waiting.isEmpty }

    /// Sends the RESETs that waited and whose time has come. To be asked a few times per second while there are any.
    package mutating func resetAbandoned(at now: NIODeadline) {
        while let reset = pace.waiting.first {
            let isOpen = streams[reset.id] != nil
            guard !isOpen || pace.mayResetFirst(at: now) else { return }
            pace.removeFirst()
            if isOpen { sendReset(reset.id, reset.code, reset.detail) }
        }
    }

    /// An abandoned stream has its answer: a RESET costs nothing any more.
    mutating func resetAnswered(_ id: StreamID) { sendReset(id, .cancelled, "nobody waits for the answer") }

    private mutating func sendReset(_ id: StreamID, _ code: ResetCode, _ detail: String) {
        flood.reset()
        answer(.reset(id, code, detail: detail))
        remove(id)
    }

    /// What waits to be sent is dropped.
    private mutating func abandon(_ stream: inout Stream) {
        queuedBody -= stream.outbound.bytes
        stream.outbound = OutboundQueue()
        noteStall(&stream)
        stream.isCrowdedOut = false
        stream.isAbandoned = true
    }
}
