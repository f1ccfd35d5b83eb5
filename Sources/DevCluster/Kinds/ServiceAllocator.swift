/// A block of IPv4 addresses.
package struct AddressRange: Hashable, Sendable, CustomStringConvertible {
    package let base: IPv4Address
    /// 8 to 30.
    package let prefixLength: Int

    /// The loopback range of the demo, whose addresses this machine can listen on.
    package static let standard = AddressRange(base: IPv4Address(bits: 127 << 24 | 96 << 16), prefixLength: 16)

    private init(base: IPv4Address, prefixLength: Int) {
        self.base = base
        self.prefixLength = prefixLength
    }

    /// Reads CIDR notation such as `127.96.0.0/16`; nil for anything else and for a base with host bits.
    package init?(_ text: String) {
        let parts = text.split(separator: "/")
        guard parts.count == 2, let base = IPv4Address(String(parts[0])), let length = Int(parts[1]),
            (8...30).contains(length), base.bits & ((1 << (32 - UInt32(length))) - 1) == 0
        else { return nil }
        self.init(base: base, prefixLength: length)
    }

    package var count: UInt32 { 1 << (32 - UInt32(prefixLength)) }

    package func address(_ offset: UInt32) -> IPv4Address {
        IPv4Address(bits: base.bits + offset)
    }

    package func contains(_ address: IPv4Address) -> Bool {
        address.bits >= base.bits && address.bits - base.bits < count
    }

    package var description: String { "\(base)/\(prefixLength)" }
}

/// Gives Services their cluster addresses and node ports. What is taken is read from the Services themselves.
struct ServiceAllocator: Sendable {
    let range: AddressRange
    private var claims = ServiceClaims()
    private var lastOffset: UInt32
    private var lastNodePort: Int64 = 30_000 - 1
    private static let nodePorts: ClosedRange<Int64> = 30_000...32_767

    init(range: AddressRange) {
        self.range = range
        // The first sixteen addresses are left to those who ask for one of them.
        self.lastOffset = min(16, range.count / 4)
    }

    /// The Service with its addresses.
    mutating func allocate(
        _ service: JSONValue, old: JSONValue?, in store: ObjectStore, resource: APIResource
    ) throws(APIStatus) -> JSONValue {
        claims.follow(store)
        var others = claims
        let name = ObjectName(
            namespace: service.text("metadata", "namespace"), name: service.text("metadata", "name"))
        if let known = store.object("services", name) { others.remove(known.value) }
        var result = service
        result["spec"] = try allocateAddress(
            service["spec"] ?? [:], old: old?["spec"], others: others, resource: resource,
            name: service.text("metadata", "name"))
        result["spec"] = try allocateNodePorts(
            result["spec"] ?? [:], old: old?["spec"], others: others, resource: resource,
            name: service.text("metadata", "name"))
        return result
    }

    private mutating func allocateAddress(
        _ spec: JSONValue, old: JSONValue?, others: ServiceClaims, resource: APIResource, name: String
    ) throws(APIStatus) -> JSONValue {
        var spec = spec
        if spec.text("type") == "ExternalName" {
            if old?.text("type") == "ExternalName" || old == nil, !spec.text("clusterIP").isEmpty {
                try resource.check(
                    [.forbidden("spec.clusterIPs", "may not be set when `type` is 'ExternalName'")], name: name)
            }
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] { spec[field] = nil }
            return spec
        }
        var wanted = spec.text("clusterIP")
        if wanted.isEmpty { wanted = spec.list("clusterIPs").first?.stringValue ?? "" }
        let previous = old.map { $0.text("type") == "ExternalName" ? "" : $0.text("clusterIP") } ?? ""
        if wanted.isEmpty { wanted = previous }
        if !previous.isEmpty, wanted != previous {
            try resource.check(
                [.invalid("spec.clusterIPs[0]", [.string(wanted)], "may not change once set")], name: name)
        }
        if wanted.isEmpty {
            wanted = try free(others: others, resource: resource, name: name).description
        } else if wanted != "None", wanted != previous {
            try checkGiven(wanted, others: others, resource: resource, name: name)
        }
        spec["clusterIP"] = .string(wanted)
        spec["clusterIPs"] = [.string(wanted)]
        return spec
    }

    private func checkGiven(
        _ text: String, others: ServiceClaims, resource: APIResource, name: String
    ) throws(APIStatus) {
        let value: JSONValue = [.string(text)]
        guard let address = IPv4Address(text) else {
            return try resource.check(
                [.invalid("spec.clusterIPs[0]", .string(text), "must be a valid IP address")], name: name)
        }
        if !range.contains(address) {
            try resource.check(
                [
                    .invalid(
                        "spec.clusterIPs", value,
                        "failed to allocate IP \(text): the provided IP (\(text)) is not in the valid range. The range "
                            + "of valid IPs is \(range)")
                ], name: name)
        }
        if others.hold(address: text) {
            try resource.check(
                [
                    .invalid(
                        "spec.clusterIPs", value,
                        "failed to allocate IP \(text): provided IP is already allocated")
                ], name: name)
        }
    }

    /// The next free address; freed ones come back only after the whole range has been used.
    private mutating func free(
        others: ServiceClaims, resource: APIResource, name: String
    ) throws(APIStatus) -> IPv4Address {
        for _ in 0..<range.count {
            lastOffset = lastOffset + 1 >= range.count - 1 ? 2 : lastOffset + 1
            let address = range.address(lastOffset)
            if !others.hold(address: address.description) { return address }
        }
        throw APIStatus(
            code: 500, reason: "InternalError",
            message: "failed to allocate a serviceIP for \(name): range is full", details: resource.details(name))
    }

    private mutating func allocateNodePorts(
        _ spec: JSONValue, old: JSONValue?, others: ServiceClaims, resource: APIResource, name: String
    ) throws(APIStatus) -> JSONValue {
        var spec = spec
        let type = spec.text("type")
        let wantsPorts =
            type == "NodePort" || (type == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false)
        var given: Set<Int64> = []
        func isTaken(_ port: Int64) -> Bool { given.contains(port) || others.hold(nodePort: port) }
        var ports: [JSONValue] = []
        for (index, port) in spec.list("ports").enumerated() {
            var port = port
            let before = old?.list("ports").first {
                $0["port"] == port["port"] && $0["protocol"] == port["protocol"]
            }?.integer("nodePort")
            var number = port.integer("nodePort") ?? 0
            if !wantsPorts {
                // A leftover of a former type goes; one that is newly asked for is an error.
                if number != 0, number != before {
                    try resource.check(
                        [
                            .forbidden(
                                "spec.ports[\(index)].nodePort", "may not be used when `type` is '\(type)'")
                        ], name: name)
                }
                port["nodePort"] = nil
            } else {
                if number == 0 { number = before ?? 0 }
                if number == 0 {
                    number = nextNodePort(isTaken: isTaken)
                } else if number != before {
                    if !Self.nodePorts.contains(number) {
                        try resource.check(
                            [
                                .invalid(
                                    "spec.ports[\(index)].nodePort", .integer(number),
                                    "provided port is not in the valid range. The range of valid ports is 30000-32767")
                            ], name: name)
                    }
                    if isTaken(number) {
                        try resource.check(
                            [
                                .invalid(
                                    "spec.ports[\(index)].nodePort", .integer(number),
                                    "provided port is already allocated")
                            ], name: name)
                    }
                }
                given.insert(number)
                port["nodePort"] = .integer(number)
            }
            ports.append(port)
        }
        if spec["ports"] != nil { spec["ports"] = .array(ports) }
        return spec
    }

    private mutating func nextNodePort(isTaken: (Int64) -> Bool) -> Int64 {
        for _ in Self.nodePorts {
            lastNodePort = lastNodePort >= Self.nodePorts.upperBound ? Self.nodePorts.lowerBound : lastNodePort + 1
            if !isTaken(lastNodePort) { return lastNodePort }
        }
        return lastNodePort
    }
}
