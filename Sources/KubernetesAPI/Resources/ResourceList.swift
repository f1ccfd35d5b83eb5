/// One page of a list.
///
/// An item that cannot be decoded does not fail the page: it is reported in `undecodable`.
package struct ResourceList<R: KubernetesResource>: Decodable, Sendable {
    package var metadata: ListMeta
    package var items: [R]
    /// The items this program could not make sense of, in the order of the page.
    package var undecodable: [UndecodableObject]

    package init(metadata: ListMeta, items: [R], undecodable: [UndecodableObject] = []) {
        self.metadata = metadata
        self.items = items
        self.undecodable = undecodable
    }

    private enum CodingKeys: String, CodingKey { case metadata, items }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        metadata = try container.decodeIfPresent(ListMeta.self, forKey: .metadata) ?? ListMeta()
        items = []
        undecodable = []
        // Go writes a nil slice as null.
        guard let list = try container.decodeIfPresent([LenientObject<R>].self, forKey: .items) else { return }
        items.reserveCapacity(list.count)
        for entry in list {
            switch entry {
            case .object(let object): items.append(object)
            case .undecodable(let report): undecodable.append(report)
            }
        }
    }
}

/// `metav1.ListMeta`.
package struct ListMeta: Codable, Hashable, Sendable {
    /// The version of the collection that the list shows; a watch starts from it.
    package var resourceVersion: String?
    /// Present while further pages follow.
    package var `continue`: String?
    package var remainingItemCount: Int64?

    package init(resourceVersion: String? = nil, continue: String? = nil, remainingItemCount: Int64? = nil) {
        self.resourceVersion = resourceVersion
        self.continue = `continue`
        self.remainingItemCount = remainingItemCount
    }
}

/// An object, in a list or a watch, that could not be decoded as the type asked for.
package struct UndecodableObject: Hashable, Sendable {
    /// Which object it was, where that much could be read.
    package var key: ObjectKey?
    /// Its resource version, where that much could be read.
    package var resourceVersion: String?
    /// What is wrong and where in the object.
    package var problem: String

    package init(key: ObjectKey?, resourceVersion: String?, problem: String) {
        self.key = key
        self.resourceVersion = resourceVersion
        self.problem = problem
    }
}

/// Decodes as the object or, failing that, as a report of why not; never throws.
enum LenientObject<R: KubernetesResource>: Decodable {
    case object(R)
    case undecodable(UndecodableObject)

    init(from decoder: any Decoder) {
        do {
            self = .object(try R(from: decoder))
        } catch {
            let metadata = (try? IdentityOnly(from: decoder))?.metadata
            self = .undecodable(
                UndecodableObject(
                    key: metadata?.name.map { ObjectKey(namespace: metadata?.namespace ?? "", name: $0) },
                    resourceVersion: metadata?.resourceVersion, problem: describe(decodingFailure: error)))
        }
    }
}

/// The part of any object that says which one it is.
private struct IdentityOnly: Decodable {
    struct Metadata: Decodable {
        var name: String?
        var namespace: String?
        var resourceVersion: String?
    }
    var metadata: Metadata
}

/// A decoding failure as one line: where and what.
func describe(decodingFailure error: any Error) -> String {
    guard let error = error as? DecodingError else { return String(describing: error) }
    let context: DecodingError.Context
    let what: String
    switch error {
    case .typeMismatch(let type, let detail): (what, context) = ("not a \(type)", detail)
    case .valueNotFound(let type, let detail): (what, context) = ("no \(type) where one is required", detail)
    case .keyNotFound(let key, let detail): (what, context) = ("required field \(key.stringValue) is missing", detail)
    case .dataCorrupted(let detail): (what, context) = (detail.debugDescription, detail)
    @unknown default: return String(describing: error)
    }
    let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
    return path.isEmpty ? what : "\(path): \(what)"
}
