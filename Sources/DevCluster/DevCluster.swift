import Foundation
package import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// An embedded Kubernetes API server: in memory, over TLS, for people without a cluster and for tests.
///
/// Start it, hand ``kubeconfig`` to a client, shut it down. It is a stand-in; where it differs from a real server, the real
/// one is right.
package final class DevCluster: Sendable {
    /// How the server is set up.
    package struct Configuration: Sendable {
        /// The address to listen on.
        package var host = "127.0.0.1"
        /// 0 lets the system choose.
        package var port = 0
        /// Where Services get their addresses.
        package var serviceRange = AddressRange.standard
        /// Where the kubeconfig is written, if anywhere.
        package var kubeconfigPath: String?
        /// The bearer token of the administrator; a random one if nil.
        package var token: String?
        /// How often a watch that wants bookmarks gets one.
        package var bookmarkInterval: Duration = .seconds(60)
        /// How many changes are remembered for watchers.
        package var historyLimit = 10_000
        /// The resource version before the first change. By default it follows the clock, so that a client that held
        /// versions of an earlier run of this server is told that they are gone instead of being misled by them.
        package var firstResourceVersion: Int64?

        package init() {}
    }

    /// The server's URL, such as `https://127.0.0.1:41234`.
    package let url: String
    /// The port listened on.
    package let port: Int
    /// What clients trust.
    package let certificateAuthorityPEM: String
    /// The administrator's bearer token.
    package let token: String
    /// Where the kubeconfig has been written, if asked for.
    package let kubeconfigPath: String?

    private let server: ClusterServer
    private let listener: any Channel
    private let connections: ConnectionSet

    private init(
        url: String, port: Int, authorityPEM: String, token: String, kubeconfigPath: String?, server: ClusterServer,
        listener: any Channel, connections: ConnectionSet
    ) {
        self.url = url
        self.port = port
        self.certificateAuthorityPEM = authorityPEM
        self.token = token
        self.kubeconfigPath = kubeconfigPath
        self.server = server
        self.listener = listener
        self.connections = connections
    }

    /// Starts a server; when this returns it accepts connections and the kubeconfig is there.
    package static func start(
        _ configuration: Configuration = Configuration(),
        logger: Logger = Logger(label: "devcluster") { _ in SwiftLogNoOpLogHandler() }
    ) async throws -> DevCluster {
        let date = Date()
        let authority = try CertificateAuthority(commonName: "devcluster CA", now: date)
        let identity = try authority.issue(names: [
            "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local", configuration.host,
        ])
        let token = configuration.token ?? randomToken()
        let group = MultiThreadedEventLoopGroup.singleton
        let now = currentTime()
        let first = configuration.firstResourceVersion ?? (now.microseconds / 1000 - 1_735_689_600_000)
        let server = ClusterServer(
            state: ClusterState(
                store: ObjectStore(firstRevision: max(0, first), historyLimit: configuration.historyLimit),
                serviceRange: configuration.serviceRange, now: now),
            tokens: [token], eventLoop: group.next(), bookmarkInterval: TimeAmount(configuration.bookmarkInterval),
            clock: { currentTime() }, logger: logger)
        let connections = ConnectionSet()
        let listener = try await listen(
            host: configuration.host, port: configuration.port, identity: identity, server: server,
            connections: connections, group: group)
        let port = listener.localAddress?.port ?? configuration.port
        let cluster = DevCluster(
            url: "https://\(configuration.host):\(port)", port: port, authorityPEM: authority.certificatePEM,
            token: token, kubeconfigPath: configuration.kubeconfigPath, server: server, listener: listener,
            connections: connections)
        if let path = configuration.kubeconfigPath {
            do {
                try cluster.kubeconfig.write(to: path)
            } catch {
                try? await cluster.shutDown()
                throw KubeconfigError(path: path, reason: "\((error as NSError).localizedDescription)")
            }
        }
        logger.info("Listening", metadata: ["listener": "api", "address": "\(configuration.host):\(port)"])
        return cluster
    }

    /// What a client needs to talk to this server.
    package var kubeconfig: Kubeconfig {
        Kubeconfig(server: url, certificateAuthorityPEM: certificateAuthorityPEM, token: token)
    }

    /// The version of the newest change.
    package var resourceVersion: Int64 { server.revision }

    /// How many watches are open.
    package var openWatches: Int { server.listenerCount }

    /// Forgets the history: whoever resumes a watch or a list from before gets 410.
    package func compact() {
        server.compact()
    }

    /// Ends every open watch properly, as a real server does from time to time.
    package func closeWatches() {
        server.endWatches()
    }

    /// Cuts every connection, as a crash or a network failure would. New ones are accepted.
    package func dropConnections() async {
        await connections.closeAll()
    }

    /// Accepts these bearer tokens from now on and no others.
    package func replaceTokens(_ tokens: Set<String>) {
        server.replaceTokens(tokens)
    }

    /// Does what an HTTP request would do, without the network; watches are not possible.
    ///
    /// - Returns: The status code and the answered document.
    @discardableResult
    package func perform(
        _ method: String, _ target: String, _ body: JSONValue? = nil, contentType: String = "application/json"
    ) -> (code: Int, document: JSONValue) {
        var request = APIRequest(method: method, target: target, body: body?.serialized() ?? [])
        request.contentType = contentType
        request.userAgent = "devcluster/1"
        switch server.respond(to: request) {
        case .document(let document, let code, _, _): return (code, document)
        case .bytes(let bytes, let code, _): return (code, .string(String(decoding: bytes, as: UTF8.self)))
        case .watch: return (400, APIStatus.badRequest("a watch needs a connection").json)
        }
    }

    /// Stops listening and closes every connection.
    package func shutDown() async throws {
        try await listener.close()
        await connections.closeAll()
    }

    private static func currentTime() -> Timestamp {
        Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000))
    }

    private static func randomToken() -> String {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz0123456789")
        return String((0..<40).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] })
    }

    private static func listen(
        host: String, port: Int, identity: CertificateAuthority.Identity, server: ClusterServer,
        connections: ConnectionSet, group: any EventLoopGroup
    ) async throws -> any Channel {
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(identity.certificatePEM.utf8))
                .map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(identity.privateKeyPEM.utf8), format: .pem)))
        tls.applicationProtocols = ["http/1.1"]
        // A client that is gone does not answer the goodbye.
        tls.shutdownTimeout = .milliseconds(500)
        let context = try NIOSSLContext(configuration: tls)
        return try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 256)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLServerHandler(context: context))
                    // Without NIO's help for pipelining, which stops reading while a request is answered: a watch is
                    // an answer without end, and the client's goodbye must be read while it lasts.
                    try pipeline.configureHTTPServerPipeline(
                        withPipeliningAssistance: false, withErrorHandling: true)
                    try pipeline.addHandler(APIConnectionHandler(server: server))
                    connections.add(channel)
                }
            }
            .bind(host: host, port: port).get()
    }
}

/// The open connections, to be closed with the server.
final class ConnectionSet: Sendable {
    private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

    func add(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        channels.withLock { $0[id] = channel }
        channel.closeFuture.whenComplete { _ in
            self.channels.withLock { $0[id] = nil }
        }
    }

    func closeAll() async {
        let closing = channels.withLock { $0.values.map { $0.close() } }
        for closed in closing { try? await closed.get() }
    }
}
