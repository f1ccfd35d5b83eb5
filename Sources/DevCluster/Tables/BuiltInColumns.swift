// The columns of the built-in types, as the real server prints them.

extension TableColumn {
    private static func joined(_ values: [String], none: String = "<none>") -> String {
        values.isEmpty ? none : values.joined(separator: ",")
    }

    private static func selector(_ labels: JSONValue?) -> String {
        joined((labels?.members ?? [:]).map { "\($0.key)=\($0.value.stringValue ?? "")" }.sorted())
    }

    private static func selectorOfWorkload(_ object: JSONValue) -> String {
        selector(object[path: ["spec", "selector", "matchLabels"]])
    }

    private static func count(_ name: String, _ path: String...) -> TableColumn {
        TableColumn(name, type: "integer") { object, _ in .integer(object[path: path]?.intValue ?? 0) }
    }

    private static func elements(_ name: String, _ path: String...) -> TableColumn {
        TableColumn(name, type: "integer") { object, _ in
            .integer(Int64(object[path: path]?.elements.count ?? 0))
        }
    }

    private static func containers(_ part: String) -> @Sendable (JSONValue) -> String {
        { object in
            joined((object[path: ["spec", "template", "spec", "containers"]]?.elements ?? []).map { $0.text(part) })
        }
    }

    private static let workloadWide: [TableColumn] = [
        .text("Containers", priority: 1, containers("name")), .text("Images", priority: 1, containers("image")),
        .text("Selector", priority: 1, selectorOfWorkload),
    ]

    private static let createdAt = TableColumn("Created At", type: "date") { object, _ in
        .string(object.text("metadata", "creationTimestamp"))
    }

    static let namespaces = [name, .text("Status") { $0.text("status", "phase") }, age]

    static let services = [
        name, .text("Type") { $0.text("spec", "type") },
        .text("Cluster-IP") { object in
            let address = object.text("spec", "clusterIP")
            return address.isEmpty ? "<none>" : address
        },
        .text("External-IP", externalAddress), .text("Port(s)", servicePorts), age,
        .text("Selector", priority: 1) { selector($0[path: ["spec", "selector"]]) },
    ]

    private static func loadBalancerAddresses(_ object: JSONValue) -> [String] {
        object.list("status", "loadBalancer", "ingress").map { entry in
            entry.text("ip").isEmpty ? entry.text("hostname") : entry.text("ip")
        }
    }

    private static func externalAddress(_ service: JSONValue) -> String {
        let external = service.list("spec", "externalIPs").compactMap(\.stringValue)
        switch service.text("spec", "type") {
        case "ExternalName": return service.text("spec", "externalName")
        case "LoadBalancer": return joined(loadBalancerAddresses(service) + external, none: "<pending>")
        default: return joined(external)
        }
    }

    private static func servicePorts(_ service: JSONValue) -> String {
        joined(
            service.list("spec", "ports").map { port in
                let node = port.integer("nodePort").map { $0 == 0 ? "" : ":\($0)" } ?? ""
                let transport = port.text("protocol").isEmpty ? "TCP" : port.text("protocol")
                return "\(port.integer("port") ?? 0)\(node)/\(transport)"
            })
    }

    static let configMaps = [
        name,
        TableColumn("Data", type: "integer") { object, _ in
            .integer(Int64((object["data"]?.members.count ?? 0) + (object["binaryData"]?.members.count ?? 0)))
        }, age,
    ]

    static let secrets = [
        name, .text("Type") { $0.text("type") },
        TableColumn("Data", type: "integer") { object, _ in .integer(Int64(object["data"]?.members.count ?? 0)) }, age,
    ]

    static let serviceAccounts = [name, elements("Secrets", "secrets"), age]

    static let pods = [
        name,
        .text("Ready") { object in
            let ready = object.list("status", "containerStatuses").count { $0["ready"] == true }
            return "\(ready)/\(object.list("spec", "containers").count)"
        },
        .text("Status") { object in
            if !object.text("metadata", "deletionTimestamp").isEmpty { return "Terminating" }
            let reason = object.text("status", "reason")
            return reason.isEmpty ? object.text("status", "phase") : reason
        },
        .text("Restarts") { object in
            String(object.list("status", "containerStatuses").reduce(0) { $0 + ($1.integer("restartCount") ?? 0) })
        }, age,
        .text("IP", priority: 1) { object in
            object.text("status", "podIP").isEmpty ? "<none>" : object.text("status", "podIP")
        },
        .text("Node", priority: 1) { object in
            object.text("spec", "nodeName").isEmpty ? "<none>" : object.text("spec", "nodeName")
        },
    ]

    static let nodes = [
        name,
        .text("Status") { object in
            object.list("status", "conditions").contains { $0.text("type") == "Ready" && $0.text("status") == "True" }
                ? "Ready" : "NotReady"
        },
        .text("Roles") { object in
            let prefix = "node-role.kubernetes.io/"
            let labels = object[path: ["metadata", "labels"]]?.members ?? [:]
            return joined(
                labels.keys.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }.sorted())
        }, age, .text("Version") { $0.text("status", "nodeInfo", "kubeletVersion") },
    ]

    static let endpoints = [
        name,
        .text("Endpoints") { object in
            joined(
                object.list("subsets").flatMap { subset in
                    subset.list("addresses").flatMap { address in
                        subset.list("ports").map { "\(address.text("ip")):\($0.integer("port") ?? 0)" }
                    }
                })
        }, age,
    ]

    static let endpointSlices = [
        name, .text("AddressType") { $0.text("addressType") },
        .text("Ports") { object in
            joined(object.list("ports").map { String($0.integer("port") ?? 0) }, none: "<unset>")
        },
        .text("Endpoints") { object in
            joined(
                object.list("endpoints").flatMap { $0.list("addresses").compactMap(\.stringValue) }, none: "<unset>")
        }, age,
    ]

    /// Events in the spelling of core/v1; `regarding` and `note` are those of events.k8s.io.
    static func events(involved: String, message: String) -> [TableColumn] {
        [
            TableColumn("Last Seen") { object, now in .string(age(EventConversion.lastSeen(object), now)) },
            .text("Type") { $0.text("type") }, .text("Reason") { $0.text("reason") },
            .text("Object") { object in
                "\(object.text(involved, "kind").lowercased())/\(object.text(involved, "name"))"
            },
            .text("Subobject", priority: 1) { $0.text(involved, "fieldPath") },
            .text("Source", priority: 1) { object in
                let component = object.text("reportingComponent") + object.text("reportingController")
                return component.isEmpty ? object.text("source", "component") : component
            },
            .text("Message") { $0.text(message) },
            TableColumn("First Seen", priority: 1) { object, now in
                .string(age(EventConversion.firstSeen(object), now))
            },
            TableColumn("Count", priority: 1) { object, _ in .string(String(EventConversion.count(object))) },
            .text("Name", priority: 1) { $0.text("metadata", "name") },
        ]
    }

    static let deployments =
        [
            name,
            .text("Ready") { object in
                "\(object.integer("status", "readyReplicas") ?? 0)/\(object.integer("spec", "replicas") ?? 1)"
            }, count("Up-to-date", "status", "updatedReplicas"), count("Available", "status", "availableReplicas"), age,
        ] + workloadWide

    static let replicaSets =
        [
            name, count("Desired", "spec", "replicas"), count("Current", "status", "replicas"),
            count("Ready", "status", "readyReplicas"), age,
        ] + workloadWide

    static let statefulSets =
        [
            name,
            .text("Ready") { object in
                "\(object.integer("status", "readyReplicas") ?? 0)/\(object.integer("spec", "replicas") ?? 1)"
            }, age,
        ] + workloadWide.prefix(2)

    static let daemonSets =
        [
            name, count("Desired", "status", "desiredNumberScheduled"),
            count("Current", "status", "currentNumberScheduled"), count("Ready", "status", "numberReady"),
            count("Up-to-date", "status", "updatedNumberScheduled"), count("Available", "status", "numberAvailable"),
            .text("Node Selector") { selector($0[path: ["spec", "template", "spec", "nodeSelector"]]) }, age,
        ] + workloadWide

    static let ingresses = [
        name,
        .text("Class") { object in
            let name = object.text("spec", "ingressClassName")
            let annotation = object.text("metadata", "annotations", "kubernetes.io/ingress.class")
            return name.isEmpty ? (annotation.isEmpty ? "<none>" : annotation) : name
        },
        .text("Hosts") { object in
            let hosts = object.list("spec", "rules").map { $0.text("host").isEmpty ? "*" : $0.text("host") }
            guard hosts.count > 3 else { return joined(hosts, none: "*") }
            return "\(hosts.prefix(3).joined(separator: ",")) + \(hosts.count - 3) more..."
        }, .text("Address") { loadBalancerAddresses($0).joined(separator: ",") },
        .text("Ports") { $0.list("spec", "tls").isEmpty ? "80" : "80, 443" }, age,
    ]

    static let ingressClasses = [
        name, .text("Controller") { $0.text("spec", "controller") },
        .text("Parameters") { object in
            guard let parameters = object[path: ["spec", "parameters"]] else { return "<none>" }
            let group = parameters.text("apiGroup").isEmpty ? "" : ".\(parameters.text("apiGroup"))"
            return "\(parameters.text("kind"))\(group)/\(parameters.text("name"))"
        }, age,
    ]

    static let networkPolicies = [
        name, .text("Pod-Selector") { selector($0[path: ["spec", "podSelector", "matchLabels"]]) }, age,
    ]

    static let roles = [name, createdAt]

    static let roleBindings = [
        name, .text("Role") { "\($0.text("roleRef", "kind"))/\($0.text("roleRef", "name"))" }, age,
        .text("Users", priority: 1) { subjects("User", $0) }, .text("Groups", priority: 1) { subjects("Group", $0) },
        .text("ServiceAccounts", priority: 1) { subjects("ServiceAccount", $0) },
    ]

    private static func subjects(_ kind: String, _ object: JSONValue) -> String {
        object.list("subjects").filter { $0.text("kind") == kind }.map { subject in
            kind == "ServiceAccount" ? "\(subject.text("namespace"))/\(subject.text("name"))" : subject.text("name")
        }.joined(separator: ", ")
    }

    static let leases = [name, .text("Holder") { $0.text("spec", "holderIdentity") }, age]

    static let podDisruptionBudgets = [
        name, .text("Min Available") { intOrString($0[path: ["spec", "minAvailable"]]) },
        .text("Max Unavailable") { intOrString($0[path: ["spec", "maxUnavailable"]]) },
        count("Allowed Disruptions", "status", "disruptionsAllowed"), age,
    ]

    private static func intOrString(_ value: JSONValue?) -> String {
        value.map { $0.stringValue ?? $0.jsonText } ?? "N/A"
    }

    static let customResourceDefinitions = [name, createdAt]
}
