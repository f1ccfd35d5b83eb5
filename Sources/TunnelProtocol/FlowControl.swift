/// Memory that the streams of one tunnel may fill with bytes the peer sends, in bytes.
///
/// Credit is a promise of memory: what is granted is reserved, so that the sum over all streams never exceeds the
/// budget, whatever the peer does. What waits to be sent to the peer is in the same memory: the more of it waits, the
/// less is granted, and the other way round.
package struct ReceiveBudget: Hashable, Sendable {
    package let total: Int
    package private(set) var reserved = 0
    /// Bytes that wait to be sent.
    var queued = 0

    package init(total: Int) { self.total = total }

    package var free: Int { total - reserved - queued }

    /// Bytes that may wait to be sent before sources are told to stop: half of what is not promised, but always an
    /// eighth, which keeps both directions moving.
    var queueLimit: Int { max((total - reserved) / 2, total / 8) }

    /// The smallest credit worth opening a stream with.
    static let smallestGrant = 16 * 1024

    /// What a new stream starts with: plenty while there is plenty, less as the budget fills, `nil` when even the
    /// smallest grant does not fit.
    ///
    /// A 512th of what is free: a thousand streams whose readers have all stopped still leave room for the next.
    func openingGrant(limits: FlowLimits) -> Int? {
        guard free >= Self.smallestGrant else { return nil }
        return min(max(free / 512, Self.smallestGrant), limits.openingWindow)
    }

    /// What one window may grow by: a quarter of what is free, but never into the half that is kept for new streams.
    var growthAllowance: Int { max(0, free - total / 2) / 4 }

    /// So little is free that windows give memory back as they turn over.
    var isTight: Bool { free < total / 8 }

    mutating func reserve(_ bytes: Int) { reserved += bytes }

    mutating func release(_ bytes: Int) {
        reserved -= bytes
        precondition(reserved >= 0, "more memory released than reserved")
    }
}

/// Sizes of the windows, in bytes.
package struct FlowLimits: Hashable, Sendable {
    /// What a stream starts with at most.
    package var openingWindow = 1024 * 1024
    /// What a stream's window grows to while its sender stays limited by it.
    ///
    /// A window of 6 MiB lets a stream move 40 MB/s and more over a round trip of 100 ms.
    package var largestWindow = 6 * 1024 * 1024
    /// What is promised and what waits to be sent, over all streams of a tunnel together.
    package var budget = 64 * 1024 * 1024
    /// Bytes of one stream queued for sending above which its source is told to stop.
    package var sendQueueHigh = 64 * 1024
    /// Bytes of one stream queued for sending below which its source may go on.
    package var sendQueueLow = 32 * 1024
    /// The most bytes of one stream sent before another stream's turn.
    package var turn = 16 * 1024

    package init() {}

    /// Promises less than the memory there is: buffers are larger than their bytes, by up to a third.
    ///
    /// - Parameter memory: what a tunnel may take, in bytes.
    package init(memory: Int) { budget = memory / 4 * 3 }
}

/// The receiving half of one stream's flow control.
///
/// ```
/// outstanding  bytes the peer may still send
/// held         bytes that arrived and are not written onward yet
/// spent        bytes written onward whose credit is not given back yet
/// ```
/// The three together are the window, and are what the stream has reserved.
struct ReceiveWindow: Hashable, Sendable {
    private(set) var outstanding: Int
    private(set) var held = 0
    private(set) var spent = 0
    /// Whether the peer has used nearly all its credit since the last update: it is limited by the window.
    private var wasLimiting = false

    init(granted: Int) { outstanding = granted }

    var window: Int { outstanding + held + spent }

    /// Bytes arrived. `false` means the peer had no credit for them.
    mutating func received(_ bytes: Int) -> Bool {
        guard bytes <= outstanding else { return false }
        outstanding -= bytes
        held += bytes
        if outstanding < window / 4 { wasLimiting = true }
        return true
    }

    /// Bytes were written onward. Returns the credit to give back now, 0 for none yet; the window grows by doubling
    /// while it limits its sender and the budget has room, and shrinks where the budget is tight.
    mutating func consumed(_ bytes: Int, budget: inout ReceiveBudget, limits: FlowLimits) -> Int {
        let bytes = min(bytes, held)
        held -= bytes
        spent += bytes
        guard spent >= window / 2 else { return 0 }
        var increment = spent
        if budget.isTight, window > ReceiveBudget.smallestGrant {
            let givenBack = min(spent / 2, window - ReceiveBudget.smallestGrant)
            budget.release(givenBack)
            increment -= givenBack
        } else if wasLimiting, window < limits.largestWindow {
            let growth = min(window, limits.largestWindow - window, budget.growthAllowance)
            budget.reserve(growth)
            increment += growth
        }
        wasLimiting = false
        spent = 0
        outstanding += increment
        return increment
    }

    /// Grants more, reserved by the caller.
    mutating func raise(by bytes: Int) { outstanding += bytes }

    /// The peer has sent its last byte: only what is held stays reserved.
    mutating func ended(budget: inout ReceiveBudget) {
        budget.release(outstanding + spent)
        outstanding = 0
        spent = 0
    }

    /// Bytes were written onward after the end.
    mutating func consumedAfterEnd(_ bytes: Int, budget: inout ReceiveBudget) {
        let bytes = min(bytes, held)
        held -= bytes
        budget.release(bytes)
    }

    /// The stream is gone.
    mutating func closed(budget: inout ReceiveBudget) {
        budget.release(window)
        outstanding = 0
        held = 0
        spent = 0
    }
}

/// The sending half of one stream's flow control.
struct SendWindow: Hashable, Sendable {
    private(set) var credit: Int

    static let largest = Int(Int32.max)

    init(credit: Int) { self.credit = credit }

    mutating func spend(_ bytes: Int) {
        credit -= bytes
        precondition(credit >= 0, "more bytes sent than there was credit for")
    }

    /// `false` if the sum leaves the permitted range (2³¹−1).
    mutating func add(_ increment: UInt32) -> Bool {
        guard increment > 0, credit + Int(increment) <= Self.largest else { return false }
        credit += Int(increment)
        return true
    }
}
