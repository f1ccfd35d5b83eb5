import KubernetesAPI
import Logging
import NIOHTTP1

/// An Ingress with little in it; `class` makes two of one name differ.
func ingress(_ name: String, _ version: Int, namespace: String = "ns", class className: String? = nil) -> Ingress {
    Ingress(
        metadata: ObjectMeta(name: name, namespace: namespace, uid: "uid-\(name)", resourceVersion: "\(version)"),
        spec: className.map { .init(ingressClassName: $0) })
}

func key(_ name: String) -> ObjectKey { ObjectKey(namespace: "ns", name: name) }

/// The JSON of an Ingress, of a list of them, and of the lines of a watch.
enum Wire {
    static func object(_ name: String, _ version: Int) -> String {
        #"{"metadata":{"name":"\#(name)","namespace":"ns","uid":"uid-\#(name)","resourceVersion":"\#(version)"}}"#
    }

    static func list(_ version: Int, _ objects: [String], continue token: String = "") -> String {
        #"{"kind":"List","metadata":{"resourceVersion":"\#(version)","continue":"\#(token)"},"items":["#
            + objects.joined(separator: ",") + "]}"
    }

    static func event(_ type: String, _ object: String) -> String {
        #"{"type":"\#(type)","object":\#(object)}"# + "\n"
    }

    static func bookmark(_ version: Int, initialEventsEnd: Bool = false) -> String {
        let mark = initialEventsEnd ? #","annotations":{"k8s.io/initial-events-end":"true"}"# : ""
        return event("BOOKMARK", #"{"metadata":{"resourceVersion":"\#(version)"\#(mark)}}"#)
    }

    static func status(_ code: Int, _ reason: String) -> String {
        #"{"kind":"Status","status":"Failure","code":\#(code),"reason":"\#(reason)","message":"\#(reason)"}"#
    }
}

/// A client for a scripted server, shut down after `body`.
func withClient<Result>(
    port: Int, userAgent: String = "tests",
    options: KubernetesClient.Options = .init(requestTimeout: .seconds(5), retry: .never),
    _ body: (KubernetesClient) async throws -> Result
) async throws -> Result {
    let client = try KubernetesClient(
        configuration: KubernetesConfiguration(server: ServerAddress(isTLS: false, host: "127.0.0.1", port: port)),
        logger: Logger(label: "test"), userAgent: userAgent, options: options)
    do {
        let result = try await body(client)
        try await client.shutdown()
        return result
    } catch {
        try? await client.shutdown()
        throw error
    }
}
