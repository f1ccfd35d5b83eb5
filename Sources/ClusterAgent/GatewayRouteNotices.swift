import KubernetesAPI
package import KubernetesRuntime

/// What a change of a GatewayRoute's status means to the person who wrote the Ingress; recorded as Events.
package struct GatewayRouteNotice: Hashable, Sendable {
    package var type: EventType
    package var reason: String
    package var action: String
    package var note: String

    package init(type: EventType, reason: String, action: String, note: String) {
        self.type = type
        self.reason = reason
        self.action = action
        self.note = note
    }

    /// The notices for a change of status. What merely passes (`Pending`, `TunnelDown`) is in the status alone.
    package static func notices(from old: GatewayRoute.Status?, to new: GatewayRoute.Status) -> [GatewayRouteNotice] {
        var notices: [GatewayRouteNotice] = []
        if let before = old?.clusterType, let now = new.clusterType, before != now, before != .unknown {
            notices.append(
                .init(
                    type: .normal, reason: "ClusterTypeChanged", action: "DetectClusterType",
                    note: "The cluster is \(now.rawValue.lowercased()) now: \(new.clusterTypeReason ?? "")"))
        }
        for type in GatewayRoute.ConditionType.allCases {
            guard let condition = new.condition(type) else { continue }
            let before = old?.condition(type)
            guard
                condition.status != before?.status || condition.reason != before?.reason
                    || condition.message != before?.message
            else { continue }
            let isNews = condition.status != before?.status || condition.reason != before?.reason
            switch (type, condition.status) {
            case (.accepted, .true):
                if condition.message != IngressExtraction.acceptedMessage {
                    notices.append(
                        .init(type: .warning, reason: "RuleSkipped", action: "Accept", note: condition.message))
                } else if isNews {
                    notices.append(.init(type: .normal, reason: "Accepted", action: "Accept", note: condition.message))
                }
            case (.accepted, _):
                notices.append(
                    .init(type: .warning, reason: condition.reason, action: "Accept", note: condition.message))
            case (.resolvedRefs, .true):
                // Nobody asks about what was never amiss.
                if before?.status == .false {
                    notices.append(
                        .init(type: .normal, reason: condition.reason, action: "Resolve", note: condition.message))
                }
            case (.resolvedRefs, _):
                notices.append(
                    .init(type: .warning, reason: condition.reason, action: "Resolve", note: condition.message))
            case (.programmed, .true):
                if isNews {
                    notices.append(
                        .init(type: .normal, reason: condition.reason, action: "Program", note: condition.message))
                }
            case (.programmed, _):
                switch ProgrammedReason(rawValue: condition.reason) {
                case .routeConflict, .hostnameConflict, .hostnameNotAllowed, .rejected:
                    notices.append(
                        .init(type: .warning, reason: condition.reason, action: "Program", note: condition.message))
                case .clusterPublic where isNews, .syncDisabled where isNews:
                    notices.append(
                        .init(type: .normal, reason: condition.reason, action: "Program", note: condition.message))
                default: break
                }
            }
        }
        return notices
    }
}
