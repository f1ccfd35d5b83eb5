package import Logging
import ServiceLifecycle
package import Settings

/// Brings in what the directory holds.
package struct CertificateWatcher: Service {
    private let directory: CertificateDirectory
    private let intake: CertificateIntake
    private let interval: Duration
    private let logger: Logger
    /// As it was at the first look.
    private let start: FileWatch

    /// Reads the directory. Pairs that cannot be used are logged and left out; that there are none at all is no error,
    /// because certificates may be issued only once the gateway answers the challenge of their authority.
    ///
    /// - Parameter interval: between two looks at the directory.
    /// - Throws: `SettingsError` where the directory cannot be listed.
    package init(
        _ directory: CertificateDirectory, intake: CertificateIntake, interval: Duration = .seconds(1), logger: Logger
    ) throws(SettingsError) {
        self.directory = directory
        self.intake = intake
        self.interval = interval
        self.logger = logger
        let pairs = try directory.pairs()
        // Before the files are read: what changes meanwhile is seen at the next look.
        start = FileWatch(pairs.paths)
        intake.replace(with: pairs.map(CertificateOffer.init), from: .directory)
    }

    /// Looks until graceful shutdown.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var watch = start
            // The directory could not be listed at the last look.
            var isBlind = false
            while (try? await Task.sleep(for: interval)) != nil { look(&watch, &isBlind) }
        }
    }

    private func look(_ watch: inout FileWatch, _ isBlind: inout Bool) {
        do throws(SettingsError) {
            let pairs = try directory.pairs()
            isBlind = false
            guard watch.hasChanged(to: pairs.paths) else { return }
            intake.replace(with: pairs.map(CertificateOffer.init), from: .directory)
        } catch {
            // What was read before stays.
            if !isBlind { logger.error("Certificates not reloaded", metadata: ["error": "\(error)"]) }
            isBlind = true
        }
    }
}

extension [CertificateDirectory.Pair] {
    fileprivate var paths: [String] { flatMap { [$0.certificate, $0.key] } }
}
