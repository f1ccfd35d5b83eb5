extension APIResource {
    /// The types that every cluster has and this server knows.
    package static let builtIn: [APIResource] =
        core + events + apps + networking + accessControl + others + reviews

    private func with(_ change: (inout APIResource) -> Void) -> APIResource {
        var copy = self
        change(&copy)
        return copy
    }

    private static func make(
        _ group: String, _ kind: String, _ plural: String, namespaced: Bool = true, short: [String] = [],
        rules: ResourceRules = .plain, shape: MergeShape = .objectMetaOnly, columns: [TableColumn], all: Bool = false,
        fields: [String] = []
    ) -> APIResource {
        APIResource(group: group, version: "v1", kind: kind, plural: plural, isNamespaced: namespaced).with {
            $0.shortNames = short
            $0.rules = rules
            $0.shape = shape
            $0.columns = columns
            $0.hasStatus = [.namespace, .service, .ingress, .specAndStatus, .customResourceDefinition].contains(rules)
            if all { $0.categories = ["all"] }
            $0.selectableFields.formUnion(fields)
        }
    }

    private static let core: [APIResource] = [
        make(
            "", "Namespace", "namespaces", namespaced: false, short: ["ns"], rules: .namespace, shape: .namespace,
            columns: TableColumn.namespaces, fields: ["status.phase"]
        ).with { $0.verbs.removeAll { $0 == "deletecollection" } },
        make(
            "", "Service", "services", short: ["svc"], rules: .service, shape: .service, columns: TableColumn.services,
            all: true, fields: ["spec.clusterIP", "spec.type"]),
        make("", "ConfigMap", "configmaps", short: ["cm"], columns: TableColumn.configMaps),
        make("", "Secret", "secrets", columns: TableColumn.secrets, fields: ["type"]),
        make(
            "", "ServiceAccount", "serviceaccounts", short: ["sa"], shape: .serviceAccount,
            columns: TableColumn.serviceAccounts),
        make(
            "", "Pod", "pods", short: ["po"], rules: .specAndStatus, shape: .pod, columns: TableColumn.pods, all: true,
            fields: ["spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase", "status.podIP"]),
        make("", "Endpoints", "endpoints", short: ["ep"], columns: TableColumn.endpoints).with {
            $0.singular = "endpoints"
        },
        make(
            "", "Node", "nodes", namespaced: false, short: ["no"], rules: .specAndStatus, shape: .node,
            columns: TableColumn.nodes, fields: ["spec.unschedulable"]),
    ]

    private static func eventFields(_ involved: String) -> [String] {
        ["apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid"].map { "\(involved).\($0)" }
            + ["reason", "type"]
    }

    private static let events: [APIResource] = [
        make(
            "", "Event", "events", short: ["ev"], rules: .event,
            columns: TableColumn.events(involved: "involvedObject", message: "message"),
            fields: eventFields("involvedObject") + ["reportingComponent", "source"]),
        make(
            "events.k8s.io", "Event", "events", short: ["ev"], rules: .event,
            columns: TableColumn.events(involved: "regarding", message: "note"),
            fields: eventFields("regarding") + ["reportingController"]
        ).with { $0.storage = "events" },
    ]

    private static let apps: [APIResource] = [
        make(
            "apps", "Deployment", "deployments", short: ["deploy"], rules: .specAndStatus, shape: .workload,
            columns: TableColumn.deployments, all: true),
        make(
            "apps", "ReplicaSet", "replicasets", short: ["rs"], rules: .specAndStatus, shape: .workload,
            columns: TableColumn.replicaSets, all: true),
        make(
            "apps", "DaemonSet", "daemonsets", short: ["ds"], rules: .specAndStatus, shape: .workload,
            columns: TableColumn.daemonSets, all: true),
        make(
            "apps", "StatefulSet", "statefulsets", short: ["sts"], rules: .specAndStatus, shape: .workload,
            columns: TableColumn.statefulSets, all: true),
    ]

    private static let networking: [APIResource] = [
        make(
            "networking.k8s.io", "Ingress", "ingresses", short: ["ing"], rules: .ingress,
            columns: TableColumn.ingresses),
        make(
            "networking.k8s.io", "IngressClass", "ingressclasses", namespaced: false,
            columns: TableColumn.ingressClasses),
        make(
            "networking.k8s.io", "NetworkPolicy", "networkpolicies", short: ["netpol"], shape: .networkPolicy,
            columns: TableColumn.networkPolicies),
        make(
            "discovery.k8s.io", "EndpointSlice", "endpointslices", shape: .endpointSlice,
            columns: TableColumn.endpointSlices),
    ]

    private static let accessControl: [APIResource] = [
        ("Role", "roles", true, TableColumn.roles), ("RoleBinding", "rolebindings", true, TableColumn.roleBindings),
        ("ClusterRole", "clusterroles", false, TableColumn.roles),
        ("ClusterRoleBinding", "clusterrolebindings", false, TableColumn.roleBindings),
    ].map { kind, plural, namespaced, columns in
        make(
            "rbac.authorization.k8s.io", kind, plural, namespaced: namespaced, shape: .clusterRole, columns: columns)
    }

    private static let others: [APIResource] = [
        make("coordination.k8s.io", "Lease", "leases", columns: TableColumn.leases),
        make(
            "policy", "PodDisruptionBudget", "poddisruptionbudgets", short: ["pdb"], rules: .specAndStatus,
            shape: .podDisruptionBudget, columns: TableColumn.podDisruptionBudgets),
        make(
            "apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", namespaced: false,
            short: ["crd", "crds"], rules: .customResourceDefinition, shape: .customResourceDefinition,
            columns: TableColumn.customResourceDefinitions
        ).with { $0.categories = ["api-extensions"] },
    ]

    private static let reviews: [APIResource] = [
        ("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews", false),
        ("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews", false),
        ("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews", false),
        ("authorization.k8s.io", "LocalSubjectAccessReview", "localsubjectaccessreviews", true),
        ("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", false),
        ("authentication.k8s.io", "TokenReview", "tokenreviews", false),
    ].map { group, kind, plural, namespaced in
        make(group, kind, plural, namespaced: namespaced, rules: .review, columns: []).with { $0.verbs = ["create"] }
    }
}
