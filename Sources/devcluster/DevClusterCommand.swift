import ArgumentParser
import Foundation

/// `devcluster`: what the demo and a newcomer without a cluster need.
@main
struct DevClusterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "devcluster",
        abstract: "An embedded Kubernetes API server, certificates and a sample application, for trying things out.",
        subcommands: [ServeCommand.self, CertificateCommand.self, SampleAppCommand.self])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch  where exitCode(for: error) == .validationFailure {
            // One line that names the setting, without the whole usage behind it.
            let text = message(for: error).split(separator: "\n").first ?? "wrong arguments"
            FileHandle.standardError.write(Data("devcluster: \(text)\n".utf8))
            Foundation.exit(64)
        } catch {
            exit(withError: error)
        }
    }
}

/// `HOST:PORT`, an argument.
struct ListenAddress: ExpressibleByArgument, Hashable, Sendable {
    let host: String
    let port: Int

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    init?(argument: String) {
        guard let colon = argument.lastIndex(of: ":"), let port = UInt16(argument[argument.index(after: colon)...])
        else { return nil }
        host = String(argument[..<colon])
        self.port = Int(port)
        if host.isEmpty { return nil }
    }
}
