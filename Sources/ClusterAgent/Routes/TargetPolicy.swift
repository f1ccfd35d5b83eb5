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
        package var address: TargetAddress
        package var port: Int

        package init(address: TargetAddress, port: Int) {
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
        if let address = TargetAddress(host) {
            apiServers.insert(Endpoint(address: address, port: port))
        } else {
            apiServerName = NamedServer(name: host.lowercased(), port: port)
        }
    }

    /// Puts the addresses of the Service `default/kubernetes` in place of those known before.
    package mutating func setClusterAPIServers(_ endpoints: Set<Endpoint>) { clusterAPIServers = endpoints }

    /// Whether a connection to a resolved address must not be made; `nil` allows it.
    package func refusal(of address: TargetAddress, port: Int) -> Refusal? {
        let endpoint = Endpoint(address: address, port: port)
        if apiServers.contains(endpoint) || clusterAPIServers.contains(endpoint) { return .apiServer }
        switch address {
        case .v4(let bits): return refusal(ofIPv4: bits)
        case .v6(let high, let low): return refusal(ofIPv6: high, low, port: port)
        }
    }

    /// Whether a name must not be resolved and connected to; `nil` allows it, and the address is checked next.
    package func refusal(ofName name: String, port: Int) -> Refusal? {
        guard let apiServerName, apiServerName.port == port else { return nil }
        return name.lowercased() == apiServerName.name ? .apiServer : nil
    }

    private func refusal(ofIPv4 bits: UInt32) -> Refusal? {
        if Self.metadataIPv4.contains(bits) { return .metadata }
        if bits >> 24 == 0 || bits == .max { return .unspecified }
        if bits >> 24 == 127 { return allowLoopback ? nil : .loopback }
        if bits >> 16 == 0xa9fe { return .linkLocal }
        if bits >> 28 == 0xe { return .multicast }
        return nil
    }

    private func refusal(ofIPv6 high: UInt64, _ low: UInt64, port: Int) -> Refusal? {
        // NAT64 (RFC 6052) and IPv4-compatible addresses lead to the IPv4 address in their last 32 bits.
        if high == 0x0064_ff9b_0000_0000, low >> 32 == 0 {
            return refusal(of: .v4(UInt32(truncatingIfNeeded: low)), port: port)
        }
        if high == 0, low == 0 { return .unspecified }
        if high == 0, low == 1 { return allowLoopback ? nil : .loopback }
        if high == 0, low >> 32 == 0 { return refusal(of: .v4(UInt32(truncatingIfNeeded: low)), port: port) }
        if high == 0xfd00_0ec2_0000_0000, low == 0x254 { return .metadata }
        if high >> 54 == 0xfe80 >> 6 { return .linkLocal }
        if high >> 56 == 0xff { return .multicast }
        return nil
    }

    /// AWS, Google, Azure and most others; Alibaba; Azure's wire server; Oracle's second one.
    private static let metadataIPv4: Set<UInt32> = [0xa9fe_a9fe, 0x6464_64c8, 0xa83f_8110, 0xc000_00c0]
}
