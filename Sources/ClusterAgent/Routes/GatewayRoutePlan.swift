package import Foundation
package import KubernetesAPI
import Routing

/// What the GatewayRoute of one Ingress should be, and whether it has to be written.
///
/// `Programmed`, in the order in which the rows are tried:
///
/// | situation | status | reason |
/// |---|---|---|
/// | the Ingress yields no routes | False | `NoRoutes` |
/// | observe-only mode | False | `SyncDisabled` |
/// | the cluster is public, and mode is `auto` | False | `ClusterPublic` |
/// | the cluster's type is not decided | False | `Pending` |
/// | another Ingress of this cluster has a host and path | False | `RouteConflict` |
/// | no session with the gateway | False | `TunnelDown` |
/// | the gateway refused a route for its host name | False | `HostnameConflict` |
/// | the agent's token does not allow a route's host name | False | `HostnameNotAllowed` |
/// | the gateway refused a route for another reason | False | `Rejected` |
/// | the gateway has not answered yet | False | `Pending` |
/// | otherwise | True | `Programmed` |
///
/// While the agent has only just started, an existing `Programmed` of the same routes stays as it is: the gateway goes
/// on serving them, and a restart of the agent writes nothing.
package struct GatewayRoutePlan: Sendable {
    package var ingress: Ingress
    package var extraction: IngressExtraction
    package var standing: RouteStanding
    package var finding: ExposureDetector.Finding
    package var controller: IngressControllerChoice?
    package var targetReason: IngressControllerSearch.Reason
    package var syncMode: AgentSettings.SyncMode
    package var clusterUUID: String
    /// For `lastTransitionTime`; whole seconds are written.
    package var now: Date

    package init(
        ingress: Ingress, extraction: IngressExtraction, standing: RouteStanding, finding: ExposureDetector.Finding,
        controller: IngressControllerChoice?,
        targetReason: IngressControllerSearch.Reason = .noIngressController, syncMode: AgentSettings.SyncMode,
        clusterUUID: String, now: Date
    ) {
        self.ingress = ingress
        self.extraction = extraction
        self.standing = standing
        self.finding = finding
        self.controller = controller
        self.targetReason = targetReason
        self.syncMode = syncMode
        self.clusterUUID = clusterUUID
        self.now = now
    }

    // MARK: The object

    /// The object to apply, without status, or `nil` where the existing one is as it should be.
    package func object(existing: GatewayRoute?) -> GatewayRoute? {
        let spec = GatewayRoute.Spec(ingressName: owner.name, clusterUUID: clusterUUID)
        if let existing, existing.hasOurLabel, existing.spec == spec,
            existing.metadata.ownerReferences?.contains(where: isOwner) == true
        {
            return nil
        }
        return GatewayRoute(
            metadata: ObjectMeta(
                name: ingress.metadata.name, namespace: ingress.metadata.namespace,
                labels: [GatewayRoute.managedByLabel: GatewayRoute.manager], ownerReferences: [owner]),
            spec: spec)
    }

    /// All owner references that an existing object should have, or `nil` where applying `object` is enough.
    ///
    /// An object has one controller. Another one than the Ingress cannot be applied away, because server-side apply
    /// leaves other managers' references alone and the server refuses a second controller. References that are not a
    /// controller's are other people's business and stay.
    package func ownerReferences(replacing existing: GatewayRoute?) -> [OwnerReference]? {
        let references = existing?.metadata.ownerReferences ?? []
        guard references.contains(where: { $0.controller == true && $0.uid != owner.uid }) else { return nil }
        return references.filter { $0.controller != true && $0.uid != owner.uid } + [owner]
    }

    private var owner: OwnerReference {
        OwnerReference(
            apiVersion: Ingress.definition.apiVersion, kind: Ingress.definition.kind,
            name: ingress.metadata.name ?? "", uid: ingress.metadata.uid ?? "", controller: true)
    }

    /// Whether a reference says what ours says. What it says beyond that, `blockOwnerDeletion`, is not ours.
    private func isOwner(_ reference: OwnerReference) -> Bool {
        var reference = reference
        reference.blockOwnerDeletion = nil
        return reference == owner
    }

    // MARK: The status

    /// Whether an existing status already lists these routes, so that the gateway may be told before anything is
    /// written.
    package func isAnnounced(by existing: GatewayRoute?) -> Bool {
        guard let status = existing?.status, status.condition(.programmed) != nil else { return false }
        return status.routeCount == extraction.routes.count && (status.routes ?? []) == listedRoutes
    }

    private var listedRoutes: [GatewayRoute.ListedRoute] {
        extraction.routes.prefix(GatewayRoute.Status.maximumListedRoutes).map(GatewayRoute.ListedRoute.init)
    }

    /// The object to apply to the status subresource, or `nil` where the current status is as it should be.
    ///
    /// - Parameter current: the object as the API server has it; its generation goes into the conditions.
    package func status(current: GatewayRoute) -> GatewayRoute? {
        var status = GatewayRoute.Status(
            clusterType: finding.clusterType, clusterTypeReason: finding.reason.rawValue,
            target: controller?.service.description ?? "Service", targetReason: targetReason.rawValue,
            hosts: Self.list(extraction.hosts.map(\.text)),
            routeCount: extraction.routes.count,
            routes: Self.list(listedRoutes),
            observedIngressGeneration: ingress.metadata.generation,
            // Kept while the routes are on their way again, so that it never goes back.
            revision: standing.revision ?? current.status?.revision)
        let programmed = programmedVerdict(keeping: current)
        status.conditions = [
            condition(.accepted, extraction.accepted, on: current),
            condition(.resolvedRefs, extraction.resolvedRefs, on: current),
            condition(.programmed, programmed, on: current),
        ]
        guard !Self.isSame(status, as: current.status) else { return nil }
        return GatewayRoute(
            metadata: ObjectMeta(name: ingress.metadata.name, namespace: ingress.metadata.namespace), status: status)
    }

    /// An empty list is left out, as the API server may do itself.
    private static func list<Element>(_ elements: [Element]) -> [Element]? { elements.isEmpty ? nil : elements }

    /// Whether nothing of ours differs. A revision alone is no news: it grows with every restart of the agent. Other
    /// people's conditions are none of our business.
    private static func isSame(_ desired: GatewayRoute.Status, as current: GatewayRoute.Status?) -> Bool {
        guard var current else { return false }
        current.revision = desired.revision
        current.hosts = list(current.hosts ?? [])
        current.routes = list(current.routes ?? [])
        let ours = Set(GatewayRoute.ConditionType.allCases.map(\.rawValue))
        func own(_ conditions: [Condition]?) -> Set<Condition> {
            Set((conditions ?? []).filter { ours.contains($0.type) })
        }
        guard own(current.conditions) == own(desired.conditions) else { return false }
        current.conditions = desired.conditions
        return current == desired
    }

    private func condition(
        _ type: GatewayRoute.ConditionType, _ verdict: ConditionVerdict<some Hashable>, on current: GatewayRoute
    ) -> Condition {
        let status: Condition.Status = verdict.isTrue ? .true : .false
        let previous = current.status?.condition(type)
        let seconds = now.timeIntervalSince1970.rounded(.down)
        return Condition(
            type: type.rawValue, status: status, observedGeneration: current.metadata.generation,
            lastTransitionTime: previous?.status == status
                ? previous?.lastTransitionTime ?? now : Date(timeIntervalSince1970: seconds),
            reason: verdict.reason.rawValue, message: verdict.message.cut(toScalars: Self.longestMessage))
    }

    /// What the custom resource allows, in Unicode scalars. Messages quote what people wrote into Ingresses, and what the
    /// gateway answered; a status with a longer one would be refused as a whole, for ever.
    package static let longestMessage = 32_768

    private func programmedVerdict(keeping current: GatewayRoute) -> ConditionVerdict<ProgrammedReason> {
        let verdict = programmedVerdict
        guard standing.tunnel == .starting, verdict.reason == .pending, isAnnounced(by: current),
            let previous = current.status?.condition(.programmed), previous.status == .true,
            let reason = ProgrammedReason(rawValue: previous.reason)
        else { return verdict }
        return .init(isTrue: true, reason: reason, message: previous.message)
    }

    /// The verdict by the table above.
    package var programmedVerdict: ConditionVerdict<ProgrammedReason> {
        func no(_ reason: ProgrammedReason, _ message: String) -> ConditionVerdict<ProgrammedReason> {
            .init(isTrue: false, reason: reason, message: message)
        }
        guard standing.routeCount > 0 else { return no(.noRoutes, "The Ingress yields no routes") }
        switch (standing.publication, syncMode) {
        case (_, .never): return no(.syncDisabled, "The agent only observes: its sync mode is never")
        case (.withdrawn, _): return no(.clusterPublic, "The cluster is public: \(finding.message)")
        case (.silent, _): return no(.pending, "The cluster type is not decided yet: \(finding.message)")
        case (.published, _): break
        }
        if let conflict = standing.conflicts.first {
            return no(
                .routeConflict,
                "Ingress \(conflict.winner) has \(conflict.key)\(Self.andMore(standing.conflicts.count)) already")
        }
        if standing.tunnel == .down { return no(.tunnelDown, "There is no tunnel to the gateway") }
        for reason in [ProgrammedReason.hostnameConflict, .hostnameNotAllowed] {
            guard let refused = standing.rejections.first(where: { $0.reason == reason.rawValue }) else { continue }
            return no(reason, "\(refused.key): \(refused.message)\(Self.andMore(standing.rejections.count))")
        }
        if let refused = standing.rejections.first {
            return no(
                .rejected,
                "\(refused.key): \(refused.reason): \(refused.message)\(Self.andMore(standing.rejections.count))")
        }
        if standing.pending > 0 { return no(.pending, "The gateway has not acknowledged the routes yet") }
        return .init(isTrue: true, reason: .programmed, message: "The gateway serves the routes")
    }

    private static func andMore(_ count: Int) -> String { count > 1 ? " (and \(count - 1) more)" : "" }
}

extension String {
    /// The string itself, or as much of its beginning as fits with an ellipsis at the end.
    fileprivate func cut(toScalars limit: Int) -> String {
        guard utf8.count > limit, unicodeScalars.count > limit else { return self }
        return String(String.UnicodeScalarView(unicodeScalars.prefix(limit - 1))) + "…"
    }
}

extension GatewayRoute.ListedRoute {
    init(_ extracted: ExtractedRoute) {
        let route = extracted.route
        self.init(
            host: route.host.text, path: route.path, pathType: route.pathType.rawValue, service: route.service,
            port: route.port, tls: route.tls)
    }
}
