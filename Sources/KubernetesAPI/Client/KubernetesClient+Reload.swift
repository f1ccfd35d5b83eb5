import Logging
import Synchronization

extension KubernetesClient {
    /// The configuration is not looked up again more often than this.
    static let reloadInterval: Duration = .seconds(10)

    /// What is connected now, and what was before: requests under way on that are left to end.
    struct Connections {
        var current: ServerConnection
        var previous: ServerConnection?
        /// When the configuration was last looked up again.
        var checked: Duration?
    }

    /// Whether there is another connection now than `failed`. Files may have changed since they were read: the
    /// authority's or the client's certificate, a token in a kubeconfig, the address. A server that cannot be reached or
    /// does not accept who we are is when that matters, so nothing is watched meanwhile.
    func hasReplaced(_ failed: ServerConnection) async -> Bool {
        guard let reload else { return false }
        let now = time.now
        let isDue = connections.withLock { connections -> Bool? in
            guard connections.current === failed else { return nil }
            if let checked = connections.checked, now - checked < Self.reloadInterval { return false }
            connections.checked = now
            return true
        }
        // Another request has seen to it.
        guard let isDue else { return true }
        guard isDue else { return false }
        do {
            let configuration = try reload()
            guard configuration != failed.configuration else { return false }
            let next = try ServerConnection(configuration, requestTimeout: options.requestTimeout, time: time)
            let retired = connections.withLock { connections in
                let retired = connections.previous
                connections.previous = connections.current
                connections.current = next
                return retired
            }
            logger.info(
                "Kubernetes configuration changed, connecting anew",
                metadata: ["origin": "\(configuration.origin)", "server": "\(configuration.server)"])
            try? await retired?.shutdown()
            return true
        } catch {
            logger.warning("Kubernetes configuration cannot be read again", metadata: ["error": "\(error)"])
            return false
        }
    }
}
