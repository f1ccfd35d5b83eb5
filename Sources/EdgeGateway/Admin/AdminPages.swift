import Foundation
package import Telemetry

/// The pages of the admin listener that show what the gateway knows: `/-/routes`, `/-/tunnels` and `/-/explain`.
package struct AdminPages: Sendable {
    private let cache: RouteCache
    private let store: any RouteStore
    private let tunnels: TunnelRegistry
    private let instance: String

    /// - Parameter instance: this gateway's name, in every answer.
    package init(cache: RouteCache, store: any RouteStore, tunnels: TunnelRegistry, instance: String) {
        self.cache = cache
        self.store = store
        self.tunnels = tunnels
        self.instance = instance
    }

    package var routes: [OperationsRoute] {
        [
            OperationsRoute("/-/routes") { query in
                await answer { try await RoutesDocument(query, store: store, instance: instance) }
            },
            OperationsRoute("/-/tunnels") { query in
                await answer { try TunnelsDocument(query, tunnels: tunnels, instance: instance) }
            },
            OperationsRoute("/-/explain") { query in
                await answer { () async throws -> RequestExplanation in
                    var explanation = try RequestExplanation(query, cache: cache, tunnels: tunnels, instance: instance)
                    await explanation.askAgent(tunnels)
                    try await explanation.suggest(from: store)
                    return explanation
                }
            },
        ]
    }

    private func answer<Document: Encodable & Sendable>(
        _ document: () async throws -> Document
    ) async -> OperationsAnswer {
        do {
            return OperationsAnswer(json: try Self.json(await document()))
        } catch let problem as AdminProblem {
            return OperationsAnswer(status: 400, json: (try? Self.json(problem)) ?? [])
        } catch {
            let problem = AdminProblem(error: "the gateway's store of routes gave no answer: \(error)", expected: nil)
            return OperationsAnswer(status: 503, json: (try? Self.json(problem)) ?? [])
        }
    }

    private static func json(_ document: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(document)) + [UInt8(ascii: "\n")]
    }
}

/// What is wrong with a question to the admin listener, and how to ask it.
struct AdminProblem: Error, Encodable, Hashable {
    var error: String
    var expected: String?

    /// Refuses what is not asked for by one of these names.
    static func check(_ query: OperationsQuery, allows names: [String]) throws(AdminProblem) {
        for name in query.values.keys.sorted() where !names.contains(name) {
            throw AdminProblem(error: "there is no parameter \"\(name)\"", expected: names.joined(separator: ", "))
        }
    }
}
