/// What an agent says that it would do with a request (docs/tunnel-protocol.md §9): a question of the gateway's on the
/// data path, for people who look for a fault.
package struct AgentExplanation: Hashable, Sendable {
    /// Where the request would go.
    package struct Destination: Hashable, Sendable {
        /// `NAMESPACE/NAME` of the Service.
        package var service: String
        /// Address or name, and port.
        package var target: String
        /// Whether that is the ingress controller, which routes by host and path itself.
        package var viaIngressController: Bool
        /// What is spoken there, as `HTTP/2 over TLS`.
        package var backendProtocol: String
        /// The code of the failure that a request would meet (`docs/failures.md`); nil where a connection could be had.
        package var failure: String?
        /// The same as a sentence.
        package var detail: String?

        package init(
            service: String, target: String, viaIngressController: Bool, backendProtocol: String,
            failure: String? = nil, detail: String? = nil
        ) {
            self.service = service
            self.target = target
            self.viaIngressController = viaIngressController
            self.backendProtocol = backendProtocol
            self.failure = failure
            self.detail = detail
        }
    }

    /// nil: the agent has not advertised host and path, and would refuse the request.
    package var destination: Destination?

    package init(_ destination: Destination?) { self.destination = destination }

    // MARK: As a response

    /// The response whose fields say so.
    package var head: ResponseHead {
        guard let destination else { return ResponseHead(status: 404, fields: [:]) }
        var fields = HeaderFields()
        fields.add(name: "service", value: Self.value(destination.service))
        fields.add(name: "target", value: Self.value(destination.target))
        fields.add(name: "via", value: destination.viaIngressController ? "ingress-controller" : "service")
        fields.add(name: "protocol", value: Self.value(destination.backendProtocol))
        if let failure = destination.failure { fields.add(name: "failure", value: Self.value(failure)) }
        if let detail = destination.detail { fields.add(name: "detail", value: Self.value(detail)) }
        return ResponseHead(status: 200, fields: fields)
    }

    /// Reads such a response; nil for one that is none.
    package init?(_ head: ResponseHead) {
        switch head.status {
        case 404: destination = nil
        case 200:
            func field(_ name: String) -> String? { head.fields[name].first.map(Self.value) }
            guard let service = field("service"), let target = field("target"), let via = field("via"),
                let backendProtocol = field("protocol")
            else { return nil }
            destination = Destination(
                service: service, target: target, viaIngressController: via == "ingress-controller",
                backendProtocol: backendProtocol, failure: field("failure"), detail: field("detail"))
        default: return nil
        }
    }

    /// What a field may have, and no more than is worth reading.
    private static func value(_ text: String) -> String {
        String(text.unicodeScalars.prefix(500).map { (0x20..<0x7F).contains($0.value) ? Character($0) : "?" })
    }
}

extension RequestHead {
    /// The method of a question; together with an empty authority it is no client's.
    package static let explainMethod = "EXPLAIN"
    private static let askedAuthority = "authority"

    /// Asks what would become of a GET request.
    ///
    /// - Parameters:
    ///   - asked: the authority that the request would have.
    ///   - target: its path and query.
    package static func explain(authority asked: String, target: String) -> RequestHead {
        var fields = HeaderFields()
        fields.add(name: askedAuthority, value: asked)
        return RequestHead(
            method: explainMethod, authority: "", target: target, window: UInt32(canaryWindow), fields: fields)
    }

    package var isExplain: Bool { method == Self.explainMethod && authority.isEmpty }

    /// The authority that a question is about.
    package var explainedAuthority: String { fields[Self.askedAuthority].first ?? "" }
}
