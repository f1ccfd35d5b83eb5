import Testing

/// Waits until `condition` holds, at most `limit`; records an issue if it never does.
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

struct NeverHappened: Error {}

/// Runs `operation` and fails if it takes longer than `limit`.
func within<Result: Sendable>(
    _ limit: Duration, _ operation: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result.self) { group in
        group.addTask { try await operation() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw NeverHappened()
        }
        defer { group.cancelAll() }
        guard let result = try await group.next() else { throw NeverHappened() }
        return result
    }
}
