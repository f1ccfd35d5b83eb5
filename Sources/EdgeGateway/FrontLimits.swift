package import NIOCore
package import Settings

/// What bounds the clients of the front door.
package struct FrontLimits: Hashable, Sendable {
    /// Connections open at a time, with TLS and without; nil: what file descriptors allow.
    package var connections: Int?
    /// Those of one client; nil: any number. Trusted proxies may have any number.
    package var connectionsPerAddress: Int?
    /// From the first byte of a request to the end of its head, and for what precedes TLS.
    package var header = TimeAmount.seconds(15)

    package init() {}

    /// Throws the first problem found.
    package init(_ reader: SettingsReader<GatewaySettings.Name>) throws(SettingsError) {
        let connections = try reader.int(.maxConnections, default: 0, in: 0...10_000_000)
        self.connections = connections > 0 ? connections : nil
        let perAddress = try reader.int(.maxConnectionsPerAddress, default: 0, in: 0...10_000_000)
        connectionsPerAddress = perAddress > 0 ? perAddress : nil
    }

    /// The connections there may be in a process that may have so many files open: the rest is for tunnels and all else.
    ///
    /// - Parameter files: of the process.
    package func connections(files: Int) -> Int { connections ?? max(1, files / 4 * 3) }
}
