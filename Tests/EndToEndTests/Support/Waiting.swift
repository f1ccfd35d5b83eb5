import Testing

/// Waits until `condition` holds, at most `limit`; records an issue and throws if it never does.
func eventually(
    within limit: Duration = .seconds(10), _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(2))
    }
    Issue.record(what, sourceLocation: sourceLocation)
    throw NeverHappened()
}

/// A condition that was waited for did not come about in time.
struct NeverHappened: Error {}
