// How the built-in types merge. The keys are those of the Kubernetes API reference (`x-kubernetes-list-map-keys`,
// `x-kubernetes-patch-merge-key`); only the lists that differ from "replaced whole" are named.

extension MergeShape {
    /// `metadata`.
    static let objectMeta = MergeShape.object([
        "finalizers": .set,
        "ownerReferences": .listMap(["uid"]),
    ])

    /// An object of which only `metadata` is described.
    package static let objectMetaOnly = MergeShape.object(["metadata": .objectMeta])

    private static let conditions = MergeShape.listMap(["type"])
    private static let localObjectReferences = MergeShape.listMap(["name"])

    private static func kind(spec: MergeShape = .plain, status: MergeShape = .plain) -> MergeShape {
        .object(["metadata": .objectMeta, "spec": spec, "status": status])
    }

    private static let container: [String: MergeShape] = [
        "ports": .listMap(["containerPort", "protocol"], defaults: ["protocol": "TCP"]),
        "env": .listMap(["name"]),
        "volumeMounts": .listMap(["mountPath"]),
        "volumeDevices": .listMap(["devicePath"]),
        "resources": .object(["claims": .listMap(["name"])]),
    ]

    private static let podSpec = MergeShape.object([
        "containers": .listMap(["name"], container),
        "initContainers": .listMap(["name"], container),
        "ephemeralContainers": .listMap(["name"], container),
        "volumes": .listMap(["name"]),
        "imagePullSecrets": localObjectReferences,
        "hostAliases": .listMap(["ip"]),
        "topologySpreadConstraints": .listMap(["topologyKey", "whenUnsatisfiable"]),
        "schedulingGates": .listMap(["name"]),
        "resourceClaims": .listMap(["name"]),
        "nodeSelector": .atomicMap,
    ])

    static let pod = kind(
        spec: podSpec, status: .object(["conditions": conditions, "podIPs": .listMap(["ip"])]))

    static let workload = kind(
        spec: .object([
            "selector": .atomicMap,
            "template": .object(["metadata": .objectMeta, "spec": podSpec]),
        ]),
        status: .object(["conditions": conditions]))

    static let service = kind(
        spec: .object([
            "ports": .listMap(["port", "protocol"], defaults: ["protocol": "TCP"]),
            "selector": .atomicMap,
            "externalIPs": .atomicList(strategic: ""),
        ]),
        status: .object(["conditions": conditions]))

    static let serviceAccount = MergeShape.object([
        "metadata": .objectMeta, "secrets": localObjectReferences, "imagePullSecrets": localObjectReferences,
    ])

    static let namespace = kind(status: .object(["conditions": conditions]))

    static let node = kind(
        spec: .object(["podCIDRs": .set]),
        status: .object(["conditions": conditions, "addresses": .listMap(["type"])]))

    static let networkPolicy = kind(status: .object(["conditions": conditions]))

    static let podDisruptionBudget = kind(
        spec: .object(["selector": .atomicMap]), status: .object(["conditions": conditions]))

    static let endpointSlice = MergeShape.object([
        "metadata": .objectMeta, "endpoints": .plain, "ports": .plain,
    ])

    static let clusterRole = MergeShape.object([
        "metadata": .objectMeta, "aggregationRule": .plain, "roleRef": .atomicMap,
    ])

    static let customResourceDefinition = kind(
        spec: .object(["names": .plain]), status: .object(["conditions": conditions]))
}
