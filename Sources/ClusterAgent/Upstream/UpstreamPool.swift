package import HTTPExchange
package import NIOCore
import NIOPosix
import Settings
import Synchronization

/// Where a connection goes.
struct UpstreamEndpoint: Hashable, Sendable {
    /// An IP address, or a name where `isName`.
    var host: String
    var port: Int
    var isName: Bool

    init(_ target: ForwardTarget) {
        switch target.endpoint {
        case .address(let ip, let port): (host, self.port, isName) = (ip, port, false)
        case .name(let name, let port): (host, self.port, isName) = (name, port, true)
        }
    }
}

/// How the agent treats backends.
package struct UpstreamSettings: Sendable {
    package var connectTimeout: TimeAmount
    package var timeouts: ExchangeStateMachine.Timeouts
    /// How long an unused connection is kept. Short: some servers close after five seconds, and a request that meets
    /// the close is lost.
    package var keepAlive: TimeAmount
    /// Unused connections kept per event loop.
    package var idleLimit: Int

    package init(
        connectTimeout: TimeAmount = .seconds(5), timeouts: ExchangeStateMachine.Timeouts = .init(),
        keepAlive: TimeAmount = .seconds(4), idleLimit: Int = 256
    ) {
        self.connectTimeout = connectTimeout
        self.timeouts = timeouts
        self.keepAlive = keepAlive
        self.idleLimit = idleLimit
    }
}

/// The connections to backends of one event loop, and the exchanges that use them.
final class UpstreamPool {
    private static let tick = TimeAmount.milliseconds(250)

    let eventLoop: any EventLoop
    let settings: UpstreamSettings
    let forwarding: ForwardingGuard
    /// Most recently used last.
    private var idle: [UpstreamEndpoint: [UpstreamConnection]] = [:]
    private var idleCount = 0
    /// In no order; each knows its place.
    private var exchanges: [UpstreamExchange] = []
    private var ticker: RepeatedTask?

    init(eventLoop: any EventLoop, settings: UpstreamSettings, forwarding: ForwardingGuard) {
        self.eventLoop = eventLoop
        self.settings = settings
        self.forwarding = forwarding
    }

    // MARK: Connections

    /// The unused connection that was used last, if there is one.
    func take(_ endpoint: UpstreamEndpoint) -> UpstreamConnection? {
        while let connection = idle[endpoint]?.popLast() {
            idleCount -= 1
            if connection.isActive { return connection }
        }
        return nil
    }

    func giveBack(_ connection: UpstreamConnection) {
        guard idleCount < settings.idleLimit else { return connection.close() }
        idle[connection.endpoint, default: []].append(connection)
        idleCount += 1
        startTicking()
    }

    func forget(_ connection: UpstreamConnection) {
        guard let index = idle[connection.endpoint]?.firstIndex(where: { $0 === connection }) else { return }
        idle[connection.endpoint]?.remove(at: index)
        if idle[connection.endpoint]?.isEmpty == true { idle[connection.endpoint] = nil }
        idleCount -= 1
    }

    /// Connects to where the policy allows; fails with `ExchangeFailure`-bearing `UpstreamError`.
    func connect(_ endpoint: UpstreamEndpoint) -> EventLoopFuture<NIOLoopBound<UpstreamConnection>> {
        let pool = NIOLoopBound(self, eventLoop: eventLoop)
        return resolve(endpoint).flatMap { address in
            let pool = pool.value
            if let refusal = pool.refusal(of: address) {
                return pool.eventLoop.makeFailedFuture(
                    UpstreamError(.notAdvertised, "\(endpoint.host) is refused: \(refusal.rawValue)"))
            }
            return pool.connect(endpoint, to: address)
        }
    }

    private func connect(
        _ endpoint: UpstreamEndpoint, to address: SocketAddress
    ) -> EventLoopFuture<NIOLoopBound<UpstreamConnection>> {
        let connection = NIOLoopBound(UpstreamConnection(endpoint: endpoint, pool: self), eventLoop: eventLoop)
        return ClientBootstrap(group: eventLoop)
            .connectTimeout(settings.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: 64 * 1024)
            )
            // One read at a time: what is read before the stream says stop is held for it.
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(connection.value)
                }
            }
            .connect(to: address)
            .map { _ in connection }
            .flatMapErrorThrowing { error in
                throw UpstreamError(.backendUnreachable, "\(address): \(error)")
            }
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

    // MARK: Exchanges and time

    func add(_ exchange: UpstreamExchange) {
        exchange.placeInPool = exchanges.count
        exchanges.append(exchange)
        startTicking()
    }

    /// An exchange that is not there any more is ignored.
    func remove(_ exchange: UpstreamExchange) {
        guard let place = exchange.placeInPool else { return }
        exchange.placeInPool = nil
        guard let last = exchanges.popLast(), last !== exchange else { return }
        exchanges[place] = last
        last.placeInPool = place
    }

    private func startTicking() {
        guard ticker == nil else { return }
        let pool = NIOLoopBound(self, eventLoop: eventLoop)
        ticker = eventLoop.scheduleRepeatedTask(initialDelay: Self.tick, delay: Self.tick) { _ in pool.value.ticked() }
    }

    private func ticked() {
        let now = NIODeadline.now()
        // A copy: an exchange that has waited too long leaves.
        for exchange in Array(exchanges) { exchange.checkDeadline(now) }
        for connection in idle.values.flatMap({ $0 }) where now - connection.idleSince >= settings.keepAlive {
            forget(connection)
            connection.close()
        }
        guard exchanges.isEmpty, idleCount == 0 else { return }
        ticker?.cancel()
        ticker = nil
    }
}

@available(*, unavailable)
extension UpstreamPool: Sendable {}

/// A connection that could not be had, with what to tell the gateway.
struct UpstreamError: Error {
    var failure: ExchangeFailure
    var detail: String

    init(_ failure: ExchangeFailure, _ detail: String) {
        self.failure = failure
        self.detail = detail
    }
}

/// One pool for each event loop, so that an exchange never leaves the loop of its tunnel.
package final class UpstreamPools: Sendable {
    private let pools: [ObjectIdentifier: NIOLoopBoundBox<UpstreamPool>]

    package init(group: any EventLoopGroup, settings: UpstreamSettings, forwarding: ForwardingGuard) {
        var pools: [ObjectIdentifier: NIOLoopBoundBox<UpstreamPool>] = [:]
        for loop in group.makeIterator() {
            pools[ObjectIdentifier(loop)] = NIOLoopBoundBox.makeBoxSendingValue(
                UpstreamPool(eventLoop: loop, settings: settings, forwarding: forwarding), eventLoop: loop)
        }
        self.pools = pools
    }

    /// The pool of the loop this is called on; `nil` for a loop of another group.
    func pool(on loop: any EventLoop) -> UpstreamPool? { pools[ObjectIdentifier(loop)]?.value }
}
