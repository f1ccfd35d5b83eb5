import ArgumentParser
import EdgeGateway
import Foundation
import HTTPExchange
import NIOCore
import Routing

/// The front door's look-up of routes without a front door, timed, for hack/bench.
@main
struct RoutingBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "routing-bench",
        abstract: "Fills the gateway's cache of routes, looks requests up in it, and prints how long that took.")

    @Option(help: "Which routes there are: \(RouteShape.allCases.map(\.rawValue).joined(separator: ", ")).")
    var shape: RouteShape = .mixed
    @Option(help: "How many.") var routes = 100_000
    @Option(help: "How many look-ups are timed, each by itself, and as many again in batches.") var lookups = 200_000
    @Option(help: "Meanwhile another thread replaces so many hosts a second, one at a time.") var changes = 0
    @Flag(help: "Meanwhile another thread replaces all hosts, all at once, again and again.") var resyncs = false

    @Flag(help: "Meanwhile another thread looks requests up, too.") var lookupsBeside = false

    func validate() throws {
        guard routes > 0, lookups >= 1000, changes >= 0 else {
            throw ValidationError("--routes must be at least 1, --lookups 1000, and --changes not below 0")
        }
    }

    func run() throws {
        let cache = RouteCache(timeouts: .init())
        let table = try shape.hosts(routes)
        cache.replace(table.routes, sequence: 1)
        let timer = LookupTimer(cache: cache, requests: shape.requests(for: table))
        let meanwhile = Meanwhile(cache: cache, hosts: table.routes)
        if changes > 0 { meanwhile.startReplacing(perSecond: changes) }
        if resyncs { meanwhile.startReplacingAll() }
        if lookupsBeside { meanwhile.startLookingUp(shape.requests(for: table)) }
        var report = try timer.run(lookups)
        report.changedHosts = meanwhile.stop()
        report.hosts = cache.hostCount
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        print(String(decoding: try encoder.encode(report), as: UTF8.self))
    }
}
