/// What the server answers: a whole document, or a watch that the shell keeps feeding.
package enum APIReply: Sendable {
    case document(JSONValue, code: Int, contentType: String = "application/json", warnings: [String] = [])
    case bytes([UInt8], code: Int, contentType: String)
    case watch(WatchPlan)

    /// The HTTP status code.
    package var code: Int {
        switch self {
        case .document(_, let code, _, _), .bytes(_, let code, _): code
        case .watch: 200
        }
    }
}

/// A watch that has been accepted.
package struct WatchPlan: Sendable {
    package var cursor: WatchCursor
    package var presentation: Presentation
    package var sendsBookmarks: Bool
    /// How long the watch lasts, if the client says so.
    package var timeoutSeconds: Int64?
}

/// The embedded API server's whole state and behaviour: a request and the time go in, an answer comes out.
///
/// The request's life: ``respond(to:now:)`` finds the resource, the read and write files beside this one do the work on
/// ``ObjectStore``, the rules of the special types are under `Kinds`.
package struct ClusterState: Sendable {
    package internal(set) var store: ObjectStore
    package internal(set) var catalog = ResourceCatalog()
    var services: ServiceAllocator
    var random: any RandomNumberGenerator & Sendable
    /// Whether something has happened that the garbage collector should look at.
    var hasGarbage = false

    /// - Parameters:
    ///   - store: Empty; its first revision and history limit count.
    ///   - serviceRange: Where Service addresses come from.
    ///   - random: For UIDs and generated names.
    ///   - now: The creation time of the namespaces every cluster has.
    package init(
        store: ObjectStore = ObjectStore(), serviceRange: AddressRange = .standard,
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(), now: Timestamp
    ) {
        self.store = store
        self.services = ServiceAllocator(range: serviceRange)
        self.random = random
        createInitialObjects(now: now)
    }

    /// Answers one authenticated request.
    package mutating func respond(to request: APIRequest, now: Timestamp) -> APIReply {
        do throws(APIStatus) {
            switch APIPath(request.path) {
            case .resource(let path):
                return try respond(to: request, resource: path, now: now)
            case .other(let segments):
                return try ServerDocuments(catalog: catalog).reply(to: request, segments: segments)
            }
        } catch {
            return .document(error.json, code: error.code)
        }
    }

    private mutating func respond(
        to request: APIRequest, resource path: APIPath.Resource, now: Timestamp
    ) throws(APIStatus) -> APIReply {
        guard let resource = catalog.resource(group: path.group, version: path.version, plural: path.plural) else {
            throw .noSuchPath
        }
        if resource.isNamespaced ? (path.name != nil && path.namespace == nil) : path.namespace != nil {
            throw .noSuchPath
        }
        if resource.rules == .review {
            return try review(request, resource: resource, path: path)
        }
        var request = request
        if resource.rules == .namespace, path.subresource == "finalize" { request.method = "" }
        guard path.subresource == nil || (path.subresource == "status" && resource.hasStatus) else {
            throw .noSuchPath
        }
        if request.query["dryRun"] != nil, !["GET", "HEAD"].contains(request.method) {
            guard request.query["dryRun"] == "All" else {
                throw .badRequest("invalid dryRun: only \"All\" is known")
            }
            // A dry run is a run on a copy of the cluster.
            var copy = self
            return try copy.perform(request, resource: resource, path: path, now: now)
        }
        return try perform(request, resource: resource, path: path, now: now)
    }

    private mutating func perform(
        _ request: APIRequest, resource: APIResource, path: APIPath.Resource, now: Timestamp
    ) throws(APIStatus) -> APIReply {
        let presentation = try Presentation(accept: request.accept, includeObject: request.query["includeObject"])
        let outcome: WriteOutcome
        switch (request.method, path.name) {
        case ("GET", let name?) where !request.query.flag("watch"):
            let object = try get(resource, ObjectName(namespace: path.namespace ?? "", name: name))
            return .document(presentation.one(object, resource: resource, now: now), code: 200)
        case ("GET", _):
            return try request.query.flag("watch")
                ? watch(request, resource: resource, path: path, presentation: presentation)
                : list(request, resource: resource, path: path, presentation: presentation, now: now)
        case ("POST", nil):
            if resource.isNamespaced, path.namespace == nil { throw .methodNotAllowed("a namespace must be given") }
            let body = try Self.decodeObject(request)
            outcome = try create(
                body, WriteContext(request: request, resource: resource, path: path, operation: .update, now: now))
        case ("PUT", let name?):
            let body = try Self.decodeObject(request)
            outcome = try update(
                named: name,
                WriteContext(request: request, resource: resource, path: path, operation: .update, now: now)
            ) { (_) throws(APIStatus) in body }
        case ("PATCH", let name?):
            outcome = try patch(named: name, request: request, resource: resource, path: path, now: now)
        case ("DELETE", _):
            return try delete(request, resource: resource, path: path, presentation: presentation, now: now)
        default:
            throw .methodNotAllowed("the server does not allow this method on the requested resource")
        }
        return .document(
            presentation.one(outcome.object, resource: resource, now: now), code: outcome.created ? 201 : 200,
            warnings: outcome.warnings)
    }

    /// Whether ``collectGarbage(now:)`` has work since the last time this was asked.
    package mutating func takeGarbageFlag() -> Bool {
        defer { hasGarbage = false }
        return hasGarbage
    }

    /// Forgets the history; see ``ObjectStore/compact()``.
    package mutating func compact() {
        store.compact()
    }

    /// An object by name, as served.
    package func get(_ resource: APIResource, _ name: ObjectName) throws(APIStatus) -> JSONValue {
        guard let stored = store.object(resource.storage, name) else { throw .notFound(resource, name.name) }
        return resource.served(stored.value)
    }

    /// The body of a request that carries an object.
    static func decodeObject(_ request: APIRequest) throws(APIStatus) -> JSONValue {
        let object: JSONValue
        do {
            switch request.mediaType {
            case "", "application/json", "*/*": object = try JSONValue(parsing: request.body)
            case "application/yaml": object = try JSONValue(parsingYAML: request.body)
            case "application/vnd.kubernetes.protobuf": object = try ProtobufTypes.decode(request.body)
            default: throw APIStatus.unsupportedMediaType(["application/json", "application/yaml"])
            }
        } catch let status as APIStatus {
            throw status
        } catch {
            throw .badRequest("the body cannot be read: \(error)")
        }
        guard case .object = object else { throw .badRequest("the body must be an object") }
        return object
    }

    /// A new UID: a random (version 4) UUID.
    mutating func newUID() -> String {
        var bytes: [UInt8] = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        let digits = Array("0123456789abcdef")
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append("-") }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return text
    }

    /// Five characters that spell no words, for `generateName`.
    mutating func newSuffix() -> String {
        let alphabet = Array("bcdfghjklmnpqrstvwxz2456789")
        return String((0..<5).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &random)] })
    }

    private mutating func createInitialObjects(now: Timestamp) {
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            put("POST", "/api/v1/namespaces", ["metadata": ["name": .string(name)]], now)
            put(
                "POST", "/api/v1/namespaces/\(name)/serviceaccounts",
                ["metadata": ["name": "default"]], now)
        }
        put(
            "POST", "/api/v1/namespaces/default/services",
            [
                "metadata": [
                    "name": "kubernetes", "labels": ["component": "apiserver", "provider": "kubernetes"],
                ],
                "spec": [
                    "clusterIP": .string(services.range.address(1).description),
                    "ports": [["name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443]],
                ],
            ], now)
    }

    private mutating func put(_ method: String, _ path: String, _ object: JSONValue, _ now: Timestamp) {
        var request = APIRequest(method: method, target: path, body: object.serialized())
        request.userAgent = "kube-apiserver"
        let reply = respond(to: request, now: now)
        precondition(reply.code == 201, "the objects every cluster has are valid")
    }
}
