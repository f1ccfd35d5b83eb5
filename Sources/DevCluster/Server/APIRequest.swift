/// One request, as the HTTP shell hands it to the pure part.
package struct APIRequest: Sendable {
    package var method: String
    /// The path, still percent-encoded.
    package var path: String
    package var query: Query
    package var accept = ""
    package var contentType = ""
    package var userAgent = ""
    package var body: [UInt8] = []

    /// - Parameter target: The request target: a path and perhaps a query.
    package init(method: String, target: String, body: [UInt8] = []) {
        self.method = method
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        self.path = parts.first.map(String.init) ?? "/"
        self.query = Query(parts.count > 1 ? parts[1] : "")
        self.body = body
    }

    /// The parameters behind the question mark.
    package struct Query: Sendable {
        private var values: [String: String] = [:]

        init(_ text: Substring) {
            for pair in text.split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                let name = percentDecoded(parts[0], plusIsSpace: true)
                // The first of several counts; kubectl sends none twice.
                if values[name] == nil {
                    values[name] = parts.count > 1 ? percentDecoded(parts[1], plusIsSpace: true) : ""
                }
            }
        }

        package subscript(name: String) -> String? {
            values[name].flatMap { $0.isEmpty ? nil : $0 }
        }

        /// Whether a boolean parameter is set: `true`, `1`, or there without a value.
        package func flag(_ name: String) -> Bool {
            guard let value = values[name] else { return false }
            return ["", "1", "t", "T", "true", "True", "TRUE"].contains(value)
        }
    }

    /// The media type of the body, without parameters, in lower case.
    package var mediaType: String {
        contentType.prefix { $0 != ";" }.lowercased().filter { $0 != " " }
    }

    /// Who writes, when the request does not say: the part of the user agent in front of the slash.
    package var fieldManager: String {
        if let name = query["fieldManager"] { return name }
        let agent = userAgent.prefix { $0 != "/" }
        return agent.isEmpty ? "unknown" : String(agent)
    }
}

/// Undoes percent-encoding; sequences that are not hexadecimal stay as they are.
private func percentDecoded(_ text: some StringProtocol, plusIsSpace: Bool) -> String {
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    var index = 0
    while index < bytes.count {
        if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
            let value = UInt8(String(decoding: bytes[index + 1...index + 2], as: UTF8.self), radix: 16)
        {
            result.append(value)
            index += 3
        } else {
            result.append(plusIsSpace && bytes[index] == UInt8(ascii: "+") ? UInt8(ascii: " ") : bytes[index])
            index += 1
        }
    }
    return String(decoding: result, as: UTF8.self)
}

/// What a path of the API points to.
package enum APIPath: Hashable, Sendable {
    /// `/apis/GROUP/VERSION/namespaces/NAMESPACE/PLURAL/NAME/SUBRESOURCE`, and its shorter forms.
    case resource(Resource)
    /// Anything else: discovery, health, OpenAPI; its segments.
    case other([String])

    package struct Resource: Hashable, Sendable {
        package var group: String
        package var version: String
        package var plural: String
        package var namespace: String?
        package var name: String?
        package var subresource: String?
    }

    package init(_ path: String) {
        let segments = path.split(separator: "/").map { percentDecoded($0, plusIsSpace: false) }
        var rest = segments[...]
        let group: String
        switch rest.popFirst() {
        case "api": group = ""
        case "apis": group = rest.popFirst() ?? ""
        default:
            self = .other(segments)
            return
        }
        guard let version = rest.popFirst(), !rest.isEmpty else {
            self = .other(segments)
            return
        }
        var resource = Resource(group: group, version: version, plural: "", namespace: nil)
        // `namespaces/x` and `namespaces/x/status` are about the namespace itself; anything longer is inside it.
        let rests = Array(rest)
        let isInNamespace =
            rests[0] == "namespaces" && rests.count > 2
            && !(rests.count == 3 && ["status", "finalize"].contains(rests[2]))
        if isInNamespace {
            resource.namespace = rests[1]
            rest = rest.dropFirst(2)
        }
        resource.plural = rest.popFirst() ?? ""
        resource.name = rest.popFirst()
        resource.subresource = rest.isEmpty ? nil : rest.joined(separator: "/")
        self = .resource(resource)
    }
}
