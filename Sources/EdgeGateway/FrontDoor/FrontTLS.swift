package import NIOCore
package import Settings

/// What the front door needs to speak TLS.
package struct FrontTLS: Sendable {
    var listen: HostAndPort
    var certificates: CertificateStore
    /// The value of `Strict-Transport-Security` in every answer (RFC 6797 §6.1); nil for none.
    var transportSecurity: String?
    /// From the connection to the end of the handshake.
    var handshakeTimeout: TimeAmount
    var onListening: @Sendable (SocketAddress) -> Void

    /// - Parameter transportSecurity: how long browsers shall come by TLS only; nil says nothing about it.
    package init(
        listen: HostAndPort, certificates: CertificateStore, transportSecurity: Duration? = nil,
        handshakeTimeout: TimeAmount = .seconds(10), onListening: @escaping @Sendable (SocketAddress) -> Void = { _ in }
    ) {
        self.listen = listen
        self.certificates = certificates
        self.transportSecurity = transportSecurity.map { "max-age=\($0.components.seconds)" }
        self.handshakeTimeout = handshakeTimeout
        self.onListening = onListening
    }
}
