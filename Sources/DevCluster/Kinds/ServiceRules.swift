import KubernetesAPI

/// The rules of core/v1 Services.
package enum ServiceRules {
    /// Fills in what a Service may leave out; what the server once gave and an update leaves out is kept.
    ///
    /// - Parameter changesSpec: Whether the request can change the specification; if so, a Service that is no longer of
    ///   type LoadBalancer loses its external addresses.
    package static func setDefaults(_ service: inout JSONValue, old: JSONValue?, changesSpec: Bool = true) {
        var spec = service["spec"] ?? [:]
        if spec.text("type").isEmpty { spec["type"] = "ClusterIP" }
        if spec.text("sessionAffinity").isEmpty { spec["sessionAffinity"] = "None" }
        let type = spec.text("type")
        if type != "ExternalName" {
            if spec.text("internalTrafficPolicy").isEmpty { spec["internalTrafficPolicy"] = "Cluster" }
            if spec["ipFamilies"] == nil { spec["ipFamilies"] = ["IPv4"] }
            if spec["ipFamilyPolicy"] == nil { spec["ipFamilyPolicy"] = "SingleStack" }
        }
        if type == "NodePort" || type == "LoadBalancer", spec.text("externalTrafficPolicy").isEmpty {
            spec["externalTrafficPolicy"] = "Cluster"
        }
        if type == "LoadBalancer", spec["allocateLoadBalancerNodePorts"] == nil {
            spec["allocateLoadBalancerNodePorts"] = true
        }
        if let ports = spec["ports"]?.arrayValue {
            spec["ports"] = .array(
                ports.map { port in
                    var port = port
                    if port.text("protocol").isEmpty { port["protocol"] = "TCP" }
                    let target = port["targetPort"]
                    if target == nil || target == 0 || target == "" || target == .null {
                        port["targetPort"] = port["port"]
                    }
                    return port
                })
        }
        service["spec"] = spec
        var status = service["status"] ?? [:]
        if status["loadBalancer"] == nil || (changesSpec && type != "LoadBalancer") { status["loadBalancer"] = [:] }
        service["status"] = status
    }

    /// Everything wrong with a Service, addresses apart: the allocator judges those.
    package static func problems(_ service: JSONValue, old: JSONValue?) -> [APIStatus.Cause] {
        let spec = service["spec"] ?? [:]
        var causes: [APIStatus.Cause] = []
        let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
        let type = spec.text("type")
        if !types.contains(type) { causes.append(.notSupported("spec.type", .string(type), types)) }
        let ports = spec.list("ports")
        if ports.isEmpty, type != "ExternalName", spec.text("clusterIP") != "None" {
            causes.append(.required("spec.ports"))
        }
        if type == "ExternalName", !ObjectNames.isSubdomain(spec.text("externalName")) {
            causes.append(
                spec.text("externalName").isEmpty
                    ? .required("spec.externalName")
                    : .invalid("spec.externalName", spec["externalName"] ?? "", "must be a DNS name"))
        }
        return causes + portProblems(ports) + statusProblems(service, type: type)
    }

    private static func statusProblems(_ service: JSONValue, type: String) -> [APIStatus.Cause] {
        let entries = service.list("status", "loadBalancer", "ingress")
        if !entries.isEmpty, type != "LoadBalancer" {
            return [
                .forbidden("status.loadBalancer.ingress", "may only be used when `spec.type` is \"LoadBalancer\"")
            ]
        }
        return entries.enumerated().flatMap { index, entry -> [APIStatus.Cause] in
            let path = "status.loadBalancer.ingress[\(index)]"
            var causes: [APIStatus.Cause] = []
            if let address = entry["ip"]?.stringValue, !address.isEmpty, !ObjectNames.isAddress(address) {
                causes.append(.invalid("\(path).ip", .string(address), "must be a valid IP address"))
            }
            if let host = entry["hostname"]?.stringValue, !host.isEmpty, !ObjectNames.isSubdomain(host) {
                causes.append(.invalid("\(path).hostname", .string(host), "must be a DNS name"))
            }
            return causes
        }
    }

    private static func portProblems(_ ports: [JSONValue]) -> [APIStatus.Cause] {
        var causes: [APIStatus.Cause] = []
        var names: Set<String> = []
        var numbers: Set<JSONValue> = []
        for (index, port) in ports.enumerated() {
            let path = "spec.ports[\(index)]"
            let name = port.text("name")
            if name.isEmpty {
                if ports.count > 1 { causes.append(.required("\(path).name")) }
            } else if !ObjectNames.isLabel(name) {
                causes.append(.invalid("\(path).name", .string(name), "must be a DNS-1123 label"))
            } else if !names.insert(name).inserted {
                causes.append(.duplicate("\(path).name", .string(name)))
            }
            let number = port.integer("port") ?? 0
            if !(1...65_535).contains(number) {
                causes.append(.invalid("\(path).port", .integer(number), "must be between 1 and 65535, inclusive"))
            }
            let transport = port.text("protocol")
            if !["SCTP", "TCP", "UDP"].contains(transport) {
                causes.append(.notSupported("\(path).protocol", .string(transport), ["SCTP", "TCP", "UDP"]))
            }
            switch port["targetPort"] {
            case .integer(let target)? where !(1...65_535).contains(target):
                causes.append(
                    .invalid("\(path).targetPort", .integer(target), "must be between 1 and 65535, inclusive"))
            case .string(let target)? where !ObjectNames.isLabel(target) || target.utf8.count > 15:
                causes.append(.invalid("\(path).targetPort", .string(target), "must be a valid port name"))
            default: break
            }
            if !numbers.insert(["port": .integer(number), "protocol": .string(transport)]).inserted {
                causes.append(.duplicate(path, ["port": .integer(number), "protocol": .string(transport)]))
            }
        }
        return causes
    }
}
