package import Testing

/// Waits until `condition` holds, at most `limit`; records an issue and throws if it never does. The limit is for what
/// never comes: all tests share a few threads, so what takes milliseconds alone may take seconds among the others.
package func eventually(
    within limit: Duration = .seconds(30), _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation,
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

/// What was waited for did not come about in time.
package struct NeverHappened: Error {
    package init() {}
}

/// Runs `operation` and throws `NeverHappened` if it takes longer than `limit`.
package func within<Result: Sendable>(
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

/// Runs services beside `body`, however they end, and cancels them afterwards. Throws `NeverHappened` where all of it
/// takes longer than `limit`.
package func withServices(
    _ services: [@Sendable () async throws -> Void], within limit: Duration,
    _ body: @escaping @Sendable () async throws -> Void
) async throws {
    try await within(limit) {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for service in services { group.addTask { try? await service() } }
            defer { group.cancelAll() }
            try await body()
        }
    }
}

/// Runs `run` beside `body` and cancels it afterwards.
package func withRunning<Result>(
    _ run: @escaping @Sendable () async throws -> Void, _ body: () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try? await run() }
        defer { group.cancelAll() }
        return try await body()
    }
}
