package import NIOCore

/// Bounds what a peer can make this side write to its log: ten lines at once, and one every ten seconds after that.
package struct LineLimit: Hashable, Sendable {
    private var lines = FloodGuard.Bucket(perSecond: 0.1, burst: 10)
    private var heldBack = 0

    package init() {}

    /// Whether another line may be written, and how many were held back before it; `nil` holds it back.
    package mutating func pass(at now: NIODeadline) -> Int? {
        guard lines.spend(at: now) else {
            heldBack += 1
            return nil
        }
        defer { heldBack = 0 }
        return heldBack
    }
}
