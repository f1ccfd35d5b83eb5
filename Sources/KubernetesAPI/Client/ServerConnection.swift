import AsyncHTTPClient
import NIOCore

/// The way to one API server under one configuration: connections, and the credentials that go over them.
final class ServerConnection: Sendable {
    let configuration: KubernetesConfiguration
    let credentials: CredentialProvider
    let http: HTTPClient
    let watchHTTP: HTTPClient
    let baseURL: String

    /// Connects to nothing yet. Throws `KubernetesConfigurationError` if certificates or keys are unusable.
    init(_ configuration: KubernetesConfiguration, requestTimeout: Duration, time: MonotonicTime) throws {
        self.configuration = configuration
        credentials = CredentialProvider(
            credentials: configuration.credentials, field: configuration.credentialsField, time: time)
        var server = configuration.server
        if let name = configuration.tlsServerDNSName { server.host = name }
        baseURL = server.description
        var settings = try configuration.httpClientConfiguration()
        settings.timeout.read = TimeAmount(requestTimeout)
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        // A watch is quiet for as long as nothing happens. Its end is the server's business and, if it forgets, the
        // reflector's; its death TCP's.
        settings.timeout.read = nil
        watchHTTP = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
    }

    func shutdown() async throws {
        // At the same time: a server that does not answer the goodbye is waited for once.
        async let requests: Void = http.shutdown()
        async let watches: Void = watchHTTP.shutdown()
        _ = try await (requests, watches)
    }
}
