/// Reads any clock as the time since this value was made, so that pure code sees only durations.
package struct MonotonicTime: Sendable {
    private let read: @Sendable () -> Duration
    private let wait: @Sendable (Duration) async throws -> Void

    package init(_ clock: any Clock<Duration>) {
        self.init(opened: clock)
    }

    private init<C: Clock<Duration>>(opened clock: C) {
        let start = clock.now
        read = { start.duration(to: clock.now) }
        wait = { try await clock.sleep(until: start.advanced(by: $0), tolerance: nil) }
    }

    /// Time since this value was made.
    package var now: Duration { read() }

    /// Returns when `now` has reached `time`; throws `CancellationError` if the task is cancelled before.
    package func sleep(until time: Duration) async throws { try await wait(time) }
}
