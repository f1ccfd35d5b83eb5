import NIOCore
import TunnelProtocol

/// What happens once per second, and what tells a live peer from one that only looks alive.
extension TunnelHandler {
    static let tickInterval = TimeAmount.seconds(1)

    func tick() {
        let now = NIODeadline.now()
        switch liveness.tick(at: now) {
        case .none: break
        case .ping: write(ByteBuffer(integer: roundTrip.ping(at: now)), opcode: WebSocketOpcode.ping)
        case .dead: return close(.silent)
        }
        switch canary?.tick(at: now) {
        case .open: openCanary()
        case .failed(let detail): return close(.unresponsive(detail))
        case .some(.none), nil: break
        }
        if canaryWatch?.isMissed(at: now) == true {
            return close(.unresponsive("the gateway sends no canaries any more"))
        }
        counts.stalledTime = counts.stalledTime + (now - tickedAt) * multiplexer.stalledStreams
        tickedAt = now
        publishCounts()
        // Streams that were stopped for the others' sake may go on although nothing was sent.
        flushOutput()
    }

    func publishCounts() {
        counts.streamsOpen = multiplexer.streamCount
        counts.stalls = multiplexer.stalls
        counts.roundTrip = roundTrip.smoothed
        vitals.publish(counts)
    }

    func receivedPong(_ payload: ByteBuffer) {
        roundTrip.pong(payload.readableBytes == 8 ? payload.getInteger(at: payload.readerIndex) : nil, at: readAt)
    }

    // MARK: Canary

    /// Sends canaries from now on (gateway only).
    func startCanaries(every interval: TimeAmount, timeout: TimeAmount) {
        canary = Canary(now: .now(), interval: interval, timeout: timeout)
        tick()
    }

    /// Expects canaries from now on (agent only).
    func expectCanaries(every interval: TimeAmount) {
        canaryWatch = CanaryWatch(interval: interval)
        if let lastCanary { canaryWatch?.received(at: lastCanary) }
    }

    /// This side or the peer drains: no canary is sent, or awaited, any more.
    func endCanaries() {
        canary = nil
        canaryWatch = nil
    }

    private func openCanary() {
        switch multiplexer.openCanary() {
        case .opened(let id):
            canaryStream = id
            counts.streamsOpened += 1
            scheduleFlush()
        case .draining: endCanaries()
        case .streamLimit, .memory: canary?.refused()
        }
    }

    /// Takes what came for the canary's stream, and for no other.
    func takeCanary(_ id: StreamID, bytes: Int = 0, isLast: Bool) {
        if bytes > 0 { multiplexer.consumed(id, bytes) }
        guard isLast else { return }
        canaryStream = nil
        canary?.answered(at: readAt)
    }
}
