import KubernetesAPI

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
