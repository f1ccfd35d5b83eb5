import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1

extension KubernetesClient {
    /// One page of the objects of `type`, in `namespace` or everywhere.
    package func list<R: KubernetesResource>(
        _ type: R.Type, namespace: String? = nil, options: ListOptions = ListOptions()
    ) async throws -> ResourceList<R> {
        let request = Request(
            verb: .list, method: .GET, target: ResourceTarget(definition: R.definition, namespace: namespace),
            query: options.query)
        return try decode(ResourceList<R>.self, from: try await send(request), request: request)
    }

    /// Opens a watch on the objects of `type`, in `namespace` or everywhere. Throws if the server refuses it; is not
    /// repeated, because what to do then depends on what is already known.
    package func watch<R: KubernetesResource>(
        _ type: R.Type, namespace: String? = nil, options: WatchOptions
    ) async throws -> WatchEvents<R> {
        let request = Request(
            verb: .watch, method: .GET, target: ResourceTarget(definition: R.definition, namespace: namespace),
            query: options.query)
        return WatchEvents(
            body: try await stream(request), path: request.path, lineLimit: self.options.watchLineLimit)
    }

    /// Reads one object.
    package func get<R: KubernetesResource>(_ type: R.Type, _ key: ObjectKey) async throws -> R {
        let request = Request(
            verb: .get, method: .GET,
            target: ResourceTarget(definition: R.definition, namespace: key.namespace, name: key.name))
        return try decode(R.self, from: try await send(request), request: request)
    }

    /// Creates `object`. Repeated only where the server certainly did not see it.
    package func create<R: KubernetesResource>(_ object: R) async throws -> R {
        let request = Request(
            verb: .create, method: .POST,
            target: ResourceTarget(definition: R.definition, namespace: object.metadata.namespace),
            body: ByteBuffer(data: try KubernetesJSON.encode(object)), isIdempotent: false)
        return try decode(R.self, from: try await send(request), request: request)
    }

    /// Server-side apply: makes the fields set in `object` ours, creating it if need be. Without `force`, a field that
    /// another manager owns is a `.conflict`. `metadata.resourceVersion`, if set, must still be current.
    package func apply<R: KubernetesResource>(
        _ object: R, fieldManager: String, force: Bool = false
    ) async throws -> R {
        try await apply(object, subresource: nil, fieldManager: fieldManager, force: force)
    }

    /// Server-side apply to the status subresource; the server ignores everything but the status.
    package func applyStatus<R: KubernetesResource>(
        _ object: R, fieldManager: String, force: Bool = false
    ) async throws -> R {
        try await apply(object, subresource: "status", fieldManager: fieldManager, force: force)
    }

    private func apply<R: KubernetesResource>(
        _ object: R, subresource: String?, fieldManager: String, force: Bool
    ) async throws -> R {
        let request = Request(
            verb: .apply, method: .PATCH,
            target: ResourceTarget(
                definition: R.definition, namespace: object.key.namespace, name: object.key.name,
                subresource: subresource),
            query: [("fieldManager", fieldManager), ("force", force ? "true" : "false")],
            contentType: "application/apply-patch+yaml", body: ByteBuffer(data: try KubernetesJSON.encode(object)))
        return try decode(R.self, from: try await send(request), request: request)
    }

    /// Applies a JSON merge patch (RFC 7396) to one object or to its `subresource`. A `metadata.resourceVersion` in the
    /// patch makes it conditional on that revision.
    package func patch<R: KubernetesResource, Patch: Encodable>(
        _ type: R.Type, _ key: ObjectKey, merge patch: Patch, subresource: String? = nil, fieldManager: String? = nil
    ) async throws -> R {
        let request = Request(
            verb: .patch, method: .PATCH,
            target: ResourceTarget(
                definition: R.definition, namespace: key.namespace, name: key.name, subresource: subresource),
            query: fieldManager.map { [("fieldManager", $0)] } ?? [], contentType: "application/merge-patch+json",
            body: ByteBuffer(data: try KubernetesJSON.encoder.encode(patch)))
        return try decode(R.self, from: try await send(request), request: request)
    }

    /// Deletes one object. An object that is already gone is a `.notFound`.
    package func delete<R: KubernetesResource>(
        _ type: R.Type, _ key: ObjectKey, options: DeleteOptions = DeleteOptions()
    ) async throws {
        var body: ByteBuffer?
        if options != DeleteOptions() {
            body = ByteBuffer(data: try KubernetesJSON.encoder.encode(DeleteBody(options)))
        }
        _ = try await send(
            Request(
                verb: .delete, method: .DELETE,
                target: ResourceTarget(definition: R.definition, namespace: key.namespace, name: key.name), body: body))
    }
}

/// `metav1.DeleteOptions`.
private struct DeleteBody: Encodable {
    struct Preconditions: Encodable {
        var uid: String?
        var resourceVersion: String?
    }
    var apiVersion = "v1"
    var kind = "DeleteOptions"
    var preconditions: Preconditions?
    var propagationPolicy: String?

    init(_ options: DeleteOptions) {
        if options.uid != nil || options.resourceVersion != nil {
            preconditions = Preconditions(uid: options.uid, resourceVersion: options.resourceVersion)
        }
        propagationPolicy = options.propagationPolicy
    }
}
