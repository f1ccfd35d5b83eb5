package import Settings

/// Counts the connections that are open: all, and those of each address where they are limited.
package struct ConnectionCount: Sendable {
    /// Who has one of these has all of them.
    private static let networkOfOneClient = 64

    private let most: Int
    private let mostPerAddress: Int?
    private var open = 0
    private var byAddress: [IPAddress: Int] = [:]

    /// - Parameter mostPerAddress: connections of one IPv4 address or one IPv6 network of 64 bits; nil for any number.
    package init(most: Int, mostPerAddress: Int?) {
        self.most = most
        self.mostPerAddress = mostPerAddress
    }

    /// A connection wants to be open. Returns whether there may be one more; `closed` is to be told of it, then.
    package mutating func opened() -> Bool {
        guard open < most else { return false }
        open += 1
        return true
    }

    package mutating func closed() { open -= 1 }

    /// An open connection turns out to be this client's. Returns whether the client may have one more; `left` is to be
    /// told of it, then.
    package mutating func joined(_ address: IPAddress) -> Bool {
        guard let mostPerAddress else { return true }
        let client = address.masked(toIPv6Prefix: Self.networkOfOneClient)
        let count = byAddress[client] ?? 0
        guard count < mostPerAddress else { return false }
        byAddress[client] = count + 1
        return true
    }

    package mutating func left(_ address: IPAddress) {
        let client = address.masked(toIPv6Prefix: Self.networkOfOneClient)
        guard let count = byAddress[client] else { return }
        byAddress[client] = count > 1 ? count - 1 : nil
    }

    /// Clients that are kept in mind.
    package var clients: Int { byAddress.count }
}

/// Why a connection is closed before it is served.
enum ConnectionRefusal: String, CaseIterable, Hashable, Sendable {
    /// There are as many as there may be.
    case connectionLimit = "connection_limit"
    /// Its client has as many as one may have.
    case addressLimit = "address_limit"
    /// A proxy that has to say whom it speaks for did not, or not so that it can be understood.
    case proxyHeader = "proxy_header"
    /// It has not said so in time.
    case proxyHeaderTimeout = "proxy_header_timeout"
}
