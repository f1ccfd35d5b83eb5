import DequeModule
import NIOCore

/// What waits to be sent stays within the tunnel's budget, too, however many streams stand still.
///
/// A source is told to stop when much of its own waits (`sendQueueHigh`), and also, whatever waits of its own, while the
/// queues of all streams together fill half of what of the budget is not promised to the peer: what is under way to a
/// queue when its source is told to stop is one read, and the other half has room for that. Beyond the whole budget no
/// stream is opened or accepted.
extension Multiplexer {
    mutating func queue(_ bytes: ByteBuffer, _ stream: inout Stream) {
        if stream.sendWindow.credit == 0 || stream.outbound.bytes > 0 {
            stream.outbound.held.hold(bytes)
        } else {
            stream.outbound.held.append(bytes)
        }
        queuedBody += bytes.readableBytes
    }

    /// Stops a source for the others' sake.
    mutating func holdBackIfCrowded(_ id: StreamID, _ stream: inout Stream) {
        guard queuedBody > budget.queueLimit, !stream.isCrowdedOut, stream.outbound.isOpen else { return }
        stream.isHeldBack = true
        stream.isCrowdedOut = true
        crowdedOut.append(id)
    }

    /// Whether what waits for readers that have stopped is so much that a new stream would wait for them, too.
    var isStuck: Bool {
        guard queuedBody > budget.queueLimit else { return false }
        let stuck = streams.values.reduce(0) { $0 + ($1.isStalled ? $1.outbound.bytes : 0) }
        return stuck >= budget.queueLimit / 4 * 3
    }

    /// Names streams whose sources were stopped for the others' sake and may go on, first come first served and few at
    /// a time: what they send is not known yet. To be asked after every `write`, and once per second.
    package mutating func letIn() -> [StreamID] {
        guard !crowdedOut.isEmpty, queuedBody < budget.queueLimit / 4 * 3 else { return [] }
        var released: [StreamID] = []
        while released.count < 16, let id = crowdedOut.popFirst() {
            guard var stream = streams[id], stream.isCrowdedOut else { continue }
            stream.isCrowdedOut = false
            // Where too much of its own waits, its next turn sees to it.
            if stream.outbound.bytes < limits.sendQueueLow {
                stream.isHeldBack = false
                released.append(id)
            }
            streams[id] = stream
        }
        return released
    }

    /// Keeps count of the streams that stand still for want of credit.
    mutating func noteStall(_ stream: inout Stream) {
        let isStalled = stream.outbound.bytes > 0 && stream.sendWindow.credit == 0
        guard isStalled != stream.isStalled else { return }
        stream.isStalled = isStalled
        stalledStreams += isStalled ? 1 : -1
        if isStalled { stalls += 1 }
    }
}
