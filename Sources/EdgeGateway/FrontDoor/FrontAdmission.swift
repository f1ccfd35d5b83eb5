import Logging
import Metrics
import NIOCore
import Settings
import Synchronization
import Telemetry

/// Lets connections in, as far as there may be more, and finds out who speaks on them.
final class FrontAdmission: Sendable {
    /// Adds the handlers of a connection that is let in; is told who speaks on it, and whether the gateway is ending.
    typealias Install =
        @Sendable (_ channel: any Channel, _ client: ClientAddress, _ isDraining: Bool) throws -> Void

    /// The connection is not let in.
    struct Refused: Error {}

    /// How long it is between two lines of the log about connections that are refused for the same reason.
    private static let warningInterval = TimeAmount.seconds(30)

    private let connections: OpenConnections
    private let limits: FrontLimits
    private let trustedProxies: [CIDRBlock]
    private let proxyProtocolFrom: [CIDRBlock]
    private let refusals: EnumeratedCounters<ConnectionRefusal>
    private let lastWarnings = Mutex<[ConnectionRefusal: NIODeadline]>([:])
    private let logger: Logger

    init(
        _ connections: OpenConnections, limits: FrontLimits, trustedProxies: [CIDRBlock],
        proxyProtocolFrom: [CIDRBlock], logger: Logger, factory: any MetricsFactory = MetricsSystem.factory
    ) {
        self.connections = connections
        self.limits = limits
        self.trustedProxies = trustedProxies
        self.proxyProtocolFrom = proxyProtocolFrom
        self.logger = logger
        refusals = EnumeratedCounters("gateway_refused_connections_total", factory: factory)
    }

    /// Takes a new connection in. Throws `Refused` for one that is to be closed at once.
    func admit(_ channel: any Channel, _ install: @escaping Install) throws {
        guard let isDraining = connections.add(channel) else {
            refuse(.connectionLimit, "Closed a connection beyond max-connections; those that are open go on", [:])
            throw Refused()
        }
        let peer = ClientAddress(channel.remoteAddress)
        guard peer.isIn(proxyProtocolFrom) else {
            return try admit(channel, of: peer, isDraining, install)
        }
        let handler = OpeningHandler(timeout: limits.header, take: ProxyHeader.take) { [self] invalid in
            let problem = invalid?.description ?? "has sent no whole header of the PROXY protocol in time"
            refuse(
                invalid == nil ? .proxyHeaderTimeout : .proxyHeader,
                "Refused a connection without its PROXY header; have the proxy send it, or take it out of proxy-protocol-from",
                ["peer": "\(peer.text)", "problem": "the connection \(problem)"])
        } serve: { [self] header, channel in
            switch header {
            case .client(let address): try admit(channel, of: ClientAddress(address), isDraining, install)
            // As many of them as the proxy wants: they are its own.
            case .peer: try install(channel, peer, isDraining)
            }
        }
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    private func admit(
        _ channel: any Channel, of client: ClientAddress, _ isDraining: Bool, _ install: Install
    ) throws {
        if limits.connectionsPerAddress != nil, let ip = client.ip, !client.isIn(trustedProxies),
            !connections.attribute(channel, to: ip)
        {
            refuse(
                .addressLimit, "Closed a connection beyond max-connections-per-address", ["client": "\(client.text)"])
            throw Refused()
        }
        try install(channel, client, isDraining)
    }

    /// Counts every one; the log gets few lines, for there may be very many.
    private func refuse(_ reason: ConnectionRefusal, _ message: Logger.Message, _ facts: Logger.Metadata) {
        refusals.count(reason)
        let now = NIODeadline.now()
        let isDue = lastWarnings.withLock { last in
            if let before = last[reason], now - before < Self.warningInterval { return false }
            last[reason] = now
            return true
        }
        if isDue { logger.warning(message, metadata: facts) }
    }
}
