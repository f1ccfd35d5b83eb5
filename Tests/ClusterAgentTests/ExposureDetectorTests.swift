import ClusterAgent
import KubernetesAPI
import Testing

@Suite("Private or public")
struct ExposureDetectorTests {
    typealias Finding = ExposureDetector.Finding
    typealias Action = ExposureDetector.Action

    static let controller = ObjectKey(namespace: "ingress-nginx", name: "ingress-nginx-controller")
    static let start = Finding.notObserved

    /// A detector and the Services it sees.
    struct Cluster {
        var detector = ExposureDetector(gracePeriod: .seconds(120))
        var search = IngressControllerSearch()
        var services: [Service] = []

        mutating func observe(at seconds: Int) -> Action {
            detector.observe(now: .seconds(seconds), services: candidates.map(\.service))
        }

        var candidates: [IngressControllerSearch.Candidate] { search.candidates(in: services) }

        static func controller(
            _ type: String?, address: Service.LoadBalancerIngress? = nil, uid: String = "1"
        ) -> Service {
            Sample.service(
                "ingress-nginx-controller", namespace: "ingress-nginx", type: type,
                addresses: address.map { [$0] } ?? [], uid: uid)
        }
    }

    static func finding(_ type: ClusterType, _ reason: ExposureDetector.Reason) -> Finding {
        Finding(clusterType: type, reason: reason, service: controller)
    }

    @Test("No ingress controller: private")
    func noController() {
        var cluster = Cluster()
        cluster.services = [Sample.service("my-app")]
        let found = Finding(clusterType: .private, reason: .noIngressController)
        #expect(cluster.observe(at: 0) == Action(finding: found))
    }

    @Test(
        "A controller without a load balancer: private",
        arguments: [
            ("NodePort" as String?, ExposureDetector.Reason.nodePort), ("ClusterIP", .clusterIP), (nil, .clusterIP),
        ])
    func noLoadBalancer(type: String?, reason: ExposureDetector.Reason) {
        var cluster = Cluster()
        cluster.services = [Cluster.controller(type)]
        #expect(cluster.observe(at: 0) == Action(finding: Self.finding(.private, reason)))
    }

    @Test(
        "A load balancer with an address: public",
        arguments: [
            Service.LoadBalancerIngress(ip: "203.0.113.7"), Service.LoadBalancerIngress(hostname: "lb.example.com"),
        ])
    func loadBalancerWithAddress(address: Service.LoadBalancerIngress) {
        var cluster = Cluster()
        cluster.services = [Cluster.controller("LoadBalancer", address: address)]
        #expect(
            cluster.observe(at: 0)
                == Action(finding: Self.finding(.public, .loadBalancerHasAddress)))
    }

    @Test("At the start a load balancer without address is undecided until the grace period ends, then private")
    func pendingAtStart() {
        var cluster = Cluster()
        cluster.services = [Cluster.controller("LoadBalancer")]
        let pending = Self.finding(.unknown, .loadBalancerPending)
        #expect(
            cluster.observe(at: 10) == Action(finding: pending, lookAgainAt: .seconds(130)))
        #expect(cluster.observe(at: 129) == Action(finding: pending, lookAgainAt: .seconds(130)))
        #expect(
            cluster.observe(at: 130)
                == Action(finding: Self.finding(.private, .loadBalancerWithoutAddress)))
        #expect(cluster.observe(at: 500) == Action(finding: Self.finding(.private, .loadBalancerWithoutAddress)))
    }

    @Test("A load balancer that gets its address within the grace period: never private")
    func addressInTime() {
        var cluster = Cluster()
        cluster.services = [Cluster.controller("LoadBalancer")]
        #expect(cluster.observe(at: 0).finding.clusterType == .unknown)
        cluster.services = [Cluster.controller("LoadBalancer", address: .init(ip: "203.0.113.7"))]
        #expect(cluster.observe(at: 60).finding == Self.finding(.public, .loadBalancerHasAddress))
    }

    @Test("An address that comes after the grace period turns private into public")
    func addressLate() {
        var cluster = Cluster()
        cluster.services = [Cluster.controller("LoadBalancer")]
        _ = cluster.observe(at: 0)
        #expect(cluster.observe(at: 120).finding.clusterType == .private)
        cluster.services = [Cluster.controller("LoadBalancer", address: .init(ip: "203.0.113.7"))]
        let action = cluster.observe(at: 300)
        #expect(action.finding.clusterType == .public)
    }

    @Test("An address that is taken away: public for the grace period, then private; given back, public at once")
    func addressTakenAway() {
        var cluster = Cluster()
        cluster.services = [Cluster.controller("LoadBalancer", address: .init(ip: "203.0.113.7"))]
        _ = cluster.observe(at: 0)
        cluster.services = [Cluster.controller("LoadBalancer")]
        let pending = cluster.observe(at: 1000)
        #expect(pending.finding == Self.finding(.public, .loadBalancerPending))
        #expect(pending.lookAgainAt == .seconds(1120))
        #expect(cluster.observe(at: 1120).finding == Self.finding(.private, .loadBalancerWithoutAddress))
        cluster.services = [Cluster.controller("LoadBalancer", address: .init(ip: "203.0.113.7"))]
        #expect(cluster.observe(at: 1121).finding.clusterType == .public)
        // The grace period begins anew with each loss.
        cluster.services = [Cluster.controller("LoadBalancer")]
        #expect(cluster.observe(at: 1200).lookAgainAt == .seconds(1320))
    }

    @Test("A load balancer that was made anew has the whole grace period again, and the type stays meanwhile")
    func madeAnew() {
        var cluster = Cluster()
        cluster.services = [Cluster.controller("LoadBalancer", uid: "1")]
        _ = cluster.observe(at: 0)
        _ = cluster.observe(at: 120)
        cluster.services = [Cluster.controller("LoadBalancer", uid: "2")]
        let action = cluster.observe(at: 200)
        #expect(action.finding == Self.finding(.private, .loadBalancerPending))
        #expect(action.lookAgainAt == .seconds(320))
    }

    @Test("A controller that appears as NodePort and becomes a load balancer stays private until it has an address")
    func nodePortToLoadBalancer() {
        var cluster = Cluster()
        _ = cluster.observe(at: 0)
        cluster.services = [Cluster.controller("NodePort")]
        #expect(cluster.observe(at: 1).finding == Self.finding(.private, .nodePort))
        cluster.services = [Cluster.controller("LoadBalancer")]
        #expect(cluster.observe(at: 2).finding == Self.finding(.private, .loadBalancerPending))
        cluster.services = [Cluster.controller("LoadBalancer", address: .init(ip: "203.0.113.7"))]
        #expect(cluster.observe(at: 3).finding.clusterType == .public)
        cluster.services = []
        #expect(cluster.observe(at: 4).finding.clusterType == .private)
    }

    @Test("Of several controllers one with an address decides, wherever it stands in the list")
    func severalControllers() {
        var cluster = Cluster()
        cluster.services = [
            Cluster.controller("NodePort"),
            Sample.service(
                "traefik", namespace: "kube-system", type: "LoadBalancer", addresses: [.init(ip: "203.0.113.7")]),
        ]
        let finding = cluster.observe(at: 0).finding
        #expect(finding.clusterType == .public)
        #expect(finding.service == ObjectKey(namespace: "kube-system", name: "traefik"))
    }

    @Test("A setting that names the Service makes all others irrelevant")
    func override() {
        var cluster = Cluster(search: IngressControllerSearch(configured: Sample.key("edge")))
        cluster.services = [Cluster.controller("LoadBalancer", address: .init(ip: "203.0.113.7"))]
        #expect(cluster.observe(at: 0).finding == Finding(clusterType: .private, reason: .noIngressController))
        cluster.services.append(Sample.service("edge", type: "NodePort"))
        #expect(
            cluster.observe(at: 1).finding
                == Finding(clusterType: .private, reason: .nodePort, service: Sample.key("edge")))
    }

    @Test("An entry of the load balancer without IP address and name is no address")
    func emptyEntry() {
        #expect(!Cluster.controller("LoadBalancer", address: .init()).hasExternalAddress)
    }

    @Test("What is published follows from mode and type")
    func publication() {
        typealias Publication = RouteLedger.Publication
        for type in [ClusterType.private, .public, .unknown] {
            #expect(Publication(mode: .never, clusterType: type) == .silent)
            #expect(Publication(mode: .always, clusterType: type) == .published)
        }
        #expect(Publication(mode: .auto, clusterType: .private) == .published)
        #expect(Publication(mode: .auto, clusterType: .public) == .withdrawn)
        #expect(Publication(mode: .auto, clusterType: .unknown) == .silent)
    }
}

@Suite("Which ingress controller")
struct IngressControllerChoiceTests {
    static let nginx = ObjectKey(namespace: "ingress-nginx", name: "ingress-nginx-controller")

    static func choice(_ services: [Service]) -> IngressControllerChoice? {
        IngressControllerChoice(IngressControllerSearch().candidates(in: services))
    }

    static func nginx(clusterIP: String? = "10.96.0.80", ports: [Service.Port]) -> Service {
        Sample.service("ingress-nginx-controller", namespace: "ingress-nginx", clusterIP: clusterIP, ports: ports)
    }

    @Test("The port named http, whatever its number")
    func portByName() {
        let service = Self.nginx(ports: [.init(name: "https", port: 443), .init(name: "http", port: 8000)])
        #expect(
            Self.choice([service])
                == IngressControllerChoice(
                    service: Self.nginx, clusterIP: "10.96.0.80", httpPort: 8000, httpsPort: 443, http2: .tls(port: 443)
                )
        )
    }

    @Test("Port 80 where none is named http, and the port named web where there is no 80")
    func portByNumber() {
        let numbered = Self.nginx(ports: [.init(name: "https", port: 443), .init(name: "plain", port: 80)])
        #expect(Self.choice([numbered])?.httpPort == 80)
        let traefik = Self.nginx(ports: [.init(name: "websecure", port: 443), .init(name: "web", port: 8000)])
        #expect(Self.choice([traefik])?.httpPort == 8000)
    }

    @Test("None without an HTTP port, without a Service, or without an address in the cluster")
    func none() {
        #expect(Self.choice([]) == nil)
        #expect(Self.choice([Self.nginx(ports: [.init(name: "https", port: 443)])]) == nil)
        #expect(Self.choice([Self.nginx(ports: [.init(name: "http", port: 80, protocol: "UDP")])]) == nil)
        #expect(Self.choice([Self.nginx(clusterIP: "None", ports: [.init(name: "http", port: 80)])]) == nil)
        #expect(Self.choice([Self.nginx(clusterIP: nil, ports: [.init(name: "http", port: 80)])]) == nil)
    }

    @Test("A candidate that cannot be used leaves the place to the next one")
    func nextCandidate() {
        let traefik = Sample.service(
            "traefik", namespace: "kube-system", clusterIP: "10.96.0.81", ports: [.init(name: "web", port: 80)])
        let choice = Self.choice([Self.nginx(ports: []), traefik])
        #expect(choice?.service == ObjectKey(namespace: "kube-system", name: "traefik"))
    }
}

extension IngressControllerSearch {
    /// The candidates among these Services.
    func candidates(in services: [Service]) -> [Candidate] {
        candidates(get: { key in services.first { $0.key == key } }) { value in
            services.filter { Self.indexValues($0).contains(value) }.sorted { $0.key < $1.key }
        }
    }
}
