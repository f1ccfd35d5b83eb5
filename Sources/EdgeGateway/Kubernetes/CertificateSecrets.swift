import Foundation
package import KubernetesAPI
import KubernetesRuntime
package import Logging
import ServiceLifecycle
import Synchronization

/// Brings in the certificates of the labelled Secrets of a namespace.
///
/// An API server that cannot be reached leaves what is known; a Secret that loses its label is gone, like one that is
/// deleted.
package struct CertificateSecrets: ServiceLifecycle.Service {
    /// With the value `true`: the Secret is for the front door. No other is ever asked for.
    package static let label = "gateway.pipeops.io/certificate"
    /// With the value `true`: the certificate is for clients that ask for a name that no certificate has.
    package static let defaultAnnotation = "gateway.pipeops.io/default-certificate"

    private let namespace: String
    private let informer: Informer<Secret>
    private let intake: CertificateIntake
    private let isRead = Latch()
    /// Those that have changed since they were last taken in.
    private let changed = ChangedSecrets()

    package init(client: KubernetesClient, namespace: String, intake: CertificateIntake, logger: Logger) {
        self.namespace = namespace
        self.intake = intake
        informer = Informer<Secret>(
            client: client, namespace: namespace, settings: .init(labelSelector: "\(Self.label)=true"),
            transform: { $0.keepOnlyWhatIsRead() }, logger: logger)
        informer.addHandler { [changed] in changed.insert($0.key) }
    }

    /// Why the gateway is not ready: one that takes another's place must not do so without its certificates.
    package var reasons: [String] {
        isRead.isOpen ? [] : ["the certificates in Secrets of the namespace \(namespace) have not been read"]
    }

    /// Watches until graceful shutdown.
    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await informer.run() }
            group.addTask {
                await cancelWhenGracefulShutdown {
                    guard (try? await informer.waitUntilSynced()) != nil else { return }
                    take()
                    isRead.open()
                    for await _ in changed.news { take() }
                }
            }
            try await group.waitForAll()
        }
    }

    private func take() {
        var offers: [CertificateOffer] = []
        var gone: Set<String> = []
        for key in changed.take().sorted() {
            if let secret = informer.store.get(key) {
                offers.append(CertificateOffer(secret))
            } else {
                gone.insert(key.description)
            }
        }
        intake.change(offers, gone: gone, from: .secrets)
    }
}

/// Many changes, one look.
private final class ChangedSecrets: Sendable {
    let news: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation
    private let keys = Mutex<Set<ObjectKey>>([])

    init() { (news, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func insert(_ key: ObjectKey) {
        _ = keys.withLock { $0.insert(key) }
        signal.yield()
    }

    func take() -> Set<ObjectKey> {
        keys.withLock { keys in
            defer { keys = [] }
            return keys
        }
    }
}

extension CertificateOffer {
    /// What a Secret holds. Its name has a slash, which no file has.
    init(_ secret: Secret) {
        func part(_ name: String) -> Part {
            let place = "\(name) of Secret \(secret.key)"
            guard secret.type == Secret.tlsType else {
                let type = secret.type ?? "Opaque"
                return Part(
                    .failure(
                        .init(file: "Secret \(secret.key)", problem: "is of the type \(type), not \(Secret.tlsType)")),
                    at: place)
            }
            guard let content = secret.data?[name], !content.isEmpty else {
                return Part(.failure(.init(file: place, problem: "is missing or empty")), at: place)
            }
            return Part(.success(content), at: place)
        }
        self.init(
            name: secret.key.description,
            isDefault: secret.metadata.annotations?[CertificateSecrets.defaultAnnotation] == "true",
            certificate: part("tls.crt"), key: part("tls.key"))
    }
}

extension Secret {
    /// Drops what nobody reads, such as the data once more in `last-applied-configuration`.
    fileprivate mutating func keepOnlyWhatIsRead() {
        metadata.annotations = metadata.annotations?.filter { $0.key == CertificateSecrets.defaultAnnotation }
        data = data?.filter { $0.key == "tls.crt" || $0.key == "tls.key" }
    }
}
