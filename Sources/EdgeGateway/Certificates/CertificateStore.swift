package import NIOSSL
import Synchronization

/// The certificates that new connections are shown: read on event loops, swapped as a whole by `CertificateIntake`.
package final class CertificateStore: Sendable {
    private let table = Mutex(CertificateTable<NIOSSLContext>())

    package init() {}

    /// - Parameter serverName: what the client asks for; nil where it does not say.
    /// - Returns: nil where the handshake is to be refused.
    package func context(for serverName: String?) -> NIOSSLContext? {
        table.withLock { $0 }.choose(serverName: serverName)
    }

    /// Connections that are open keep what they were shown.
    func replace(with certificates: some Sequence<ServedCertificate>) {
        let new = CertificateTable(
            certificates.map {
                .init(
                    name: $0.name, isDefault: $0.isDefault, hosts: $0.hosts, expires: $0.expires, value: $0.context)
            })
        table.withLock { $0 = new }
    }
}
