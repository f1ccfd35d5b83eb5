import ServiceLifecycle

/// Both listeners as one service: when the gateway is told to end, both must hear of it at once. Services of their own
/// would be shut down one after the other, and agents would learn of the end only when the front door is shut.
struct TrafficService: Service {
    let tunnels: TunnelServer
    let front: FrontDoor

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await tunnels.run() }
            group.addTask { try await front.run() }
            // What keeps one from listening ends the other at once.
            for try await _ in group {}
        }
    }
}
