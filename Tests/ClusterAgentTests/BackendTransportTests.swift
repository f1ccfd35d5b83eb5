import ClusterAgent
import KubernetesAPI
import Routing
import Testing

@Suite("How a backend is spoken to")
struct BackendTransportTests {
    private static let name = "my-app.default.svc"

    private func extract(
        _ annotations: [String: String] = [:], appProtocol: String? = nil
    ) throws -> (transport: BackendTransport, extraction: IngressExtraction) {
        let service = Sample.service("my-app", ports: [.init(name: "http", port: 8080, appProtocol: appProtocol)])
        let extraction = try Sample.extract(Sample.ingress("my-app", annotations: annotations), [service])
        return (try #require(extraction.routes.first).target.transport, extraction)
    }

    private static let plain = BackendTransport.plain
    private static let tls = BackendTransport(tls: BackendTLS(serverName: name))
    private static let h2c = BackendTransport(usesHTTP2: true)
    private static let h2 = BackendTransport(usesHTTP2: true, tls: BackendTLS(serverName: name))

    @Test(
        "The port's appProtocol decides",
        arguments: [
            (nil, plain), ("http", plain), ("HTTP", plain), ("kubernetes.io/ws", plain), ("https", tls),
            ("kubernetes.io/wss", tls), ("kubernetes.io/h2c", h2c), ("grpc", h2c), ("grpcs", h2), ("h2", h2),
            ("example.com/own", plain),
        ] as [(String?, BackendTransport)])
    func appProtocols(appProtocol: String?, expected: BackendTransport) throws {
        let (transport, extraction) = try extract(appProtocol: appProtocol)
        #expect(transport == expected)
        #expect(extraction.accepted.message == IngressExtraction.acceptedMessage)
    }

    @Test(
        "The annotation wins, and ingress-nginx's own is understood where it is missing",
        arguments: [
            (["gateway.pipeops.io/backend-protocol": "http"], plain),
            (["gateway.pipeops.io/backend-protocol": "GRPC"], h2c),
            (["gateway.pipeops.io/backend-protocol": "h2"], h2),
            (["nginx.ingress.kubernetes.io/backend-protocol": "GRPCS"], h2),
            (["nginx.ingress.kubernetes.io/backend-protocol": "FCGI"], tls),
            (
                [
                    "gateway.pipeops.io/backend-protocol": "h2c",
                    "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS",
                ], h2c
            ),
        ] as [([String: String], BackendTransport)])
    func annotations(annotations: [String: String], expected: BackendTransport) throws {
        #expect(try extract(annotations, appProtocol: "https").transport == expected)
    }

    @Test("An annotation that is not understood has no effect, and the condition names the values that are")
    func unknownProtocol() throws {
        let (transport, extraction) = try extract(["gateway.pipeops.io/backend-protocol": "gprc"], appProtocol: "grpc")
        #expect(transport == Self.h2c)
        #expect(extraction.accepted.isTrue)
        #expect(extraction.accepted.message.contains("\"gprc\", not one of http, https, h2c, h2, grpc, grpcs"))
    }

    @Test("Whom to trust, and for which name, is annotated; verification goes off only by \"false\", and is told")
    func trust() throws {
        let (transport, extraction) = try extract(
            [
                "gateway.pipeops.io/backend-ca-secret": "authority",
                "gateway.pipeops.io/backend-server-name": "a.example",
                "gateway.pipeops.io/backend-tls-verify": "no",
            ], appProtocol: "https")
        #expect(
            transport.tls
                == BackendTLS(
                    serverName: "a.example", authority: .secret(ObjectKey(namespace: "default", name: "authority"))))
        #expect(extraction.accepted.message.contains("\"no\", not \"true\" or \"false\""))
        let off = try extract(["gateway.pipeops.io/backend-tls-verify": "false"], appProtocol: "https")
        #expect(off.transport.tls == BackendTLS(serverName: Self.name, isVerified: false))
        #expect(off.extraction.accepted.message.contains("whoever answers for the backend is believed"))
        for (name, value) in [("backend-ca-secret", "../x"), ("backend-server-name", "a b")] {
            let bad = try extract(["gateway.pipeops.io/\(name)": value], appProtocol: "https")
            #expect(bad.transport == Self.tls)
            #expect(bad.extraction.accepted.message.contains("annotation gateway.pipeops.io/\(name) is \"\(value)\""))
        }
    }

    @Test("A Service that is another's name has a certificate for that name")
    func externalName() throws {
        var service = Sample.service("my-app", type: "ExternalName", clusterIP: nil)
        service.spec?.externalName = "elsewhere.example.com"
        let extraction = try Sample.extract(
            Sample.ingress("my-app", annotations: ["gateway.pipeops.io/backend-protocol": "https"]), [service])
        #expect(extraction.routes.first?.target.transport.tls == BackendTLS(serverName: "elsewhere.example.com"))
    }
}

@Suite("How an ingress controller is spoken to")
struct IngressControllerTransportTests {
    private func controller(
        _ key: ObjectKey, labels: [String: String] = [:], https: Bool = true,
        _ preference: IngressControllerProtocol = .auto
    ) throws -> IngressControllerChoice {
        var service = Sample.service(
            key.name, namespace: key.namespace, clusterIP: "10.96.0.80",
            ports: [.init(name: "http", port: 80)] + (https ? [.init(name: "https", port: 443)] : []))
        service.metadata.labels = labels
        let found = IngressControllerSearch(configured: key).candidates(
            get: { [service] in $0 == key ? service : nil }, labelled: { _ in [] })
        return try #require(IngressControllerChoice(found, preference: preference))
    }

    private static let nginx = ObjectKey(namespace: "ingress-nginx", name: "ingress-nginx-controller")
    private static let traefik = ObjectKey(namespace: "kube-system", name: "traefik")
    private static let own = ObjectKey(namespace: "own", name: "own")

    @Test("NGINX takes HTTP/2 by TLS alone; Traefik and its like in plain text; a setting decides otherwise")
    func http2() throws {
        #expect(try controller(Self.nginx).http2 == .tls(port: 443))
        #expect(try controller(Self.nginx, https: false).http2 == .plain)
        #expect(try controller(Self.traefik).http2 == .plain)
        #expect(try controller(Self.own).http2 == .tls(port: 443))
        #expect(try controller(Self.own, labels: ["app.kubernetes.io/name": "traefik"]).http2 == .plain)
        #expect(try controller(Self.nginx, .http).http2 == .none)
        #expect(try controller(Self.nginx, .h2c).http2 == .plain)
        #expect(try controller(Self.traefik, .h2).http2 == .tls(port: 443))
    }

    @Test("Only routes whose backends speak HTTP/2 go to it by HTTP/2, and by TLS under the host of the request")
    func routes() throws {
        let (ledger, forwarding) = ForwardingTests.live()
        _ = ledger.setPublication(.published)
        var call = try Sample.route("grpc.example.com")
        call.target.transport = BackendTransport(usesHTTP2: true)
        var unverified = try Sample.route("unverified.example.com")
        unverified.target.transport = BackendTransport(usesHTTP2: true)
        unverified.target.controllerTLS.isVerified = false
        var https = try Sample.route("web.example.com")
        https.target.transport = BackendTransport(tls: BackendTLS(serverName: "x"))
        _ = ledger.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: [call, unverified, https])
        func target(_ host: String) throws -> ForwardTarget {
            guard case .found(let target) = forwarding.target(host: host, path: "/") else {
                throw NotFound()
            }
            return target
        }
        forwarding.setController(try controller(Self.nginx))
        #expect(try target("web.example.com").endpoint == .address(ip: "10.96.0.80", port: 80))
        #expect(try target("web.example.com").transport == .plain)
        #expect(try target("grpc.example.com").endpoint == .address(ip: "10.96.0.80", port: 443))
        #expect(
            try target("grpc.example.com").transport
                == BackendTransport(usesHTTP2: true, tls: BackendTLS(serverName: "")))
        #expect(try target("unverified.example.com").transport.tls?.isVerified == false)
        #expect(try target("grpc.example.com").viaIngressController)
        forwarding.setController(try controller(Self.traefik))
        #expect(try target("grpc.example.com").endpoint == .address(ip: "10.96.0.80", port: 80))
        #expect(try target("grpc.example.com").transport == BackendTransport(usesHTTP2: true))
        forwarding.setController(try controller(Self.traefik, .http))
        #expect(try target("grpc.example.com").transport == .plain)
    }

    private struct NotFound: Error {}
}
