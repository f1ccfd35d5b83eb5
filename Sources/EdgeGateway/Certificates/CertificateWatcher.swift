package import Foundation
package import Logging
package import Metrics
import Routing
import ServiceLifecycle
package import Settings
import Telemetry

/// Keeps what the front door shows what the directory holds, and tells when certificates end.
package struct CertificateWatcher: Service {
    private let directory: CertificateDirectory
    private let store: CertificateStore
    private let interval: Duration
    private let now: @Sendable () -> Date
    private let factory: any MetricsFactory
    private let logger: Logger
    private let reloads: EnumeratedCounters<Reload>
    /// At the first look.
    private var start: State

    /// What came of reading a pair again.
    private enum Reload: String, CaseIterable { case success, error }

    /// What is known between two looks.
    private struct State: Sendable {
        var watch: FileWatch
        var served: [String: ServedCertificate] = [:]
        var expiry = CertificateExpiry()
        var gauges: [String: Gauge] = [:]
        /// The directory could not be listed at the last look.
        var isBlind = false
    }

    /// Reads the directory. Pairs that cannot be used are logged and left out; that there are none at all is no error,
    /// because certificates may be issued only once the gateway answers the challenge of their authority.
    ///
    /// - Parameter interval: between two looks at the directory.
    /// - Throws: `SettingsError` where the directory cannot be listed.
    package init(
        _ directory: CertificateDirectory, store: CertificateStore, interval: Duration = .seconds(1),
        now: @escaping @Sendable () -> Date = { Date() }, factory: any MetricsFactory = MetricsSystem.factory,
        logger: Logger
    ) throws(SettingsError) {
        self.directory = directory
        self.store = store
        self.interval = interval
        self.now = now
        self.factory = factory
        self.logger = logger
        reloads = EnumeratedCounters("gateway_certificate_reloads_total", by: "result", factory: factory)
        let pairs = try directory.pairs()
        // Before the files are read: what changes meanwhile is seen at the next look.
        start = State(watch: FileWatch(pairs.paths))
        var state = start
        load(pairs, &state, isFirst: true)
        tellExpiry(&state)
        start = state
    }

    /// Looks until graceful shutdown.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var state = start
            while (try? await Task.sleep(for: interval)) != nil { look(&state) }
        }
    }

    private func look(_ state: inout State) {
        do throws(SettingsError) {
            let pairs = try directory.pairs()
            state.isBlind = false
            if state.watch.hasChanged(to: pairs.paths) { load(pairs, &state) }
        } catch {
            // What was read before stays.
            if !state.isBlind { logger.error("Certificates not reloaded", metadata: ["error": "\(error)"]) }
            state.isBlind = true
        }
        tellExpiry(&state)
    }

    private func load(_ pairs: [CertificateDirectory.Pair], _ state: inout State, isFirst: Bool = false) {
        var served: [String: ServedCertificate] = [:]
        var seen: Set<String> = []
        for pair in pairs {
            let known = state.served[pair.name]
            do throws(ServedCertificate.Refusal) {
                guard seen.insert(pair.name).inserted else {
                    throw .init(file: pair.certificate, problem: "has the name of another certificate, \(pair.name)")
                }
                let certificate = try ServedCertificate.load(pair, known: known)
                served[pair.name] = certificate
                guard certificate.content != known?.content else { continue }
                if !isFirst { reloads.count(.success) }
                logger.info("Certificate loaded", metadata: facts(certificate))
            } catch {
                if !isFirst { reloads.count(.error) }
                served[pair.name] = served[pair.name] ?? known
                logger.error(
                    "Certificate refused",
                    metadata: [
                        "certificate": "\(pair.name)", "error": "\(error)",
                        "instead": served[pair.name] == nil ? "none" : "the one before",
                    ])
            }
        }
        for name in state.served.keys where served[name] == nil {
            logger.info("Certificate removed", metadata: ["certificate": "\(name)"])
        }
        if served.isEmpty {
            logger.warning("No certificates, TLS is refused", metadata: ["directory": "\(directory.path)"])
        }
        state.served = served
        store.replace(with: served.values)
        publish(&state)
    }

    private func facts(_ certificate: ServedCertificate) -> Logger.Metadata {
        [
            "certificate": "\(certificate.name)",
            "hosts": "\(certificate.hosts.map(\.text).joined(separator: ","))",
            "expires": "\(certificate.expires.ISO8601Format())",
        ]
    }

    /// One series for each certificate that is there.
    private func publish(_ state: inout State) {
        for (name, gauge) in state.gauges where state.served[name] == nil {
            gauge.destroy()
            state.gauges[name] = nil
        }
        for (name, certificate) in state.served {
            let gauge =
                state.gauges[name]
                ?? Gauge(
                    label: "gateway_certificate_expiry_timestamp_seconds", dimensions: [("certificate", name)],
                    factory: factory)
            state.gauges[name] = gauge
            gauge.record(certificate.expires.timeIntervalSince1970)
        }
    }

    private func tellExpiry(_ state: inout State) {
        let certificates = state.served.values.map { (name: $0.name, expires: $0.expires) }
        for notice in state.expiry.notices(at: now(), of: certificates) {
            switch notice {
            case .soon(let certificate, let days):
                logger.warning(
                    "Certificate expires soon", metadata: ["certificate": "\(certificate)", "days": "\(days)"])
            case .over(let certificate):
                logger.error("Certificate has expired", metadata: ["certificate": "\(certificate)"])
            }
        }
    }
}

extension [CertificateDirectory.Pair] {
    fileprivate var paths: [String] { flatMap { [$0.certificate, $0.key] } }
}
