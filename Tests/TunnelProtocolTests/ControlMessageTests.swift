import Foundation
import Testing
import TunnelProtocol

@Suite("Control messages")
struct ControlMessageTests {
    static let golden: [(ControlMessage, String)] = [
        (
            .hello(
                .init(
                    versions: [1], clusterUUID: "abc-123", agentID: "agent-1", agentVersion: "0.1.0", maxStreams: 1024,
                    tunnel: 1)),
            """
            {"payload":{"agent_id":"agent-1","agent_version":"0.1.0","cluster_uuid":"abc-123","max_streams":1024,\
            "tunnel":1,"versions":[1]},"type":"hello"}
            """
        ),
        (
            .welcome(
                .init(
                    version: 1, instanceID: "gw-1", tunnelID: "t-1", gatewayDomain: "gateway.pipeops.io",
                    heartbeatIntervalMilliseconds: 30000, registry: "gw-1")),
            """
            {"payload":{"gateway_domain":"gateway.pipeops.io","heartbeat_interval_ms":30000,"instance_id":"gw-1",\
            "registry":"gw-1","tunnel_id":"t-1","version":1},"type":"welcome"}
            """
        ),
        (
            .ingressRoutes(
                .init(
                    action: .sync, clusterUUID: "abc-123",
                    routes: [
                        AdvertisedRoute(
                            host: "a.com", path: "/", pathType: "Exact", service: "s", namespace: "n", port: 80,
                            tls: false, annotations: [:])
                    ], revision: 7, page: .init(index: 1, last: true))),
            """
            {"payload":{"action":"sync","cluster_uuid":"abc-123","page":{"index":1,"last":true},"revision":7,\
            "routes":[{"annotations":{},"host":"a.com","namespace":"n","path":"/","path_type":"Exact","port":80,\
            "service":"s","tls":false}]},"type":"ingress_routes"}
            """
        ),
        (
            .ingressRoutesAck(
                .init(
                    revision: 7, accepted: 4,
                    rejected: [
                        .init(
                            host: "a.com", path: "/", pathType: "Prefix", reason: "HostnameConflict", message: "taken")
                    ])),
            """
            {"payload":{"accepted":4,"rejected":[{"host":"a.com","message":"taken","path":"/","path_type":"Prefix",\
            "reason":"HostnameConflict"}],"revision":7},"type":"ingress_routes_ack"}
            """
        ),
        (
            .heartbeat(
                .init(
                    metadata: .init(isPrivate: true, gatewayRoutes: 5), revision: 7, digest: "0123456789abcdef")),
            """
            {"payload":{"digest":"0123456789abcdef","metadata":{"gateway_routes":5,"is_private":true},"revision":7},\
            "type":"heartbeat"}
            """
        ),
        (.heartbeatAck(.init(revision: 7)), #"{"payload":{"revision":7},"type":"heartbeat_ack"}"#),
        (.resync(.init(reason: "drift")), #"{"payload":{"reason":"drift"},"type":"resync"}"#),
        (
            .error(.init(code: "wrong_cluster", message: "no", retryAfterMilliseconds: 5000)),
            #"{"payload":{"code":"wrong_cluster","message":"no","retry_after_ms":5000},"type":"error"}"#
        ),
        (
            .error(.init(code: "too_large", message: "no")),
            #"{"payload":{"code":"too_large","message":"no"},"type":"error"}"#
        ),
    ]

    @Test("A message is exactly this JSON, and is read back from it", arguments: golden)
    func goldenJSON(message: ControlMessage, json: String) {
        #expect(message.encoded() == json)
        #expect(ControlMessage.decode(json) == .message(message))
        #expect(json.contains("\"type\":\"\(message.typeName)\""))
    }

    /// The message of the project's first description, field by field.
    @Test("An ingress_routes message has the fields of the original description, spelled as there")
    func originalIngressRoutes() throws {
        let original = """
            {
              "type": "ingress_routes",
              "payload": {
                "action": "add",
                "cluster_uuid": "abc-123",
                "routes": [
                  {
                    "host": "example.com",
                    "path": "/api",
                    "path_type": "Prefix",
                    "service": "api-service",
                    "namespace": "default",
                    "port": 8080,
                    "tls": true,
                    "annotations": {
                      "nginx.ingress.kubernetes.io/rewrite-target": "/"
                    }
                  }
                ]
              }
            }
            """
        let message = ControlMessage.ingressRoutes(
            .init(
                action: .add, clusterUUID: "abc-123",
                routes: [
                    AdvertisedRoute(
                        host: "example.com", path: "/api", pathType: "Prefix", service: "api-service",
                        namespace: "default", port: 8080, tls: true,
                        annotations: ["nginx.ingress.kubernetes.io/rewrite-target": "/"])
                ], revision: 3))
        var ours = try object(message.encoded())
        var payload = try #require(ours["payload"] as? [String: Any])
        #expect(payload.removeValue(forKey: "revision") as? Int == 3)
        ours["payload"] = payload
        #expect(NSDictionary(dictionary: ours) == NSDictionary(dictionary: try object(original)))
    }

    @Test("A heartbeat's metadata is that of the original description")
    func originalHeartbeat() throws {
        let message = ControlMessage.heartbeat(
            .init(metadata: .init(isPrivate: true, gatewayRoutes: 5), revision: 0, digest: ""))
        let payload = try #require(try object(message.encoded())["payload"] as? [String: Any])
        let metadata = try #require(payload["metadata"] as? [String: Any])
        #expect(NSDictionary(dictionary: metadata) == ["is_private": true, "gateway_routes": 5])
    }

    private func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test("Unknown fields are ignored and optional ones have their defaults")
    func tolerance() {
        #expect(
            ControlMessage.decode(#"{"type":"resync","later":1,"payload":{"reason":"x","later":{"a":[1]}}}"#)
                == .message(.resync(.init(reason: "x"))))
        let route = #"{"host":"a","path":"/","service":"s","namespace":"n","port":1}"#
        let decoded = ControlMessage.decode(
            #"{"type":"ingress_routes","payload":{"action":"add","cluster_uuid":"u","revision":1,"routes":[\#(route)]}}"#
        )
        #expect(
            decoded
                == .message(
                    .ingressRoutes(
                        .init(
                            action: .add, clusterUUID: "u",
                            routes: [
                                AdvertisedRoute(
                                    host: "a", path: "/", pathType: "Prefix", service: "s", namespace: "n", port: 1,
                                    tls: false, annotations: [:])
                            ], revision: 1))))
    }

    @Test("A type that is not known is told apart from nonsense")
    func unknownType() {
        #expect(ControlMessage.decode(#"{"type":"upgrade","payload":3}"#) == .unknownType("upgrade"))
        #expect(ControlMessage.decode(#"{"type":""}"#) == .unknownType(""))
    }

    @Test(
        "What cannot be read says what is wrong and where",
        arguments: [
            (#"{"payload":{}}"#, #"the message lacks "type""#),
            (#"{"type":"resync"}"#, #"the message lacks "payload""#),
            (#"{"type":"resync","payload":{}}"#, #"payload lacks "reason""#),
            (#"{"type":"resync","payload":{"reason":1}}"#, "payload.reason is not of type String"),
            (#"{"type":"heartbeat_ack","payload":{"revision":"x"}}"#, "payload.revision is not of type Int64"),
            (#"{"type":"heartbeat_ack","payload":{"revision":null}}"#, "payload.revision"),
            (#"{"type":"heartbeat_ack","payload":{"revision":99999999999999999999}}"#, "not valid"),
            (
                #"{"type":"ingress_routes","payload":{"action":"add","cluster_uuid":"u","revision":1,"routes":[{}]}}"#,
                "payload.routes.[0] lacks \"host\""
            ),
            (
                #"{"type":"ingress_routes","payload":{"action":"drop","cluster_uuid":"u","revision":1,"routes":[]}}"#,
                "payload.action is not valid"
            ),
            (#"{"type":1}"#, "type is not of type String"),
            ("", "not valid"), ("x", "not valid"), ("[]", "the message is not of type"), ("{", "not valid"),
            ("null", "the message"), ("\u{0}", "not valid"),
        ])
    func malformed(json: String, reason: String) {
        guard case .malformed(let text) = ControlMessage.decode(json) else {
            Issue.record("taken: \(json)")
            return
        }
        #expect(text.contains(reason))
        #expect(!text.contains("\n"))
    }

    @Test("What is said about a message stays short whatever the peer wrote")
    func shortReasons() {
        let key = String(repeating: "k", count: 50_000)
        let json = """
            {"type":"ingress_routes","payload":{"action":"add","cluster_uuid":"u","revision":1,"routes":[{"host":"a",\
            "path":"/","service":"s","namespace":"n","port":1,"annotations":{"\(key)":1}}]}}
            """
        guard case .malformed(let text) = ControlMessage.decode(json) else {
            Issue.record("taken")
            return
        }
        #expect(text.utf8.count < 400)
    }

    @Test("Deeply nested JSON is refused, not followed to the end of the stack")
    func nesting() {
        let depth = 30_000
        let json = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        guard case .malformed = ControlMessage.decode(#"{"type":"resync","payload":\#(json)}"#) else {
            Issue.record("taken")
            return
        }
    }
}
