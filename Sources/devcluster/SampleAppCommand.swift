import ArgumentParser
import Logging
import ServiceLifecycle
import Telemetry
import UnixSignals

/// `devcluster sample-app`.
struct SampleAppCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sample-app", abstract: "Run a small web application to put behind a Service.",
        discussion: """
            GET /                           "Hello from NAME", with two cookies and an ETag
            ANY /headers                    what was received, as JSON
            GET /bytes/N                    N bytes; byte i is (i*31 + (i>>8)*17) & 255
            POST /checksum                  count and SHA-256 of the body, as JSON
            GET /chunks?count=N&interval=MS a chunk every MS milliseconds
            GET /status/N                   status N
            GET /delay/MS                   answers after MS milliseconds
            """)

    @Option(help: "What the application calls itself.")
    var name: String

    @Option(help: "An address to listen on, IP:PORT; may be given several times.")
    var listen: [ListenAddress]

    @OptionGroup var log: LogOptions

    func run() async throws {
        LoggingSystem.bootstrap(format: log.format, level: log.level)
        let logger = Logger(label: "sample-app")
        let group = ServiceGroup(
            services: [SampleApp(name: name, addresses: listen, logger: logger)],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        try await group.run()
    }
}
