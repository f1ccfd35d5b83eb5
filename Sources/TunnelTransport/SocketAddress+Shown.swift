package import NIOCore

/// Host and port as `Host` and CONNECT write them (RFC 9110 §7.2): an IPv6 address in brackets.
func hostAndPort(_ host: String, _ port: Int) -> String {
    host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
}

extension SocketAddress {
    /// `address:port`, as logs show it and as an agent tells gateways apart; what has no port in NIO's words.
    package var shown: String {
        guard let ipAddress, let port else { return description }
        return hostAndPort(ipAddress, port)
    }
}
