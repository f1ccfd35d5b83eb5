// swift-tools-version: 6.2

import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    // Tests run with the checks for overlapping access; on the data path they cost a twentieth of the processor time.
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

// Third-party products, named once.
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioFoundationCompat: Target.Dependency = .product(name: "NIOFoundationCompat", package: "swift-nio")
let nioHTTP2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioHPACK: Target.Dependency = .product(name: "NIOHPACK", package: "swift-nio-http2")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let asyncHTTPClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let serviceLifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let coreMetrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")
let metricsTestKit: Target.Dependency = .product(name: "MetricsTestKit", package: "swift-metrics")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let jwtKit: Target.Dependency = .product(name: "JWTKit", package: "jwt-kit")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let configuration: Target.Dependency = .product(name: "Configuration", package: "swift-configuration")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: [.init(stringLiteral: name)] + dependencies, resources: resources,
        swiftSettings: settings)
}

let package = Package(
    name: "gateway-proxy",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "pipeops-agent", targets: ["pipeops-agent"]),
        .executable(name: "pipeops-gateway", targets: ["pipeops-gateway"]),
        .executable(name: "devcluster", targets: ["devcluster"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
        .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/vapor/jwt-kit.git", from: "5.7.1"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess.git", from: "1.0.2"),
        .package(url: "https://github.com/apple/swift-system.git", from: "1.6.1"),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
    ],
    targets: [
        // Pure: no sockets, no clocks, no tasks.
        library("Routing", []),
        library("TunnelProtocol", ["Routing", nioCore, deque]),
        library("HTTPExchange", ["TunnelProtocol", nioCore, nioHPACK]),

        // Event loops.
        library("TunnelTransport", ["TunnelProtocol", nioCore, nioPosix, nioHTTP1, nioSSL, crypto, metrics]),

        // Kubernetes, with no word about ingresses or tunnels in the runtime.
        library(
            "KubernetesAPI",
            [
                asyncHTTPClient, nioCore, nioPosix, nioHTTP1, nioSSL, nioFoundationCompat, logging, metrics, yams,
                subprocess, systemPackage,
            ]),
        library("KubernetesRuntime", ["KubernetesAPI", serviceLifecycle, logging, metrics, deque, heap]),

        // Leaves.
        library("Settings", ["Routing", configuration, yams]),
        library(
            "Telemetry", [logging, coreMetrics, metrics, nioCore, nioPosix, nioHTTP1, serviceLifecycle]),

        // The products.
        library(
            "ClusterAgent",
            [
                "KubernetesAPI", "KubernetesRuntime", "Routing", "TunnelProtocol", "TunnelTransport", "HTTPExchange",
                "Telemetry", "Settings", nioCore, nioPosix, nioHTTP1, nioHTTP2, nioHPACK, nioSSL, nioTLS, deque,
                serviceLifecycle, unixSignals, logging, metrics,
            ]),
        library(
            "EdgeGateway",
            [
                "KubernetesAPI", "KubernetesRuntime", "Routing", "TunnelProtocol", "TunnelTransport", "HTTPExchange",
                "Telemetry", "Settings", nioCore, nioPosix, nioHTTP1, nioHTTP2, nioHPACK, nioTLS, nioSSL,
                asyncHTTPClient,
                serviceLifecycle, unixSignals, logging, metrics, crypto, jwtKit, x509, asn1, yams,
            ]),
        library(
            "DevCluster",
            [
                "KubernetesAPI", nioCore, nioPosix, nioHTTP1, nioSSL, serviceLifecycle, logging, x509, asn1, crypto,
                yams, deque,
            ]),

        // Wiring only.
        library("ProgramShell", ["Settings", "Telemetry", argumentParser, logging]),
        program("pipeops-agent", ["ClusterAgent", "ProgramShell", "Settings", "Telemetry", argumentParser, logging]),
        program("pipeops-gateway", ["EdgeGateway", "ProgramShell", "Settings", "Telemetry", argumentParser, logging]),
        program(
            "devcluster",
            [
                "DevCluster", "Telemetry", argumentParser, serviceLifecycle, unixSignals, logging, nioCore, nioPosix,
                nioHTTP1, crypto,
            ]),

        // For test targets only: servers, clocks, certificates and waiting. Nothing that is shipped depends on it.
        .target(
            name: "TestSupport",
            dependencies: [
                "DevCluster", "KubernetesAPI", "TunnelProtocol", "TunnelTransport", nioCore, nioPosix, nioHTTP1, nioSSL,
                logging, x509, asn1, crypto, cryptoExtras, jwtKit, subprocess, systemPackage,
            ], path: "Tests/TestSupport",
            swiftSettings: settings),

        // The WebSocket layer alone, for hack/conformance tunnel; an echo for hack/conformance websocket.
        .executableTarget(
            name: "websocket-echo",
            dependencies: ["TunnelTransport", "TunnelProtocol", nioCore, nioPosix, nioHTTP1, argumentParser],
            path: "Tests/WebSocketEcho", swiftSettings: settings),

        // Many agents in one process, for hack/bench.
        .executableTarget(
            name: "tunnel-swarm",
            dependencies: [
                "ClusterAgent", "KubernetesAPI", "Routing", "Settings", "Telemetry", "TunnelProtocol",
                "TunnelTransport", nioCore, nioPosix, logging, argumentParser,
            ],
            path: "Tests/TunnelSwarm", swiftSettings: settings),

        // The look-up of routes alone, for hack/bench.
        .executableTarget(
            name: "routing-bench",
            dependencies: ["EdgeGateway", "HTTPExchange", "Routing", nioCore, argumentParser],
            path: "Tests/RoutingBench", swiftSettings: settings),

        tests("Routing", ["TestSupport"]),
        tests("TunnelProtocol", ["Routing", nioCore, nioHTTP1]),
        tests("HTTPExchange", ["TestSupport", "TunnelProtocol", nioCore, nioHTTP1, nioHPACK]),
        tests(
            "TunnelTransport",
            ["TestSupport", "TunnelProtocol", nioCore, nioPosix, nioHTTP1, nioEmbedded, nioSSL]),
        tests(
            "KubernetesAPI",
            ["TestSupport", nioCore, nioHTTP1, nioSSL, logging, metrics, metricsTestKit]),
        tests(
            "KubernetesRuntime",
            ["TestSupport", "KubernetesAPI", nioHTTP1, logging, metrics, metricsTestKit, serviceLifecycle]),
        tests("Settings", ["Routing"]),
        tests("Telemetry", [logging, metrics, coreMetrics, nioCore, nioPosix, serviceLifecycle]),
        tests(
            "ClusterAgent",
            [
                "TestSupport", "KubernetesAPI", "KubernetesRuntime", "Routing", "TunnelProtocol", "TunnelTransport",
                "DevCluster", "EdgeGateway", "Settings", "HTTPExchange", nioCore, nioPosix, nioHTTP2, nioEmbedded, yams,
                serviceLifecycle, logging, metrics, metricsTestKit,
            ]),
        tests(
            "EdgeGateway",
            [
                "TestSupport", "KubernetesAPI", "Routing", "TunnelProtocol", "TunnelTransport", "HTTPExchange",
                "Telemetry", logging, coreMetrics, nioCore, nioPosix, nioHTTP1, nioEmbedded, nioSSL, crypto, jwtKit,
            ]),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "TestSupport", "EdgeGateway", "ClusterAgent", "TunnelTransport", "TunnelProtocol", "Routing",
                "HTTPExchange", "KubernetesAPI", "Settings", "Telemetry", nioCore, nioPosix, nioHTTP1, nioHTTP2,
                nioHPACK, nioSSL, logging,
                crypto, jwtKit, serviceLifecycle,
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        tests("DevCluster", ["TestSupport", "KubernetesAPI", asyncHTTPClient, nioCore, nioHTTP1, logging, yams]),
    ]
)

// hack/fuzz: what the fuzzer runs and nothing else, with coverage counters in this package's own code.
if Context.environment["FUZZING"] != nil {
    package.targets = package.targets.filter { ["Routing", "TunnelProtocol"].contains($0.name) }
    package.targets.append(
        .target(
            name: "TunnelFuzz", dependencies: ["TunnelProtocol", nioCore, nioHTTP1, crypto], path: ".",
            sources: [
                "Tests/Fuzz/TunnelFuzz.swift", "Tests/TunnelTransportTests/Support/WebSocketFuzzCase.swift",
                "Tests/EdgeGatewayTests/Support/FirstBytesFuzzCase.swift",
                "Sources/EdgeGateway/FrontDoor/ProxyHeader.swift",
                "Sources/EdgeGateway/FrontDoor/ClientHelloReader.swift",
            ]
                + ["FuzzCase", "TunnelModel", "Choices", "Exchanges"].map {
                    "Tests/TunnelProtocolTests/Support/\($0).swift"
                }
                + ["WebSocketMessage", "WebSocketReader", "WebSocketWriter"].map {
                    "Sources/TunnelTransport/\($0).swift"
                },
            swiftSettings: settings))
    for target in package.targets { target.swiftSettings?.append(.unsafeFlags(["-sanitize=fuzzer"])) }
    package.products = [.library(name: "TunnelFuzz", type: .static, targets: ["TunnelFuzz"])]
}
