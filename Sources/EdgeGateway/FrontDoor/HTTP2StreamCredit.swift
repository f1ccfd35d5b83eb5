/// What a client may still send on one stream of HTTP/2, and when it hears that it may send more (RFC 9113 §6.9).
///
/// Credit returns for what was taken; while everything is taken at once, the window grows, so that a long line can be
/// full. What a stream that nobody takes from holds in memory is its window.
struct HTTP2StreamCredit: Hashable {
    /// RFC 9113 §6.9.2; windows are as large before any setting is known.
    static let first = 65_535
    private static let most = 1 << 20

    /// How large the window is to be.
    private(set) var window = Self.first
    /// What the client may send now.
    private var available = Self.first
    /// Something had to wait since credit was given the last time.
    private var hasWaited = false

    /// So much the client may send now, as the codec counts it.
    mutating func update(_ available: Int) { self.available = available }

    /// Bytes came that could not be taken at once.
    mutating func waited() { hasWaited = true }

    /// What the window has grown by since the start.
    var growth: Int { window - Self.first }

    /// The credit to be given now; 0 for none yet.
    ///
    /// - Parameters:
    ///   - waiting: bytes that are not taken.
    ///   - allowance: what the window may grow by.
    mutating func increment(waiting: Int, allowance: Int) -> Int {
        guard window - available - waiting >= window / 2 else { return 0 }
        if !hasWaited { window = min(window + min(window, max(0, allowance)), Self.most) }
        hasWaited = waiting > 0
        let increment = window - available - waiting
        available += increment
        return increment
    }
}
