import HTTPExchange
import NIOCore
import NIOPosix
import NIOSSL
import Settings

/// Making connections: the name, the guardrail, TCP, TLS where asked for, and the beginning of HTTP/2.
extension UpstreamPool {
    typealias Link = NIOLoopBound<any UpstreamLink>
    /// Puts what speaks to the backend into a channel.
    typealias Install = ((any Channel) throws -> Void)

    /// Connects to where the policy allows; fails with an `UpstreamError`.
    func connect(_ endpoint: UpstreamEndpoint) -> EventLoopFuture<Link> {
        if endpoint.transport.usesHTTP2 { return group(endpoint).wait() }
        let connection = UpstreamConnection(endpoint: endpoint, pool: self)
        let link = NIOLoopBound<any UpstreamLink>(connection, eventLoop: eventLoop)
        return open(endpoint) { try $0.pipeline.syncOperations.addHandler(connection) }.map { _ in link }
    }

    /// Makes one connection of HTTP/2.
    func dial(
        _ endpoint: UpstreamEndpoint, for group: HTTP2ConnectionGroup,
        _ done: @escaping (Result<HTTP2UpstreamConnection, any Error>) -> Void
    ) {
        let isReady = eventLoop.makePromise(of: Void.self)
        let connection = HTTP2UpstreamConnection(
            scheme: endpoint.transport.tls == nil ? "http" : "https", group: group, limits: settings.http2
        ) { isReady.completeWith($0) }
        let late = eventLoop.assumeIsolated().scheduleTask(in: settings.connectTimeout) {
            isReady.fail(
                UpstreamError(
                    .backendConnectTimeout, "\(endpoint.host):\(endpoint.port) did not begin to speak HTTP/2 in time"))
            connection.close()
        }
        open(endpoint) { try connection.install(in: $0) }.cascadeFailure(to: isReady)
        isReady.futureResult.assumeIsolated().whenComplete { result in
            late.cancel()
            done(result.map { connection })
        }
    }

    /// Opens a channel with `install` at its end. Fails with an `UpstreamError`.
    private func open(_ endpoint: UpstreamEndpoint, _ install: @escaping Install) -> EventLoopFuture<Void> {
        let bound = NIOLoopBound((self, install), eventLoop: eventLoop)
        return resolve(endpoint).flatMap { address in
            let (pool, install) = bound.value
            if let refusal = pool.refusal(of: address) {
                return pool.eventLoop.makeFailedFuture(
                    UpstreamError(.notAdvertised, "\(endpoint.host) is refused: \(refusal.rawValue)"))
            }
            guard let tls = endpoint.transport.tls else { return pool.openPlain(address, install) }
            let usesHTTP2 = endpoint.transport.usesHTTP2
            return pool.contexts.context(for: tls, usesHTTP2: usesHTTP2, on: pool.eventLoop).flatMap { context in
                let (pool, install) = bound.value
                return pool.openTLS(address, context, tls.serverName, usesHTTP2: usesHTTP2, install)
            }
        }
    }

    private func openPlain(_ address: SocketAddress, _ install: @escaping Install) -> EventLoopFuture<Void> {
        let install = NIOLoopBound(install, eventLoop: eventLoop)
        return
            bootstrap
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try install.value(channel) }
            }
            .connect(to: address)
            .map { _ in }
            .flatMapErrorThrowing { error in throw Self.unreachable(address, error) }
    }

    private func openTLS(
        _ address: SocketAddress, _ context: NIOSSLContext, _ serverName: String, usesHTTP2: Bool,
        _ install: @escaping Install
    ) -> EventLoopFuture<Void> {
        let isOpen = eventLoop.makePromise(of: Void.self)
        let install = NIOLoopBound(install, eventLoop: eventLoop)
        let connecting =
            bootstrap
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // An address is compared with that of the connection, and not asked for by name (RFC 6066 §3).
                    let name = IPAddress(serverName) == nil ? serverName : nil
                    let gate = UpstreamTLSGate { result in
                        isOpen.completeWith(
                            result.flatMap { negotiated in
                                Result {
                                    guard !usesHTTP2 || negotiated == "h2" else {
                                        channel.close(promise: nil)
                                        throw NoHTTP2()
                                    }
                                    try install.value(channel)
                                }
                            })
                    }
                    try channel.pipeline.syncOperations.addHandlers(
                        NIOSSLClientHandler(context: context, serverHostname: name), gate)
                }
            }
            .connect(to: address)
        let connectTimeout = settings.connectTimeout
        connecting.assumeIsolated().whenComplete { result in
            switch result {
            case .failure(let error): isOpen.fail(Self.unreachable(address, error))
            case .success(let channel):
                let late = channel.eventLoop.scheduleTask(in: connectTimeout) {
                    isOpen.fail(UpstreamError(.backendConnectTimeout, "\(address): no TLS handshake in time"))
                    channel.close(promise: nil)
                }
                isOpen.futureResult.whenComplete { _ in late.cancel() }
            }
        }
        return isOpen.futureResult.flatMapErrorThrowing { error in
            throw error as? UpstreamError
                ?? UpstreamError(.backendTLSFailed, "TLS with \(address), asked for as \(serverName): \(error)")
        }
    }

    private var bootstrap: ClientBootstrap {
        ClientBootstrap(group: eventLoop)
            .connectTimeout(settings.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: 64 * 1024)
            )
            // One read at a time: what is read before the stream says stop is held for it.
            .channelOption(.maxMessagesPerRead, value: 1)
    }

    private static func unreachable(_ address: SocketAddress, _ error: any Error) -> UpstreamError {
        if case .connectTimeout? = error as? ChannelError {
            return UpstreamError(.backendConnectTimeout, "\(address): \(error)")
        }
        return UpstreamError(.backendUnreachable, "\(address): \(error)")
    }

    private func resolve(_ endpoint: UpstreamEndpoint) -> EventLoopFuture<SocketAddress> {
        guard endpoint.isName else {
            return eventLoop.makeCompletedFuture {
                do {
                    return try SocketAddress(ipAddress: endpoint.host, port: endpoint.port)
                } catch {
                    throw UpstreamError(.backendUnresolved, "\(endpoint.host) is not an address")
                }
            }
        }
        if let refusal = forwarding.policy.refusal(ofName: endpoint.host, port: endpoint.port) {
            return eventLoop.makeFailedFuture(
                UpstreamError(.notAdvertised, "\(endpoint.host) is refused: \(refusal.rawValue)"))
        }
        return NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) {
            do {
                return try SocketAddress.makeAddressResolvingHost(endpoint.host, port: endpoint.port)
            } catch {
                throw UpstreamError(.backendUnresolved, "\(endpoint.host): \(error)")
            }
        }
    }

    private func refusal(of address: SocketAddress) -> TargetPolicy.Refusal? {
        guard let text = address.ipAddress, let port = address.port, let target = IPAddress(text) else {
            return .unspecified
        }
        return forwarding.policy.refusal(of: target, port: port)
    }
}

/// The backend has a certificate that is good, and did not take HTTP/2.
private struct NoHTTP2: Error, CustomStringConvertible {
    let description = "the backend does not offer HTTP/2 (ALPN h2)"
}
