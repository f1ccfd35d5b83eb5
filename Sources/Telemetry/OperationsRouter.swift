import NIOHTTP1

/// A further page of the operations listener.
package struct OperationsRoute: Sendable {
    /// Absolute, without query, compared byte for byte.
    package var path: String
    /// Called in a task of its own, so that it may take its time.
    package var answer: @Sendable (OperationsQuery) async -> OperationsAnswer

    package init(_ path: String, answer: @escaping @Sendable (OperationsQuery) async -> OperationsAnswer) {
        self.path = path
        self.answer = answer
    }
}

/// A JSON document of a further page.
package struct OperationsAnswer: Sendable {
    /// The status code.
    package var status: Int
    package var json: [UInt8]

    package init(status: Int = 200, json: [UInt8]) {
        self.status = status
        self.json = json
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

    /// What is answered at once, or takes its time.
    enum Reply {
        case now(Answer)
        case later(@Sendable () async -> Answer)
    }

    func reply(method: HTTPMethod, target: String) -> Reply {
        let path = target.prefix { $0 != "?" }
        let route = routes.first { $0.path == path }
        let page = page(path)
        guard route != nil || page != nil else { return .now(Answer(.notFound, "no page \(path)\n")) }
        guard method == .GET || method == .HEAD else { return .now(Answer(.methodNotAllowed, "read only\n")) }
        if let page { return .now(page()) }
        let query = OperationsQuery(target.utf8.count > path.utf8.count ? target.dropFirst(path.count + 1) : "")
        return .later {
            guard let answer = await route?.answer(query) else { return Answer(.notFound, "no page\n") }
            return Answer(
                HTTPResponseStatus(statusCode: answer.status), contentType: "application/json", body: answer.json)
        }
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
        default: return nil
        }
    }
}
