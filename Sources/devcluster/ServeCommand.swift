import ArgumentParser
package import DevCluster
import Logging
import ServiceLifecycle
import Telemetry
import UnixSignals

extension LogFormat: ExpressibleByArgument {}

/// How the program logs.
struct LogOptions: ParsableArguments {
    @Option(name: .customLong("log-format"), help: "How log lines look: json or text.")
    var format: LogFormat = .json

    @Option(
        name: .customLong("log-level"), help: "The least level that is logged: trace, debug, info, … critical.",
        transform: { text in
            guard let level = Logger.Level(rawValue: text) else {
                throw ValidationError("'\(text)' is not a log level")
            }
            return level
        })
    var level: Logger.Level = .info
}

extension AddressRange: ExpressibleByArgument {
    package init?(argument: String) {
        self.init(argument)
    }
}

/// `devcluster serve`.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Run the embedded Kubernetes API server until interrupted.",
        discussion: "Objects live in memory. The kubeconfig is written once connections are accepted.")

    @Option(help: "The address to listen on, IP:PORT; port 0 lets the system choose.")
    var listen: ListenAddress = .init(host: "127.0.0.1", port: 0)

    @Option(help: "Where to write the kubeconfig.")
    var kubeconfig: String

    @Option(name: .customLong("service-cidr"), help: "Where Services get their cluster addresses.")
    var serviceCIDR: AddressRange = .standard

    @OptionGroup var log: LogOptions

    func run() async throws {
        LoggingSystem.bootstrap(format: log.format, level: log.level)
        let logger = Logger(label: "devcluster")
        var configuration = DevCluster.Configuration()
        configuration.host = listen.host
        configuration.port = listen.port
        configuration.kubeconfigPath = kubeconfig
        configuration.serviceRange = serviceCIDR
        logger.info("Starting devcluster", metadata: ["kubeconfig": "\(kubeconfig)"])
        let group = ServiceGroup(
            services: [DevClusterService(configuration: configuration, logger: logger)],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        try await group.run()
    }
}
