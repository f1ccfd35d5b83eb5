import ClusterAgent
import KubernetesAPI
import Routing
import Settings
import Testing

@Suite("The guardrail: where a request may go")
struct ForwardingTests {
    static func live() -> (LiveRouteLedger, ForwardingGuard) {
        let forwarding = ForwardingGuard(policy: TargetPolicy())
        return (LiveRouteLedger(forwarding: forwarding), forwarding)
    }

    @Test("Only an advertised host and path is forwarded, and only to its own target")
    func onlyAdvertised() throws {
        let (ledger, forwarding) = Self.live()
        let route = try Sample.route("my-app.example.com", "/app")
        _ = ledger.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: [route])
        #expect(forwarding.target(host: "my-app.example.com", path: "/app") == .noSuchHost)
        _ = ledger.setPublication(.published)
        #expect(forwarding.target(host: "my-app.example.com", path: "/app/x") == .found(route.target))
        #expect(forwarding.target(host: "my-app.example.com", path: "/other") == .noSuchPath)
        #expect(forwarding.target(host: "kubernetes.default.svc", path: "/api") == .noSuchHost)
        _ = ledger.setPublication(.withdrawn)
        #expect(forwarding.target(host: "my-app.example.com", path: "/app") == .noSuchHost)
    }

    @Test("The table follows every change of the ledger")
    func followsLedger() throws {
        let (ledger, forwarding) = Self.live()
        _ = ledger.setPublication(.published)
        var route = try Sample.route("my-app.example.com")
        _ = ledger.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: [route])
        route.target.endpoint = .address(ip: "10.96.0.99", port: 8080)
        let change = ledger.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: [route])
        #expect(!change.routesChanged, "the gateway knows nothing of addresses")
        #expect(forwarding.target(host: "my-app.example.com", path: "/") == .found(route.target))
        _ = ledger.remove(ingress: Sample.key("a"))
        #expect(forwarding.target(host: "my-app.example.com", path: "/") == .noSuchHost)
    }

    @Test("With an ingress controller every advertised route leads there, and nothing else does")
    func ingressController() throws {
        let (ledger, forwarding) = Self.live()
        _ = ledger.setPublication(.published)
        let route = try Sample.route("my-app.example.com")
        _ = ledger.replace(ingress: Sample.key("a"), createdAt: Sample.date(0), with: [route])
        let controller = IngressControllerChoice(
            service: ObjectKey(namespace: "ingress-nginx", name: "ingress-nginx-controller"), clusterIP: "10.96.0.80",
            httpPort: 80)
        forwarding.setController(controller)
        #expect(
            forwarding.target(host: "my-app.example.com", path: "/")
                == .found(
                    ForwardTarget(
                        endpoint: .address(ip: "10.96.0.80", port: 80), service: controller.service,
                        viaIngressController: true)))
        #expect(forwarding.target(host: "other.example.com", path: "/") == .noSuchHost)
        forwarding.setController(nil)
        #expect(forwarding.target(host: "my-app.example.com", path: "/") == .found(route.target))
    }
}

@Suite("The guardrail: which address may be connected to")
struct TargetPolicyTests {
    static let ranges: [(String, TargetPolicy.Refusal)] = [
        ("127.0.0.1", .loopback), ("127.255.255.254", .loopback), ("::1", .loopback),
        ("::ffff:127.0.0.1", .loopback), ("169.254.169.254", .metadata), ("::ffff:169.254.169.254", .metadata),
        ("64:ff9b::169.254.169.254", .metadata), ("fd00:ec2::254", .metadata), ("100.100.100.200", .metadata),
        ("168.63.129.16", .metadata), ("169.254.1.1", .linkLocal), ("fe80::1", .linkLocal), ("febf::1", .linkLocal),
        ("0.0.0.0", .unspecified), ("0.1.2.3", .unspecified), ("::", .unspecified), ("255.255.255.255", .unspecified),
        ("224.0.0.1", .multicast), ("239.255.255.255", .multicast), ("ff02::1", .multicast),
        ("::127.0.0.1", .loopback),
    ]

    @Test("Forbidden ranges, in either family and however spelled", arguments: Self.ranges)
    func forbidden(text: String, refusal: TargetPolicy.Refusal) throws {
        let address = try #require(IPAddress(text))
        #expect(TargetPolicy().refusal(of: address, port: 80) == refusal)
    }

    @Test(
        "Addresses that Services have",
        arguments: ["10.96.0.10", "172.16.0.1", "192.168.1.1", "fd00:10:96::10", "2001:db8::1", "203.0.113.7"])
    func allowed(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(TargetPolicy().refusal(of: address, port: 80) == nil)
    }

    @Test("Loopback only where a person allowed it, and even then not the rest")
    func loopback() throws {
        let policy = TargetPolicy(allowLoopback: true)
        #expect(policy.refusal(of: try #require(IPAddress("127.96.0.10")), port: 80) == nil)
        #expect(policy.refusal(of: try #require(IPAddress("::1")), port: 80) == nil)
        #expect(policy.refusal(of: try #require(IPAddress("169.254.169.254")), port: 80) == .metadata)
    }

    @Test("The API server is refused at its port, by address, by name and through its Service")
    func apiServer() throws {
        var policy = TargetPolicy(allowLoopback: true, apiServer: "127.0.0.1:6443")
        let local = try #require(IPAddress("127.0.0.1"))
        #expect(policy.refusal(of: local, port: 6443) == .apiServer)
        #expect(policy.refusal(of: try #require(IPAddress("::ffff:127.0.0.1")), port: 6443) == .apiServer)
        #expect(policy.refusal(of: local, port: 8080) == nil)
        let service = try #require(IPAddress("10.96.0.1"))
        #expect(policy.refusal(of: service, port: 443) == nil)
        policy.setClusterAPIServers([.init(address: service, port: 443)])
        #expect(policy.refusal(of: service, port: 443) == .apiServer)

        let named = TargetPolicy(apiServer: "API.example.com:6443")
        #expect(named.refusal(ofName: "api.EXAMPLE.com", port: 6443) == .apiServer)
        #expect(named.refusal(ofName: "api.example.com", port: 443) == nil)
        let bracketed = TargetPolicy(apiServer: "[fd00::1]:6443")
        #expect(bracketed.refusal(of: try #require(IPAddress("fd00::1")), port: 6443) == .apiServer)
    }

    @Test(
        "What is no address",
        arguments: [
            "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.a", " 1.2.3.4", "0x7f.0.0.1", ":::", "1::2::3",
            "::g", "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "fe80::1%eth0",
            "1:2:3:4:5:6:7::8:9", "::1.2.3", "example.com", "::+1",
        ])
    func noAddress(text: String) { #expect(IPAddress(text) == nil) }

    @Test(
        "Spellings of IPv6",
        arguments: [
            ("1:2:3:4:5:6:7:8", "0001:0002:0003:0004:0005:0006:0007:0008"), ("1::8", "1:0:0:0:0:0:0:8"),
            ("::", "0:0:0:0:0:0:0:0"), ("1::", "1:0:0:0:0:0:0:0"), ("::1.2.3.4", "::102:304"), ("FE80::A", "fe80::a"),
        ])
    func spellings(one: String, other: String) {
        #expect(IPAddress(one) != nil)
        #expect(IPAddress(one) == IPAddress(other))
    }
}
