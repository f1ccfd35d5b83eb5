package import KubernetesAPI

/// The page that the gateway shows browsers in place of its own while the cluster is away, as an Ingress asks for it: an
/// annotation names a ConfigMap of its namespace.
///
/// | ConfigMap | what becomes of it |
/// |---|---|
/// | is there, with the label, and the key holds a page | the page travels with the routes, as an annotation of theirs |
/// | is not there, or not labelled; has no such key; is not read | a remark; the routes go without |
/// | the page is too large, empty, or has control characters | the same |
package struct OfflinePage: Hashable, Sendable {
    /// On an Ingress: `NAME`, or `NAME/KEY` where the key is not `index.html`.
    package static let annotation = "gateway.pipeops.io/offline-page"
    /// On a route: the page itself.
    package static let contentAnnotation = "gateway.pipeops.io/offline-page-content"
    /// On a ConfigMap, with the value `true`: the agent reads no others.
    package static let label = "gateway.pipeops.io/offline-page"
    /// A route has to fit a control message, with all that JSON makes of it.
    package static let mostBytes = 16 * 1024

    /// nil where there is none, or none that can be shown.
    package private(set) var content: String?
    /// What a person should know; a sentence without its end.
    package private(set) var remark: String?

    private struct Problem: Error {
        var text: String
        init(_ text: String) { self.text = text }
    }

    /// - Parameter configMap: reads the labelled ConfigMaps; nil: the agent reads none.
    package init(_ annotations: [String: String]?, namespace: String, configMap: ((ObjectKey) -> ConfigMap?)?) {
        guard let text = annotations?[Self.annotation] else { return }
        do throws(Problem) {
            content = try Self.content(text, namespace, configMap)
        } catch {
            remark = "annotation \(Self.annotation) has no effect: \(error.text)"
        }
    }

    private static func content(
        _ text: String, _ namespace: String, _ configMap: ((ObjectKey) -> ConfigMap?)?
    ) throws(Problem) -> String {
        guard let configMap else { throw Problem("the agent's setting offline-pages is off") }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let file = parts.count > 1 ? parts[1] : "index.html"
        guard let name = parts.first, ObjectNames.isSubdomain(name), !file.isEmpty else {
            throw Problem("\"\(text)\" is not NAME or NAME/KEY of a ConfigMap")
        }
        let key = ObjectKey(namespace: namespace, name: name)
        guard let found = configMap(key) else {
            throw Problem("ConfigMap \(key) is not there, or lacks the label \(label)=true")
        }
        guard let page = found.data?[file], !page.isEmpty else {
            throw Problem("ConfigMap \(key) has nothing in \(file)")
        }
        guard page.utf8.count <= mostBytes else {
            throw Problem("ConfigMap \(key) has more than \(mostBytes) bytes in \(file)")
        }
        guard page.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }) else {
            throw Problem("ConfigMap \(key) has control characters in \(file)")
        }
        return page
    }

    /// The ConfigMap that an Ingress names, for the index from ConfigMaps to Ingresses.
    package static func configMap(namedBy ingress: Ingress) -> ObjectKey? {
        guard let name = ingress.metadata.annotations?[annotation]?.prefix(while: { $0 != "/" }) else { return nil }
        return ObjectKey(namespace: ingress.metadata.namespace ?? "", name: String(name))
    }
}

extension ConfigMap {
    /// Drops what nobody reads: of a page that is too large there is as much as shows that it is.
    mutating func keepOnlyWhatIsRead() {
        metadata.annotations = nil
        data = data?.mapValues {
            $0.utf8.count > OfflinePage.mostBytes ? String($0.prefix(OfflinePage.mostBytes + 1)) : $0
        }
    }
}
