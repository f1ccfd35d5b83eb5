package import Settings

/// The last check before the agent opens a connection: where it never goes, whatever a route or a name server says.
///
/// It looks at the address a connection would really be made to, so a name that resolves into a forbidden range is
/// refused as well.
package struct TargetPolicy: Hashable, Sendable {
    /// Why a connection is refused.
    package enum Refusal: String, Hashable, Sendable, Error {
        case loopback
        case linkLocal = "link_local"
        /// A cloud provider's metadata service.
        case metadata
        case unspecified
        case multicast
        case apiServer = "api_server"
    }

    /// An address and port that is the API server's.
    package struct Endpoint: Hashable, Sendable {
        package var address: IPAddress
        package var port: Int

        package init(address: IPAddress, port: Int) {
            self.address = address
            self.port = port
        }
    }

    /// Loopback targets are for development, where the whole cluster is one machine.
    package var allowLoopback: Bool
    /// Where the API server answers: its address as the agent knows it.
    private var apiServers: Set<Endpoint>
    /// The addresses of the cluster's own Service for the API server.
    private var clusterAPIServers: Set<Endpoint> = []
    /// Names of the API server, lower-cased, with the port.
    private var apiServerName: NamedServer?

    private struct NamedServer: Hashable, Sendable {
        var name: String
        var port: Int
    }

    /// - Parameters:
    ///   - apiServer: `host:port` as `KubernetesClient.serverAddress` gives it.
    package init(allowLoopback: Bool = false, apiServer: String? = nil) {
        self.allowLoopback = allowLoopback
        apiServers = []
        guard let apiServer, let colon = apiServer.utf8.lastIndex(of: UInt8(ascii: ":")),
            let port = Int(apiServer[apiServer.utf8.index(after: colon)...])
        else { return }
        var host = apiServer[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        if let address = IPAddress(String(host)) {
            apiServers.insert(Endpoint(address: address, port: port))
        } else {
            apiServerName = NamedServer(name: host.lowercased(), port: port)
        }
    }

    /// Puts the addresses of the Service `default/kubernetes` in place of those known before.
    package mutating func setClusterAPIServers(_ endpoints: Set<Endpoint>) { clusterAPIServers = endpoints }

    /// Whether a connection to a resolved address must not be made; `nil` allows it.
    package func refusal(of address: IPAddress, port: Int) -> Refusal? {
        let endpoint = Endpoint(address: address, port: port)
        if apiServers.contains(endpoint) || clusterAPIServers.contains(endpoint) { return .apiServer }
        if let leadsTo = address.translatedIPv4 { return refusal(of: leadsTo, port: port) }
        guard let refusal = Self.ranges.first(where: { $0.block.contains(address) })?.refusal else { return nil }
        return refusal == .loopback && allowLoopback ? nil : refusal
    }

    /// Whether a name must not be resolved and connected to; `nil` allows it, and the address is checked next.
    package func refusal(ofName name: String, port: Int) -> Refusal? {
        guard let apiServerName, apiServerName.port == port else { return nil }
        return name.lowercased() == apiServerName.name ? .apiServer : nil
    }

    /// In the order in which they are looked at.
    private static let ranges: [(block: CIDRBlock, refusal: Refusal)] = [
        // AWS, Google, Azure and most others; Alibaba; Azure's wire server; Oracle's second one; AWS over IPv6.
        ("169.254.169.254", .metadata), ("100.100.100.200", .metadata), ("168.63.129.16", .metadata),
        ("192.0.0.192", .metadata), ("fd00:ec2::254", .metadata),
        ("0.0.0.0/8", .unspecified), ("255.255.255.255", .unspecified), ("::", .unspecified),
        ("127.0.0.0/8", .loopback), ("::1", .loopback),
        ("169.254.0.0/16", .linkLocal), ("fe80::/10", .linkLocal),
        ("224.0.0.0/4", .multicast), ("ff00::/8", .multicast),
    ].map { text, refusal in
        guard let block = CIDRBlock(text) else { preconditionFailure("\(text) is not an address range") }
        return (block, refusal)
    }
}
