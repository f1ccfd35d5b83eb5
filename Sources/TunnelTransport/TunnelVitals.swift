package import NIOCore
import Synchronization

/// What others may know of a tunnel without a visit to its event loop: how busy it is, for whoever chooses among
/// tunnels, and what it has carried, for metrics.
package final class TunnelVitals: Sendable {
    private let streams = Atomic<Int>(0)
    private let limit: Atomic<Int>
    private let isUsable = Atomic<Bool>(true)
    private let counts = Mutex(TunnelCounts())

    init(maxStreams: Int) { limit = Atomic(maxStreams) }

    /// Streams that are open, and those that were chosen to be (`expectStream`).
    package var openStreams: Int { streams.load(ordering: .relaxed) }
    package var maxStreams: Int { limit.load(ordering: .relaxed) }
    /// Whether streams may be opened: `false` for ever once the tunnel drains or has ended.
    package var takesStreams: Bool { isUsable.load(ordering: .relaxed) }

    /// Somebody has chosen this tunnel and is about to open a stream; the tunnel corrects the count when it has.
    package func expectStream() { streams.wrappingAdd(1, ordering: .relaxed) }

    /// As of the last second, and at the end.
    package var latest: TunnelCounts { counts.withLock { $0 } }

    // MARK: For the tunnel

    func setOpenStreams(_ count: Int) { streams.store(count, ordering: .relaxed) }
    func setMaxStreams(_ count: Int) { limit.store(count, ordering: .relaxed) }
    func takeNoMore() { isUsable.store(false, ordering: .relaxed) }
    func publish(_ counts: TunnelCounts) { self.counts.withLock { $0 = counts } }
}

/// What one tunnel has carried since its start.
package struct TunnelCounts: Hashable, Sendable {
    /// Bytes on the wire above TLS, WebSocket framing included.
    package var bytesIn = 0
    package var bytesOut = 0
    /// Streams opened or accepted, canaries included.
    package var streamsOpened = 0
    package var streamsOpen = 0
    /// How often a stream had something to send and no credit for it.
    package var stalls = 0
    /// Time that streams stood still so, summed over the streams and looked at once per second.
    package var stalledTime = TimeAmount.zero
    /// From ping to pong, smoothed; `nil` before the first.
    package var roundTrip: TimeAmount?

    package init() {}
}
