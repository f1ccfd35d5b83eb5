/// Reads any clock as the time since this value was made, so that pure code sees only durations.
package struct MonotonicTime: Sendable {
    private let read: @Sendable () -> Duration

    package init(_ clock: any Clock<Duration>) {
        read = Self.stopwatch(clock)
    }

    /// Time since this value was made.
    package var now: Duration { read() }

    private static func stopwatch<C: Clock<Duration>>(_ clock: C) -> @Sendable () -> Duration {
        let start = clock.now
        return { start.duration(to: clock.now) }
    }
}
