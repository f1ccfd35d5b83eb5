import NIOHTTP1

/// A further page of the operations listener.
package struct OperationsRoute: Sendable {
    /// Absolute, without query, compared byte for byte.
    package var path: String
    /// Returns a JSON document. Called on an event loop: reads a snapshot, waits for nothing.
    package var body: @Sendable () -> [UInt8]

    package init(_ path: String, body: @escaping @Sendable () -> [UInt8]) {
        self.path = path
        self.body = body
    }
}

/// What the operations listener answers: to which path, with what.
struct OperationsRouter: Sendable {
    struct Answer: Sendable {
        var status: HTTPResponseStatus
        var contentType = "text/plain; charset=utf-8"
        var body: [UInt8]

        init(_ status: HTTPResponseStatus, _ text: String) {
            self.status = status
            self.body = Array(text.utf8)
        }

        init(_ status: HTTPResponseStatus, contentType: String, body: [UInt8]) {
            self.status = status
            self.contentType = contentType
            self.body = body
        }
    }

    var metrics: PrometheusRegistry
    /// Why the program is not ready; empty when it is.
    var readiness: @Sendable () -> [String]
    var routes: [OperationsRoute]

    func answer(method: HTTPMethod, target: String) -> Answer {
        let path = target.prefix { $0 != "?" }
        guard let answer = page(path) else { return Answer(.notFound, "no page \(path)\n") }
        guard method == .GET || method == .HEAD else { return Answer(.methodNotAllowed, "read only\n") }
        return answer()
    }

    private func page(_ path: Substring) -> (() -> Answer)? {
        switch path {
        case "/healthz":
            return { Answer(.ok, "ok\n") }
        case "/readyz":
            return {
                let reasons = readiness()
                guard !reasons.isEmpty else { return Answer(.ok, "ready\n") }
                return Answer(.serviceUnavailable, reasons.map { "not ready: \($0)\n" }.joined())
            }
        case "/metrics":
            return {
                Answer(.ok, contentType: PrometheusText.contentType, body: Array(metrics.exposition().utf8))
            }
        default:
            guard let route = routes.first(where: { $0.path == path }) else { return nil }
            return { Answer(.ok, contentType: "application/json", body: route.body()) }
        }
    }
}
