/// In which form a client wants objects: as they are, as a Table, or their metadata only.
package enum Presentation: Sendable {
    case objects
    case table(TableRenderer.IncludedObject)
    case partialMetadata

    /// Chooses by the Accept header: the first clause this server can produce. It writes JSON only.
    ///
    /// - Throws: ``APIStatus`` 406.
    package init(accept: String, includeObject: String?) throws(APIStatus) {
        guard !accept.isEmpty else {
            self = .objects
            return
        }
        for clause in accept.split(separator: ",") {
            let parts = clause.split(separator: ";").map { $0.filter { $0 != " " } }
            guard let type = parts.first, ["application/json", "application/*", "*/*"].contains(type) else { continue }
            var parameters: [String: String] = [:]
            for part in parts.dropFirst() {
                let pair = part.split(separator: "=", maxSplits: 1)
                if pair.count == 2 { parameters[String(pair[0])] = String(pair[1]) }
            }
            switch (parameters["as"], parameters["v"]) {
            case (nil, _):
                self = .objects
                return
            case ("Table", "v1"):
                self = .table(TableRenderer.IncludedObject(rawValue: includeObject ?? "") ?? .metadata)
                return
            case ("PartialObjectMetadata", "v1"), ("PartialObjectMetadataList", "v1"):
                self = .partialMetadata
                return
            default:
                continue
            }
        }
        throw .notAcceptable(["application/json"])
    }

    /// One object, answered to a GET or a write.
    package func one(_ object: JSONValue, resource: APIResource, now: Timestamp) -> JSONValue {
        switch self {
        case .objects: return object
        case .partialMetadata: return TableRenderer.partialMetadata(object)
        case .table(let included):
            let version = object[path: ["metadata", "resourceVersion"]] ?? ""
            return TableRenderer(columns: resource.columns, included: included)
                .table([object], metadata: ["resourceVersion": version], now: now)
        }
    }

    /// A list.
    package func list(
        _ objects: [JSONValue], metadata: JSONValue, resource: APIResource, now: Timestamp
    ) -> JSONValue {
        switch self {
        case .objects:
            // Elements of a built-in list carry no type of their own; custom resources do.
            let items = resource.schema == nil ? objects.map(Self.withoutType) : objects
            return [
                "kind": .string(resource.listKind), "apiVersion": .string(resource.apiVersion), "metadata": metadata,
                "items": .array(items),
            ]
        case .partialMetadata:
            return [
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": .array(objects.map(TableRenderer.partialMetadata)),
            ]
        case .table(let included):
            return TableRenderer(columns: resource.columns, included: included)
                .table(objects, metadata: metadata, now: now)
        }
    }

    /// One line of a watch. Bookmarks and errors keep their form, except that a Table watch wraps bookmarks too.
    ///
    /// - Parameter isFirst: Whether no Table has been sent yet, so that the columns must be described.
    package func watchLine(
        _ event: WatchEvent, resource: APIResource, now: Timestamp, isFirst: Bool
    ) -> JSONValue {
        var object = event.object
        switch (self, event.kind) {
        case (_, .error), (.objects, _): break
        case (.partialMetadata, _): object = TableRenderer.partialMetadata(object)
        case (.table(let included), _):
            let version = object[path: ["metadata", "resourceVersion"]] ?? ""
            object = TableRenderer(columns: resource.columns, included: included)
                .table([object], metadata: ["resourceVersion": version], now: now, withColumns: isFirst)
        }
        return ["type": .string(event.kind.rawValue), "object": object]
    }

    private static func withoutType(_ object: JSONValue) -> JSONValue {
        var result = object
        result["kind"] = nil
        result["apiVersion"] = nil
        return result
    }
}
