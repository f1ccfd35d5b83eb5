import ClusterAgent

extension AgentCommand {
    /// What was given on the command line. The switch makes sure that no setting is forgotten.
    var flags: [AgentSettings.Name: String?] {
        Dictionary(uniqueKeysWithValues: AgentSettings.Name.allCases.map { ($0, flag($0)) })
    }

    private func flag(_ name: AgentSettings.Name) -> String? {
        switch name {
        case .config: operation.config
        case .clusterUUID: gateway.clusterUUID
        case .gatewayURL: gateway.gatewayURL
        case .gatewayCAFile: gateway.gatewayCAFile
        case .gatewayServerName: gateway.gatewayServerName
        case .gatewayClientCertificate: gateway.gatewayClientCertificate
        case .gatewayClientKey: gateway.gatewayClientKey
        case .gatewayProxy: gateway.gatewayProxy
        case .tunnels: gateway.tunnels
        case .tokenFile: gateway.tokenFile
        case .kubeconfig: cluster.kubeconfig
        case .context: cluster.context
        case .sync: gateway.sync
        case .loadBalancerGrace: cluster.loadBalancerGrace
        case .ingressController: cluster.ingressController
        case .ingressControllerProtocol: cluster.ingressControllerProtocol
        case .backendCAFile: cluster.backendCAFile
        case .ingressClass: Self.list(ingresses.ingressClass)
        case .ingressSelector: ingresses.ingressSelector
        case .namespace: Self.list(ingresses.namespace)
        case .updateIngressStatus: ingresses.updateIngressStatus.map(\.description)
        case .offlinePages: ingresses.offlinePages.map(\.description)
        case .clusterDomain: cluster.clusterDomain
        case .gatewayDomain: gateway.gatewayDomain
        case .allowLoopbackTargets: cluster.allowLoopbackTargets.map(\.description)
        case .adminListen: operation.adminListen
        case .connectTimeout: limits.connectTimeout
        case .responseTimeout: limits.responseTimeout
        case .idleTimeout: limits.idleTimeout
        case .tunnelMemory: limits.tunnelMemory
        case .maxStreams: limits.maxStreams
        case .reconnectMin: limits.reconnectMin
        case .reconnectMax: limits.reconnectMax
        case .shutdownGrace: limits.shutdownGrace
        case .leaderElect: leaderElection.leaderElect.map(\.description)
        case .leaderElectLease: leaderElection.leaderElectLease
        case .leaderElectLeaseDuration: leaderElection.leaderElectLeaseDuration
        case .leaderElectRenewDeadline: leaderElection.leaderElectRenewDeadline
        case .leaderElectRetryPeriod: leaderElection.leaderElectRetryPeriod
        case .logFormat: operation.logFormat
        case .logLevel: operation.logLevel
        }
    }

    /// A flag that was repeated, in the form in which the environment has a list.
    private static func list(_ values: [String]) -> String? {
        values.isEmpty ? nil : values.joined(separator: ",")
    }
}
