package import KubernetesAPI
package import KubernetesRuntime
package import Logging
import ServiceLifecycle
import Settings
import Synchronization

/// Watches over the cluster's type and its ingress controller for as long as the agent runs.
///
/// Driven by the Service cache; there is a timer only while `ExposureDetector` waits for an address.
package final class ClusterTypeMonitor: ServiceLifecycle.Service, CacheSync {
    /// What the Services say at this moment.
    package struct Observation: Hashable, Sendable {
        package var finding: ExposureDetector.Finding
        package var controller: IngressControllerChoice?
        /// Why requests go to that controller, or to no controller.
        package var targetReason: IngressControllerSearch.Reason
        /// Where the cluster's own Service `default/kubernetes` answers, which is the API server.
        package var apiServers: Set<TargetPolicy.Endpoint>

        package init(
            finding: ExposureDetector.Finding, controller: IngressControllerChoice? = nil,
            targetReason: IngressControllerSearch.Reason = .noIngressController,
            apiServers: Set<TargetPolicy.Endpoint> = []
        ) {
            self.finding = finding
            self.controller = controller
            self.targetReason = targetReason
            self.apiServers = apiServers
        }
    }

    private struct State {
        var detector: ExposureDetector
        var current = Observation(finding: .notObserved)
        var hasObserved = false
    }

    private static let apiService = ObjectKey(namespace: "default", name: "kubernetes")

    private let services: Informer<KubernetesAPI.Service>
    private let search: IngressControllerSearch
    private let preference: IngressControllerProtocol
    private let isLeading: @Sendable () -> Bool
    private let events: EventRecorder?
    private let onChange: @Sendable (Observation) -> Void
    private let clock: any Clock<Duration>
    private let time: MonotonicTime
    private let logger: Logger
    private let state: Mutex<State>
    private let wakeups: AsyncStream<Void>
    private let wakeup: AsyncStream<Void>.Continuation

    /// Adds a handler to `services`, which must not run yet and must have the index `IngressControllerSearch.index`.
    ///
    /// - Parameters:
    ///   - ingressController: the Service that a setting names; `nil` looks at the known ones.
    ///   - preference: how an ingress controller takes HTTP/2.
    ///   - isLeading: whether this replica is the one that records Events.
    ///   - onChange: told every new observation, one at a time, the first one included. Must not ask for `current`.
    package init(
        services: Informer<KubernetesAPI.Service>, ingressController: ObjectKey?,
        preference: IngressControllerProtocol = .auto, gracePeriod: Duration,
        events: EventRecorder?, isLeading: @escaping @Sendable () -> Bool = { true },
        clock: any Clock<Duration> = ContinuousClock(), logger: Logger,
        onChange: @escaping @Sendable (Observation) -> Void
    ) {
        self.services = services
        let search = IngressControllerSearch(configured: ingressController)
        self.search = search
        self.preference = preference
        self.isLeading = isLeading
        self.events = events
        self.clock = clock
        time = MonotonicTime(clock)
        self.logger = logger
        self.onChange = onChange
        state = Mutex(State(detector: ExposureDetector(gracePeriod: gracePeriod)))
        let (wakeups, wakeup) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        (self.wakeups, self.wakeup) = (wakeups, wakeup)
        services.addHandler { change in
            if change.key == Self.apiService || search.concerns(change) { wakeup.yield() }
        }
    }

    /// The latest observation.
    package var current: Observation { state.withLock { $0.current } }

    package var hasSynced: Bool { state.withLock { $0.hasObserved } }

    /// Returns once the Services have been looked at.
    package func waitUntilSynced() async throws {
        try await services.waitUntilSynced()
        _ = observe()
    }

    /// Looks whenever a watched Service changes, or when the detector asked for it. Returns on graceful shutdown,
    /// throws `CancellationError` on cancellation.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            guard (try? await self.services.waitUntilSynced()) != nil else { return }
            self.wakeup.yield()
            await withDiscardingTaskGroup { group in
                var alarm: Duration?
                for await _ in self.wakeups {
                    guard let lookAgainAt = self.observe() else { continue }
                    // An alarm that is due earlier is harmless, and will ask for this one.
                    if let alarm, alarm > self.time.now, alarm <= lookAgainAt { continue }
                    alarm = lookAgainAt
                    group.addTask {
                        let delay = lookAgainAt - self.time.now
                        guard (try? await self.clock.sleep(for: max(delay, .zero))) != nil else { return }
                        self.wakeup.yield()
                    }
                }
                group.cancelAll()
            }
        }
        try Task.checkCancellation()
    }

    /// - Returns: when to look again although nothing changed.
    private func observe() -> Duration? {
        let store = services.store
        // Telling the others is part of the step: two observations must not overtake each other.
        return state.withLock { state in
            let candidates = search.candidates(in: store)
            let action = state.detector.observe(now: time.now, services: candidates.map(\.service))
            let controller = IngressControllerChoice(candidates, preference: preference)
            let observation = Observation(
                finding: action.finding, controller: controller,
                targetReason: controller?.reason ?? search.reasonForNone,
                apiServers: Self.endpoints(of: store.get(Self.apiService)))
            let previous = state.hasObserved ? state.current : nil
            state.hasObserved = true
            guard observation != previous else { return action.lookAgainAt }
            state.current = observation
            onChange(observation)
            report(observation, previous)
            return action.lookAgainAt
        }
    }

    private static func endpoints(of service: KubernetesAPI.Service?) -> Set<TargetPolicy.Endpoint> {
        guard let service, let ip = service.usableClusterIP, let address = IPAddress(ip) else { return [] }
        return Set((service.spec?.ports ?? []).map { .init(address: address, port: $0.port) })
    }

    private func report(_ observation: Observation, _ previous: Observation?) {
        let finding = observation.finding
        if finding != previous?.finding {
            logger.info(
                "Cluster type detected",
                metadata: [
                    "cluster_type": "\(finding.clusterType.rawValue.lowercased())",
                    "reason": "\(finding.reason.rawValue)",
                    "service": "\(finding.service?.description ?? "")",
                ])
        }
        if observation.controller != previous?.controller || observation.targetReason != previous?.targetReason {
            let reason = Logger.MetadataValue.string(observation.targetReason.rawValue)
            if let controller = observation.controller {
                logger.info(
                    "Ingress controller selected",
                    metadata: [
                        "service": "\(controller.service)", "reason": reason,
                        "address": "\(controller.clusterIP):\(controller.httpPort)",
                        "https_port": "\(controller.httpsPort.map(String.init) ?? "")",
                    ])
            } else {
                logger.info("No ingress controller, requests go to Services directly", metadata: ["reason": reason])
            }
        }
        if let previous, finding.clusterType != previous.finding.clusterType, let key = finding.service,
            let service = services.store.get(key), isLeading()
        {
            events?.record(
                ObjectReference(to: service), type: .normal, reason: "ClusterTypeChanged", action: "DetectClusterType",
                note: "The cluster is \(finding.clusterType.rawValue.lowercased()): \(finding.message)")
        }
    }
}
