/// The built-in types that kubectl's own generators (`kubectl create namespace`, `create configmap`, `auth can-i`, …) send as
/// protocol buffers, without falling back to JSON. Field numbers are those of the published API.
///
/// Answers are always JSON, which every client accepts beside protobuf.
package enum ProtobufTypes {
    private typealias Message = ProtobufMessage

    /// The bytes in front of every protobuf object of the API.
    private static let magic: [UInt8] = [0x6B, 0x38, 0x73, 0x00]

    /// Reads a protobuf request body into the JSON form of its object.
    ///
    /// - Throws: ``APIStatus`` 415 for a type not described here, 400 for bytes that are none.
    package static func decode(_ body: [UInt8]) throws(APIStatus) -> JSONValue {
        guard body.starts(with: magic) else { throw .badRequest("the body is not a Kubernetes protobuf object") }
        do {
            var reader = ProtobufReader(body.dropFirst(magic.count))
            var type: JSONValue = [:]
            var raw: ArraySlice<UInt8> = []
            while let (number, payload) = try reader.next() {
                switch number {
                case 1: type = try Message([1: ("apiVersion", .string), 2: ("kind", .string)]).read(payload.bytes())
                case 2: raw = try payload.bytes()
                default: break
                }
            }
            guard let message = messages["\(type.text("apiVersion")) \(type.text("kind"))"] else {
                throw APIStatus.unsupportedMediaType(["application/json", "application/yaml"])
            }
            var object = try message.read(raw)
            object["apiVersion"] = type["apiVersion"]
            object["kind"] = type["kind"]
            return object
        } catch let status as APIStatus {
            throw status
        } catch {
            throw .badRequest("the protobuf body cannot be read: \(error)")
        }
    }

    private static let messages: [String: ProtobufMessage] = [
        "v1 Namespace": object([2: ("spec", .message(Message([1: ("finalizers", .list(.string))])))]),
        "v1 ConfigMap": object([
            2: ("data", .map(.string)), 3: ("binaryData", .map(.bytes)), 4: ("immutable", .optional(.bool)),
        ]),
        "v1 Secret": object([
            2: ("data", .map(.bytes)), 3: ("type", .string), 4: ("stringData", .map(.string)),
            5: ("immutable", .optional(.bool)),
        ]),
        "v1 ServiceAccount": object([
            3: ("imagePullSecrets", .list(.message(Message([1: ("name", .string)])))),
            4: ("automountServiceAccountToken", .optional(.bool)),
        ]),
        "v1 Service": object([2: ("spec", .message(serviceSpec))]),
        "apps/v1 Deployment": object([2: ("spec", .message(deploymentSpec))]),
        "networking.k8s.io/v1 Ingress": object([2: ("spec", .message(ingressSpec))]),
        "rbac.authorization.k8s.io/v1 Role": object([2: ("rules", .list(.message(policyRule)))]),
        "rbac.authorization.k8s.io/v1 ClusterRole": object([2: ("rules", .list(.message(policyRule)))]),
        "rbac.authorization.k8s.io/v1 RoleBinding": binding,
        "rbac.authorization.k8s.io/v1 ClusterRoleBinding": binding,
        "policy/v1 PodDisruptionBudget": object([
            2: (
                "spec",
                .message(
                    Message([
                        1: ("minAvailable", .optional(.intOrString)), 2: ("selector", .message(labelSelector)),
                        3: ("maxUnavailable", .optional(.intOrString)),
                    ]))
            )
        ]),
        "authorization.k8s.io/v1 SelfSubjectAccessReview": object([
            2: (
                "spec",
                .message(
                    Message([
                        1: ("resourceAttributes", .message(resourceAttributes)),
                        2: ("nonResourceAttributes", .message(Message([1: ("path", .string), 2: ("verb", .string)]))),
                    ]))
            )
        ]),
        "authorization.k8s.io/v1 SelfSubjectRulesReview": object([
            2: ("spec", .message(Message([1: ("namespace", .string)])))
        ]),
        "authentication.k8s.io/v1 SelfSubjectReview": object([:]),
    ]

    /// An object with metadata (1), the given fields, and a status (3) that the server ignores.
    private static func object(_ fields: [Int: (String, ProtobufMessage.Form)]) -> ProtobufMessage {
        var fields = fields
        fields[1] = ("metadata", .message(metadata))
        if fields[3] == nil { fields[3] = ("status", .time) }
        if fields[2] == nil { fields[2] = ("status", .time) }
        return Message(fields)
    }

    private static let metadata = Message([
        1: ("name", .string), 2: ("generateName", .string), 3: ("namespace", .string), 5: ("uid", .string),
        6: ("resourceVersion", .string), 8: ("creationTimestamp", .time), 9: ("deletionTimestamp", .time),
        11: ("labels", .map(.string)), 12: ("annotations", .map(.string)),
        13: (
            "ownerReferences",
            .list(
                .message(
                    Message([
                        1: ("kind", .string), 3: ("name", .string), 4: ("uid", .string), 5: ("apiVersion", .string),
                        6: ("controller", .optional(.bool)), 7: ("blockOwnerDeletion", .optional(.bool)),
                    ])))
        ),
        14: ("finalizers", .list(.string)),
    ])

    private static let labelSelector = Message([1: ("matchLabels", .map(.string))])

    private static let serviceSpec = Message([
        1: (
            "ports",
            .list(
                .message(
                    Message([
                        1: ("name", .string), 2: ("protocol", .string), 3: ("port", .integer),
                        4: ("targetPort", .intOrString), 5: ("nodePort", .integer), 6: ("appProtocol", .string),
                    ])))
        ),
        2: ("selector", .map(.string)), 3: ("clusterIP", .string), 4: ("type", .string),
        5: ("externalIPs", .list(.string)), 7: ("sessionAffinity", .string), 8: ("loadBalancerIP", .string),
        10: ("externalName", .string), 11: ("externalTrafficPolicy", .string),
        13: ("publishNotReadyAddresses", .bool), 18: ("clusterIPs", .list(.string)),
        19: ("ipFamilies", .list(.string)), 20: ("allocateLoadBalancerNodePorts", .optional(.bool)),
        21: ("loadBalancerClass", .string), 22: ("internalTrafficPolicy", .string),
    ])

    private static let container = Message([
        1: ("name", .string), 2: ("image", .string), 3: ("command", .list(.string)), 4: ("args", .list(.string)),
        5: ("workingDir", .string),
        6: (
            "ports",
            .list(
                .message(
                    Message([
                        1: ("name", .string), 2: ("hostPort", .integer), 3: ("containerPort", .integer),
                        4: ("protocol", .string), 5: ("hostIP", .string),
                    ])))
        ),
        7: ("env", .list(.message(Message([1: ("name", .string), 2: ("value", .string)])))),
        8: ("resources", .message(Message([:]))), 13: ("terminationMessagePath", .string),
        14: ("imagePullPolicy", .string), 20: ("terminationMessagePolicy", .string),
    ])

    private static let deploymentSpec = Message([
        1: ("replicas", .optional(.integer)), 2: ("selector", .message(labelSelector)),
        3: (
            "template",
            .message(
                Message([
                    1: ("metadata", .message(metadata)),
                    2: (
                        "spec",
                        .message(
                            Message([2: ("containers", .list(.message(container))), 3: ("restartPolicy", .string)]))
                    ),
                ]))
        ),
        4: ("strategy", .message(Message([1: ("type", .string)]))),
    ])

    private static let ingressBackend = Message([
        3: (
            "resource",
            .message(Message([1: ("apiGroup", .string), 2: ("kind", .string), 3: ("name", .string)]))
        ),
        4: (
            "service",
            .message(
                Message([
                    1: ("name", .string),
                    2: ("port", .message(Message([1: ("name", .string), 2: ("number", .integer)]))),
                ]))
        ),
    ])

    private static let ingressSpec = Message([
        1: ("defaultBackend", .message(ingressBackend)),
        2: ("tls", .list(.message(Message([1: ("hosts", .list(.string)), 2: ("secretName", .string)])))),
        3: (
            "rules",
            .list(
                .message(
                    Message([
                        1: ("host", .string),
                        2: ("", .inline(Message([1: ("http", .message(Message([1: ("paths", ingressPaths)])))]))),
                    ])))
        ),
        4: ("ingressClassName", .string),
    ])

    private static let ingressPaths = ProtobufMessage.Form.list(
        .message(
            Message([1: ("path", .string), 2: ("backend", .message(ingressBackend)), 3: ("pathType", .string)])))

    private static let policyRule = Message([
        1: ("verbs", .list(.string)), 2: ("apiGroups", .list(.string)), 3: ("resources", .list(.string)),
        4: ("resourceNames", .list(.string)), 5: ("nonResourceURLs", .list(.string)),
    ])

    private static let binding = object([
        2: (
            "subjects",
            .list(
                .message(
                    Message([
                        1: ("kind", .string), 2: ("apiGroup", .string), 3: ("name", .string), 4: ("namespace", .string),
                    ])))
        ),
        3: (
            "roleRef",
            .message(Message([1: ("apiGroup", .string), 2: ("kind", .string), 3: ("name", .string)]))
        ),
    ])

    private static let resourceAttributes = Message([
        1: ("namespace", .string), 2: ("verb", .string), 3: ("group", .string), 4: ("version", .string),
        5: ("resource", .string), 6: ("subresource", .string), 7: ("name", .string),
    ])
}
