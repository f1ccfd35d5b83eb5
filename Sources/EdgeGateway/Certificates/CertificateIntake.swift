import Foundation
import Logging
import Metrics
import Routing
import ServiceLifecycle
import Synchronization
import Telemetry

/// Takes certificates in from all sources: what cannot be used is refused, and what was there before stays; tells when
/// they end.
package final class CertificateIntake: Service {
    /// Where certificates come from. Of each source one task at a time brings what it has.
    enum Source: Hashable {
        case directory
        case secrets
    }

    private struct State {
        var served: [Source: [String: ServedCertificate]] = [:]
        /// Those that have not said what they have.
        var awaited: Set<Source>
        var expiry = CertificateExpiry()
        var gauges: [String: Gauge] = [:]

        var all: [ServedCertificate] { served.values.flatMap(\.values) }
    }

    /// What came of a certificate that has changed.
    private enum Reload: String, CaseIterable { case success, error }

    private let state: Mutex<State>
    private let store: CertificateStore
    private let now: @Sendable () -> Date
    private let interval: Duration
    private let factory: any MetricsFactory
    private let logger: Logger
    private let reloads: EnumeratedCounters<Reload>

    /// - Parameters:
    ///   - sources: that there are no certificates is said once all of them have been heard.
    ///   - interval: between two looks at the clock.
    init(
        _ sources: Set<Source>, store: CertificateStore, interval: Duration = .seconds(1),
        now: @escaping @Sendable () -> Date = { Date() }, factory: any MetricsFactory = MetricsSystem.factory,
        logger: Logger
    ) {
        state = Mutex(State(awaited: sources))
        self.store = store
        self.interval = interval
        self.now = now
        self.factory = factory
        self.logger = logger
        reloads = EnumeratedCounters("gateway_certificate_reloads_total", by: "result", factory: factory)
    }

    /// Tells of certificates that end, until graceful shutdown.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await Task.sleep(for: self.interval)) != nil { self.tellExpiry() }
        }
    }

    /// All that a source has: what is not among it is gone.
    func replace(with offers: [CertificateOffer], from source: Source) {
        let known = state.withLock { Set($0.served[source, default: [:]].keys) }
        change(offers, gone: known.subtracting(offers.map(\.name)), from: source)
    }

    /// What has changed, or come, at a source since it was heard last, and the names of what is gone.
    func change(_ offers: [CertificateOffer], gone: Set<String>, from source: Source) {
        let (known, isFirst) = state.withLock { ($0.served[source] ?? [:], $0.awaited.contains(source)) }
        var changed: [String: ServedCertificate] = [:]
        var seen: Set<String> = []
        for offer in offers {
            let before = known[offer.name]
            do throws(ServedCertificate.Refusal) {
                guard seen.insert(offer.name).inserted else {
                    throw .init(
                        file: offer.certificate.place, problem: "has the name of another certificate, \(offer.name)")
                }
                let certificate = try ServedCertificate.load(offer, known: before)
                guard certificate.differs(from: before) else { continue }
                changed[offer.name] = certificate
                if !isFirst { reloads.count(.success) }
                logger.info("Certificate loaded", metadata: facts(certificate))
            } catch {
                if !isFirst { reloads.count(.error) }
                logger.error(
                    "Certificate refused",
                    metadata: [
                        "certificate": "\(offer.name)", "error": "\(error)",
                        "instead": changed[offer.name] ?? before == nil ? "none" : "the one before",
                    ])
            }
        }
        let removed = gone.filter { known[$0] != nil }.sorted()
        for name in removed { logger.info("Certificate removed", metadata: ["certificate": "\(name)"]) }
        swap(changed, removed, source)
        tellExpiry()
    }

    /// Under the lock, so that of two sources the later has the last word in the store.
    private func swap(_ changed: [String: ServedCertificate], _ removed: [String], _ source: Source) {
        let isEmpty = state.withLock { state in
            state.awaited.remove(source)
            state.served[source, default: [:]].merge(changed) { $1 }
            for name in removed {
                state.served[source]?[name] = nil
                state.gauges.removeValue(forKey: name)?.destroy()
            }
            for (name, certificate) in changed {
                gauge(name, &state).record(certificate.expires.timeIntervalSince1970)
            }
            let all = state.all
            store.replace(with: all)
            return all.isEmpty && state.awaited.isEmpty
        }
        if isEmpty { logger.warning("No certificates, TLS is refused") }
    }

    /// One series for each certificate that is there.
    private func gauge(_ name: String, _ state: inout State) -> Gauge {
        if let gauge = state.gauges[name] { return gauge }
        let gauge = Gauge(
            label: "gateway_certificate_expiry_timestamp_seconds", dimensions: [("certificate", name)],
            factory: factory)
        state.gauges[name] = gauge
        return gauge
    }

    private func facts(_ certificate: ServedCertificate) -> Logger.Metadata {
        [
            "certificate": "\(certificate.name)",
            "hosts": "\(certificate.hosts.map(\.text).joined(separator: ","))",
            "expires": "\(certificate.expires.ISO8601Format())",
        ]
    }

    private func tellExpiry() {
        let now = now()
        let notices = state.withLock { state in
            state.expiry.notices(at: now, of: state.all.map { ($0.name, $0.expires) })
        }
        for notice in notices {
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
