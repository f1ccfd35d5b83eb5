import AsyncHTTPClient
import Foundation
package import Logging
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import NIOSSL
import Synchronization

/// A client of one Kubernetes API server.
///
/// Requests are repeated within a call as `RetryPolicy` says; what is left is a `KubernetesError`. Cancelling the
/// calling task cancels the request and throws `CancellationError`.
package final class KubernetesClient: Sendable {
    /// What a client may be told besides where its server is.
    package struct Options: Sendable {
        /// Until the head of the answer, and between any two parts of its body, for each attempt.
        package var requestTimeout: Duration
        package var retry: RetryPolicy
        /// Requests a second, and how many at once after a pause; nil for no limit on this side.
        package var rateLimit: (rate: Double, burst: Int)?
        /// The longest body of an answer, in bytes, that is not a watch.
        package var responseBodyLimit: Int
        /// The longest single watch event, in bytes.
        package var watchLineLimit: Int

        package init(
            requestTimeout: Duration = .seconds(30), retry: RetryPolicy = RetryPolicy(),
            rateLimit: (rate: Double, burst: Int)? = (rate: 500, burst: 1000), responseBodyLimit: Int = 256 << 20,
            watchLineLimit: Int = 16 << 20
        ) {
            self.requestTimeout = requestTimeout
            self.retry = retry
            self.rateLimit = rateLimit
            self.responseBodyLimit = responseBodyLimit
            self.watchLineLimit = watchLineLimit
        }
    }

    let options: Options
    let logger: Logger
    let time: MonotonicTime
    let connections: Mutex<Connections>
    let reload: (@Sendable () throws -> KubernetesConfiguration)?
    private let userAgent: String
    private let clock: any Clock<Duration>
    private let random: @Sendable () -> Double
    private let limiter: Mutex<TokenBucket?>
    private let metrics: RequestMetrics

    /// Prepares a client; connects to nothing yet. `reload` finds the configuration again, for when the server cannot be
    /// reached or refuses the credentials. `random` yields numbers in 0..<1. Throws `KubernetesConfigurationError` if
    /// certificates or keys are unusable.
    package init(
        configuration: KubernetesConfiguration, reload: (@Sendable () throws -> KubernetesConfiguration)? = nil,
        logger: Logger, userAgent: String, options: Options = Options(),
        clock: any Clock<Duration> = ContinuousClock(),
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) throws {
        self.reload = reload
        self.options = options
        self.logger = logger
        self.userAgent = userAgent
        self.clock = clock
        self.random = random
        time = MonotonicTime(clock)
        let connection = try ServerConnection(configuration, requestTimeout: options.requestTimeout, time: time)
        connections = Mutex(Connections(current: connection))
        limiter = Mutex(options.rateLimit.map { TokenBucket(rate: $0.rate, burst: $0.burst) })
        metrics = RequestMetrics(host: configuration.server.hostAndPort)
    }

    /// `host:port` of the API server.
    package var serverAddress: String { connections.withLock { $0.current.configuration.server.hostAndPort } }

    /// Closes all connections. Must be called before the client is let go.
    package func shutdown() async throws {
        let (current, previous) = connections.withLock { ($0.current, $0.previous) }
        try await previous?.shutdown()
        try await current.shutdown()
    }

    /// One request, ready to be sent any number of times.
    struct Request {
        var verb: KubernetesError.Verb
        var method: HTTPMethod
        var target: ResourceTarget
        var query: [(String, String)] = []
        var contentType = "application/json"
        var body: ByteBuffer?
        var isIdempotent = true

        var path: String { target.path }
    }

    /// Sends `request`, repeating it where that is safe and may help, and returns the body of the answer.
    func send(_ request: Request) async throws -> ByteBuffer {
        try await repeating(request, policy: options.retry) { connection, authorization in
            let response = try await self.open(request, on: connection.http, connection, authorization)
            return try await self.body(of: response, request: request)
        }
    }

    /// Sends `request` once (twice if credentials had to be renewed) and returns the answer's body as it arrives.
    func stream(_ request: Request) async throws -> HTTPClientResponse.Body {
        try await repeating(request, policy: .never) { connection, authorization in
            let response = try await self.open(request, on: connection.watchHTTP, connection, authorization)
            if response.status.code / 100 != 2 { _ = try await self.body(of: response, request: request) }
            return response.body
        }
    }

    private func repeating<Answer>(
        _ request: Request, policy: RetryPolicy,
        _ attempt: (ServerConnection, Authorization) async throws -> Answer
    ) async throws -> Answer {
        var count = 0
        var hasRenewed = false
        var hasReconnected = false
        while true {
            try await waitForTurn()
            let connection = connections.withLock { $0.current }
            let authorization: Authorization
            do {
                authorization = try await connection.credentials.authorization()
            } catch {
                try Task.checkCancellation()
                throw KubernetesError(
                    kind: .credentials, verb: request.verb, path: request.path, message: String(describing: error))
            }
            do {
                return try await attempt(connection, authorization)
            } catch let error as KubernetesError {
                if error.kind == .unauthorized, !hasRenewed, connection.credentials.refused(authorization) {
                    hasRenewed = true
                    continue
                }
                if [.unauthorized, .connection, .timeout].contains(error.kind), !hasReconnected,
                    await hasReplaced(connection),
                    request.isIdempotent || !error.mayHaveBeenProcessed
                {
                    (hasReconnected, hasRenewed) = (true, false)
                    continue
                }
                count += 1
                let decision = policy.decide(
                    attempt: count, error: error, isIdempotent: request.isIdempotent, random: random())
                guard case .retry(let delay) = decision else { throw error }
                logger.debug(
                    "Kubernetes request failed, retrying",
                    metadata: [
                        "verb": "\(error.verb.rawValue)", "path": "\(error.path)", "reason": "\(error.kindName)",
                        "error": "\(error.message)", "retry_in_ms": "\(Int(delay / .milliseconds(1)))",
                    ])
                try await clock.sleep(for: delay)
            }
        }
    }

    private func waitForTurn() async throws {
        let delay = limiter.withLock { $0?.reserve(now: time.now) ?? .zero }
        if delay > .zero { try await clock.sleep(for: delay) }
    }

    private func open(
        _ request: Request, on client: HTTPClient, _ connection: ServerConnection, _ authorization: Authorization
    ) async throws -> HTTPClientResponse {
        let configuration = connection.configuration
        var outgoing = HTTPClientRequest(url: connection.baseURL + request.path + ResourcePath.query(request.query))
        outgoing.method = request.method
        outgoing.headers.add(name: "Accept", value: "application/json")
        outgoing.headers.add(name: "User-Agent", value: userAgent)
        if configuration.tlsServerDNSName != nil {
            outgoing.headers.add(name: "Host", value: configuration.server.hostAndPort)
        }
        if let header = authorization.header { outgoing.headers.add(name: "Authorization", value: header) }
        for header in configuration.impersonation?.headers ?? [] {
            outgoing.headers.add(name: header.name, value: header.value)
        }
        if let certificate = authorization.clientCertificate {
            do {
                outgoing.tlsConfiguration = try configuration.tlsConfiguration(clientCertificate: certificate)
            } catch {
                throw KubernetesError(
                    kind: .credentials, verb: request.verb, path: request.path, message: String(describing: error))
            }
        }
        if let body = request.body {
            outgoing.headers.add(name: "Content-Type", value: request.contentType)
            outgoing.body = .bytes(body)
        }
        let started = time.now
        do {
            let response = try await client.execute(outgoing, timeout: TimeAmount(options.requestTimeout))
            metrics.record(
                method: request.method.rawValue, status: Int(response.status.code), duration: time.now - started)
            log(request, code: Int(response.status.code))
            return response
        } catch {
            try Task.checkCancellation()
            metrics.record(method: request.method.rawValue, status: nil, duration: time.now - started)
            log(request, code: 0)
            throw KubernetesError(transport: error, verb: request.verb, path: request.path)
        }
    }

    /// One line for each attempt: what a role must allow is what these lines say.
    private func log(_ request: Request, code: Int) {
        logger.debug("Kubernetes request", metadata: request.target.logFields(request.verb, code: code))
    }

    private func body(of response: HTTPClientResponse, request: Request) async throws -> ByteBuffer {
        let isSuccess = response.status.code / 100 == 2
        var body: ByteBuffer
        do {
            body = try await response.body.collect(upTo: isSuccess ? options.responseBodyLimit : 1 << 20)
        } catch is NIOTooManyBytesError {
            throw KubernetesError(
                kind: .responseTooLarge, verb: request.verb, path: request.path, httpStatus: Int(response.status.code),
                message: "the answer is longer than \(options.responseBodyLimit) bytes", mayHaveBeenProcessed: true)
        } catch {
            try Task.checkCancellation()
            throw KubernetesError(transport: error, verb: request.verb, path: request.path)
        }
        guard !isSuccess else { return body }
        let status = try? KubernetesJSON.decoder.decode(KubernetesStatus.self, from: body)
        throw KubernetesError(
            httpStatus: Int(response.status.code), status: status,
            retryAfterHeader: response.headers.first(name: "Retry-After"), verb: request.verb, path: request.path,
            body: status == nil ? body.readString(length: min(body.readableBytes, 512)) ?? "" : "")
    }

    /// Decodes `body` as `type`, or says which request got an answer that is none.
    func decode<Value: Decodable>(_ type: Value.Type, from body: ByteBuffer, request: Request) throws -> Value {
        do {
            return try KubernetesJSON.decoder.decode(type, from: body)
        } catch {
            throw KubernetesError(
                kind: .decoding, verb: request.verb, path: request.path, message: describe(decodingFailure: error),
                mayHaveBeenProcessed: true)
        }
    }
}

extension KubernetesConfiguration {
    /// How the HTTP client is set up for this server.
    func httpClientConfiguration() throws -> HTTPClient.Configuration {
        var settings = HTTPClient.Configuration()
        settings.tlsConfiguration = try tlsConfiguration()
        settings.httpVersion = .http1Only
        settings.redirectConfiguration = .disallow
        settings.decompression = .disabled
        settings.timeout.connect = .seconds(10)
        // A server that is away is this project's retry policy's business.
        settings.connectionPool.retryConnectionEstablishment = false
        settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        // Shorter than the 90 s after which the API server closes idle connections, so that none is used in the moment
        // of its end.
        settings.connectionPool.idleTimeout = .seconds(60)
        if let name = tlsServerDNSName { settings.dnsOverride = [name: server.host] }
        settings.proxy = proxy?.httpClientProxy
        let address = addressToVerify
        // Called when the handshake is over, before the first request.
        settings.http1_1ConnectionDebugInitializer = { channel in
            guard let address, let problem = ServerCertificateCheck.problem(of: channel, address: address) else {
                return KeepAlive.enable(on: channel)
            }
            // Not before the client knows that this connection has come to nothing.
            channel.eventLoop.execute { channel.close(promise: nil) }
            return channel.eventLoop.makeFailedFuture(problem)
        }
        return settings
    }
}

extension ProxyAddress {
    fileprivate var httpClientProxy: HTTPClient.Configuration.Proxy {
        switch kind {
        case .socks: .socksServer(host: host, port: port)
        case .http:
            .server(
                host: host, port: port,
                authorization: login.map { .basic(username: $0.name, password: $0.password) })
        }
    }
}

/// TCP's own probing, so that a watch whose server vanished without a word ends within about a minute.
private enum KeepAlive {
    static func enable(on channel: any Channel) -> EventLoopFuture<Void> {
        var steps = [channel.setOption(.socketOption(.so_keepalive), value: 1)]
        #if os(Linux)
        // TCP_KEEPIDLE and TCP_KEEPINTVL in seconds, TCP_KEEPCNT in probes, TCP_USER_TIMEOUT in milliseconds.
        for (option, value) in [(4, 30), (5, 10), (6, 3), (18, 60_000)] as [(CInt, Int)] {
            steps.append(channel.setOption(.tcpOption(NIOBSDSocket.Option(rawValue: option)), value: value))
        }
        #endif
        // A transport without these options is still a transport.
        return EventLoopFuture.andAllComplete(steps, on: channel.eventLoop)
    }
}
