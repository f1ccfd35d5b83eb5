/// One event of a watch.
package enum WatchEvent<R: KubernetesResource>: Sendable {
    case added(R)
    case modified(R)
    /// The object in its last state, with the resource version of its deletion.
    case deleted(R)
    /// Nothing happened up to this version; `initialEventsEnd` marks the end of a streaming list.
    case bookmark(resourceVersion: String, initialEventsEnd: Bool)
    /// The server ends the watch and says why; an expired version is among the reasons.
    case error(KubernetesStatus)
    /// One line could not be decoded; the watch goes on. `type` is the event's type where it could be read.
    case undecodable(type: String?, UndecodableObject)
}

extension WatchEvent: Equatable where R: Equatable {}

/// A line of a watch response: `{"type": …, "object": …}`.
struct WatchLine<R: KubernetesResource>: Decodable {
    var event: WatchEvent<R>

    private enum CodingKeys: String, CodingKey { case type, object }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let type = try container.decode(String.self, forKey: .type)
        switch type {
        case "ADDED", "MODIFIED", "DELETED":
            switch try container.decode(LenientObject<R>.self, forKey: .object) {
            case .undecodable(let report):
                event = .undecodable(type: type, report)
            case .object(let object):
                switch type {
                case "ADDED": event = .added(object)
                case "MODIFIED": event = .modified(object)
                default: event = .deleted(object)
                }
            }
        case "BOOKMARK":
            let bookmark = try container.decode(Bookmark.self, forKey: .object)
            event = .bookmark(
                resourceVersion: bookmark.metadata.resourceVersion,
                initialEventsEnd: bookmark.metadata.annotations?["k8s.io/initial-events-end"] == "true")
        case "ERROR":
            event = .error(try container.decode(KubernetesStatus.self, forKey: .object))
        default:
            event = .undecodable(
                type: type,
                UndecodableObject(key: nil, resourceVersion: nil, problem: "unknown watch event type \(type)"))
        }
    }

    private struct Bookmark: Decodable {
        struct Metadata: Decodable {
            var resourceVersion: String
            var annotations: [String: String]?
        }
        var metadata: Metadata
    }
}
