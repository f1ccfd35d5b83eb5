/// The documents that are about the server and not in it: health, version, discovery, OpenAPI.
struct ServerDocuments: Sendable {
    let catalog: ResourceCatalog

    func reply(to request: APIRequest, segments: [String]) throws(APIStatus) -> APIReply {
        guard ["GET", "HEAD"].contains(request.method) else {
            throw .methodNotAllowed("the server does not allow this method on the requested resource")
        }
        switch segments.first {
        case nil:
            return .document(["paths": .strings(paths)], code: 200)
        case "healthz", "readyz", "livez":
            return .bytes(Array("ok".utf8), code: 200, contentType: "text/plain; charset=utf-8")
        case "version" where segments.count == 1:
            return .document(Self.version, code: 200)
        case "api" where segments.count <= 2, "apis" where segments.count <= 3:
            return try discovery(request, segments)
        case "openapi":
            return try openAPI(request, segments)
        default:
            throw .noSuchPath
        }
    }

    private func discovery(_ request: APIRequest, _ segments: [String]) throws(APIStatus) -> APIReply {
        let discovery = Discovery(catalog: catalog)
        if segments.count == 1, let version = Discovery.aggregatedVersion(accept: request.accept) {
            return .document(
                discovery.aggregated(core: segments[0] == "api", version: version), code: 200,
                contentType: "application/json;g=apidiscovery.k8s.io;v=\(version);as=APIGroupDiscoveryList")
        }
        let document =
            switch (segments[0], segments.count) {
            case ("api", 1): discovery.coreVersions
            case ("api", _): discovery.resources(group: "", version: segments[1])
            case ("apis", 1): discovery.groups
            case ("apis", 2): discovery.group(segments[1])
            default: discovery.resources(group: segments[1], version: segments[2])
            }
        guard let document else { throw .noSuchPath }
        return .document(document, code: 200)
    }

    private func openAPI(_ request: APIRequest, _ segments: [String]) throws(APIStatus) -> APIReply {
        let documents = OpenAPIDocuments(catalog: catalog)
        switch segments.dropFirst().first {
        case "v2":
            if request.accept.contains("protobuf"), !request.accept.hasPrefix("application/json") {
                return .bytes(
                    OpenAPIDocuments.emptyProtobufV2, code: 200,
                    contentType: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
            }
            return .document(OpenAPIDocuments.emptyV2, code: 200)
        case "v3" where segments.count == 2:
            return .document(documents.index, code: 200)
        case "v3":
            guard let document = documents.document(path: segments.dropFirst(2).joined(separator: "/")) else {
                throw .noSuchPath
            }
            return .document(document, code: 200)
        default:
            throw .noSuchPath
        }
    }

    private var paths: [String] {
        ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
            + catalog.groupVersions.filter { !$0.group.isEmpty }.map { "/apis/\($0.group)/\($0.version)" }
    }

    /// The version this server behaves like, as far as it goes.
    static let version: JSONValue = [
        "major": "1", "minor": "33", "gitVersion": "v1.33.0+devcluster", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2025-01-01T00:00:00Z", "goVersion": "none", "compiler": "swiftc", "platform": "embedded",
    ]
}
