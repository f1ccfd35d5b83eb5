package import HTTPExchange
package import NIOCore
import Synchronization

/// Where a connection goes.
struct UpstreamEndpoint: Hashable, Sendable {
    /// An IP address, or a name where `isName`.
    var host: String
    var port: Int
    var isName: Bool
    var transport: BackendTransport

    /// - Parameter requestHost: what a certificate must name that is for whatever is asked for.
    init(_ target: ForwardTarget, requestHost: String) {
        transport = target.transport
        if transport.tls?.serverName.isEmpty == true { transport.tls?.serverName = requestHost }
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
    var http2 = HTTP2ConnectionState.Limits()

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
    let contexts: BackendTLSContexts
    /// Most recently used last.
    private var idle: [UpstreamEndpoint: [UpstreamConnection]] = [:]
    private var idleCount = 0
    private var groups: [UpstreamEndpoint: HTTP2ConnectionGroup] = [:]
    /// In no order; each knows its place.
    private var exchanges: [UpstreamExchange] = []
    private var ticker: RepeatedTask?

    init(
        eventLoop: any EventLoop, settings: UpstreamSettings, forwarding: ForwardingGuard, contexts: BackendTLSContexts
    ) {
        self.contexts = contexts
        self.eventLoop = eventLoop
        self.settings = settings
        self.forwarding = forwarding
    }

    // MARK: Connections

    /// The unused connection that was used last, or a stream of one that many use, if there is one.
    func take(_ endpoint: UpstreamEndpoint) -> (any UpstreamLink)? {
        guard !endpoint.transport.usesHTTP2 else { return groups[endpoint]?.take() }
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

    /// The connections of HTTP/2 to a backend.
    func group(_ endpoint: UpstreamEndpoint) -> HTTP2ConnectionGroup {
        if let group = groups[endpoint] { return group }
        let group = HTTP2ConnectionGroup(eventLoop: eventLoop) { [unowned self] group, done in
            dial(endpoint, for: group, done)
        }
        groups[endpoint] = group
        startTicking()
        return group
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
        for (endpoint, group) in groups {
            group.check(now)
            if group.isEmpty { groups[endpoint] = nil }
        }
        guard exchanges.isEmpty, idleCount == 0, groups.isEmpty else { return }
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

    /// - Parameter contexts: for backends that are reached by TLS.
    package init(
        group: any EventLoopGroup, settings: UpstreamSettings, forwarding: ForwardingGuard,
        contexts: BackendTLSContexts = BackendTLSContexts()
    ) {
        var pools: [ObjectIdentifier: NIOLoopBoundBox<UpstreamPool>] = [:]
        for loop in group.makeIterator() {
            pools[ObjectIdentifier(loop)] = NIOLoopBoundBox.makeBoxSendingValue(
                UpstreamPool(
                    eventLoop: loop, settings: settings, forwarding: forwarding, contexts: contexts), eventLoop: loop)
        }
        self.pools = pools
    }

    /// The pool of the loop this is called on; `nil` for a loop of another group.
    func pool(on loop: any EventLoop) -> UpstreamPool? { pools[ObjectIdentifier(loop)]?.value }
}
