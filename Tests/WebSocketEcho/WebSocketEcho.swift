import ArgumentParser
import NIOCore
import NIOPosix

/// The tunnel's WebSocket layer without a tunnel on it: each message is sent back as it came.
@main
struct WebSocketEcho: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "websocket-echo", abstract: "Echoes WebSocket messages, for hack/conformance.",
        subcommands: [Listen.self, Dial.self])

    struct Listen: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "As the gateway's end: accept, and send back.")

        @Option(help: "The address.") var address = "127.0.0.1"
        @Option(help: "Its port.") var port: Int

        func run() async throws {
            let channel = try await EchoListener.bind(address: address, port: port, group: .singleton)
            try await channel.closeFuture.get()
        }
    }

    struct Dial: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "As the agent's end: run through the cases of a fuzzing server on 127.0.0.1.")

        private static let concurrency = 4

        @Option(help: "The fuzzing server's port.") var port: Int
        @Option(help: "How many cases it has.") var cases: Int
        @Option(help: "How its report calls this program.") var name: String

        func run() async throws {
            let dialer = EchoDialer(port: port, group: .singleton)
            try await withThrowingTaskGroup(of: Void.self) { [cases, name] group in
                for number in stride(from: 1, through: cases, by: 1) {
                    // Most cases wait for a second; they take turns at more than one processor.
                    if number > Self.concurrency { try await group.next() }
                    group.addTask { try await dialer.run("/runCase?case=\(number)&agent=\(name)") }
                }
                try await group.waitForAll()
            }
        }
    }
}
