package import KubernetesAPI
import NIOSSL
import Synchronization

/// Whether the Secrets that Ingresses name for TLS with their backends can be used, so that their GatewayRoutes say so
/// before a request fails.
///
/// There is nothing to watch: the agent's role gives it no Secret, and whoever lets it read one lets it `get` that one. So
/// what was found is believed for a while, and looked at again after that.
package final class AuthorityCheck: Sendable {
    /// How long it is believed that a Secret can be used, and that it cannot.
    package struct Ages: Sendable {
        package var good = Duration.seconds(60)
        package var bad = Duration.seconds(10)

        package init() {}
    }

    /// What is known of a Secret.
    package struct Finding: Hashable, Sendable {
        /// What is wrong and what to do about it; `nil` where the Secret can be used.
        package var problem: String?
        /// When to ask again.
        package var lookAgain: Duration
    }

    private struct Entry {
        var problem: String?
        var read: ContinuousClock.Instant
    }

    private let client: KubernetesClient
    private let ages: Ages
    private let entries = Mutex<[ObjectKey: Entry]>([:])

    package init(client: KubernetesClient, ages: Ages = Ages()) {
        self.client = client
        self.ages = ages
    }

    /// Reads the Secret, unless it was read lately. Where the API server does not say, what was known before holds.
    package func finding(_ secret: ObjectKey) async -> Finding {
        let known = entries.withLock { $0[secret] }
        if let known, known.read.duration(to: .now) < age(known.problem) {
            return Finding(problem: known.problem, lookAgain: age(known.problem))
        }
        let problem: String?
        do {
            problem = Self.problem(secret, in: try await client.get(AuthoritySecret.self, secret))
        } catch let error as KubernetesError where error.kind == .notFound || error.kind == .forbidden {
            problem = BackendAuthorities.problem(secret, error)
        } catch {
            return Finding(problem: known?.problem, lookAgain: ages.bad)
        }
        entries.withLock { entries in
            // Only what is named is asked for again.
            let oldest = max(ages.good, ages.bad) * 3
            entries = entries.filter { $0.value.read.duration(to: .now) < oldest }
            entries[secret] = Entry(problem: problem, read: .now)
        }
        return Finding(problem: problem, lookAgain: age(problem))
    }

    private func age(_ problem: String?) -> Duration { problem == nil ? ages.good : ages.bad }

    private static func problem(_ secret: ObjectKey, in object: AuthoritySecret) -> String? {
        do {
            let pem = try object.certificates()
            let certificates = (try? NIOSSLCertificate.fromPEMBytes(Array(pem.utf8))) ?? []
            return certificates.isEmpty ? "Secret \(secret): its ca.crt has no certificate in PEM" : nil
        } catch {
            return BackendAuthorities.problem(secret, error)
        }
    }
}

extension IngressExtraction {
    /// The Secret with the authorities of the backends, where one is named and TLS may come to use it.
    package var authoritySecret: ObjectKey? {
        guard let tls = routes.first(where: { $0.target.transport != .plain })?.target.controllerTLS, tls.isVerified,
            case .secret(let secret) = tls.authority
        else { return nil }
        return secret
    }

    /// Lets `ResolvedRefs` say what is wrong with that Secret, behind what it says of Services.
    package mutating func note(authorityProblem problem: String) {
        let message = """
            \(problem) (annotation \(BackendAnnotations.authoritySecret)); until it holds the backend's authorities in its \
            key ca.crt, in PEM, and the agent may get it, requests that need TLS fail
            """
        resolvedRefs =
            resolvedRefs.isTrue
            ? .init(isTrue: false, reason: .invalidCACertificateRef, message: message)
            : .init(isTrue: false, reason: resolvedRefs.reason, message: "\(resolvedRefs.message); \(message)")
    }
}
