import Foundation
import NIOCore
import NIOSSL

/// The server's certificate does not carry the address that the server is reached at.
struct WrongServerCertificate: Error, CustomStringConvertible {
    var address: String

    var description: String { "the server's certificate is not for \(address)" }
}

extension KubernetesConfiguration {
    /// The name in the certificate that stands in for the host in the address.
    var tlsServerDNSName: String? { tlsServerName.flatMap { IPAddress.bytes(of: $0) == nil ? $0 : nil } }

    /// The IP address that the server's certificate must carry where this client has to look for it: the TLS library
    /// compares the certificate with the far end of the connection, which is the proxy's, or not the one to be verified.
    var addressToVerify: String? {
        guard server.isTLS, !insecureSkipTLSVerify, proxy != nil || tlsServerName != nil else { return nil }
        let name = tlsServerName ?? server.host
        return IPAddress.bytes(of: name) == nil ? nil : name
    }
}

enum ServerCertificateCheck {
    /// What is wrong with the certificate that the far end of `channel` has shown, of which the chain is verified already.
    /// On the channel's event loop, after the handshake.
    static func problem(of channel: any Channel, address: String) -> WrongServerCertificate? {
        let certificate = try? channel.pipeline.syncOperations.nioSSL_peerCertificate()
        guard let wanted = IPAddress.bytes(of: address), let certificate,
            certificate._subjectAlternativeNames().contains(where: { name in
                name.nameType == .ipAddress && name.contents.withUnsafeBufferPointer { $0.elementsEqual(wanted) }
            })
        else { return WrongServerCertificate(address: address) }
        return nil
    }
}

enum IPAddress {
    /// The 4 or 16 bytes of an address without brackets or zone, in network order; nil if `text` is a name.
    static func bytes(of text: String) -> [UInt8]? {
        switch try? SocketAddress(ipAddress: text, port: 0) {
        case .v4(let address): withUnsafeBytes(of: address.address.sin_addr) { Array($0) }
        case .v6(let address): withUnsafeBytes(of: address.address.sin6_addr) { Array($0) }
        case .unixDomainSocket, nil: nil
        }
    }
}
