package import NIOCore
package import TunnelProtocol

/// What an answer to a failed request says beside what failed.
package struct FailedRequest: Sendable {
    /// Who found out, named as in `Proxy-Status`.
    package enum Hop: String, Sendable {
        case gateway = "pipeops-gateway"
        case agent = "pipeops-agent"
    }

    package var format = FailureFormat.problem
    package var hop = Hop.gateway
    /// As the client asked for it; may hold anything.
    package var host = ""
    package var requestID = ""
    /// RFC 3339; since when the cluster has had no tunnel, where that is known.
    package var offlineSince: String?
    /// The application's own page, to be shown in place of this project's.
    package var page: ByteBuffer?
    /// Which limit was met.
    package var quota: ExceededQuota?

    package init() {}
}

/// A limit that was met, as the `RateLimit` fields tell it (draft-ietf-httpapi-ratelimit-headers).
package struct ExceededQuota: Hashable, Sendable {
    /// What the limit belongs to; letters only.
    package var policy: String
    /// How many requests may come at once, and in how many seconds that many may come again.
    package var burst: Int
    package var window: Int
    /// Seconds until the next request may come.
    package var retryAfter: Int

    package init(policy: String, burst: Int, window: Int, retryAfter: Int) {
        self.policy = policy
        self.burst = burst
        self.window = window
        self.retryAfter = retryAfter
    }
}

/// The answer to a request that failed: a problem document (RFC 9457) or a page.
package struct FailureAnswer {
    package var status: UInt16
    package var fields: HeaderFields
    package var body: ByteBuffer

    package init(_ failure: ExchangeFailure, to request: FailedRequest = FailedRequest()) {
        status = failure.status
        var detail = failure.detail
        if failure == .clusterOffline, let since = request.offlineSince {
            detail =
                "The cluster that serves this application has not been connected since \(since). Try again shortly."
        }
        switch request.format {
        case .problem:
            body = Self.problem(failure, detail, request)
            fields = ["Content-Type": "application/problem+json"]
        case .page where request.page != nil:
            body = request.page ?? ByteBuffer()
            // What it loads is the business of who wrote it: it is shown under the application's own name.
            fields = ["Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff"]
        case .page:
            body = FailurePage.body(failure, detail: detail, request)
            fields = [
                "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": FailurePage.policy,
                "X-Content-Type-Options": "nosniff",
            ]
        case .grpc:
            status = 200
            body = ByteBuffer()
            fields = [
                "Content-Type": "application/grpc", "Grpc-Status": "\(GRPCStatus.code(for: failure.status))",
                "Grpc-Message": GRPCStatus.message(detail),
            ]
        }
        fields.add(name: "Content-Length", value: "\(body.readableBytes)")
        fields.add(name: "Cache-Control", value: "no-store")
        if request.format != .grpc { fields.add(name: "Vary", value: "Accept") }
        fields.add(name: "Proxy-Status", value: "\(request.hop.rawValue); error=\(failure.proxyError)")
        if !request.requestID.isEmpty { fields.add(name: "X-Request-Id", value: request.requestID) }
        if let retryAfter = request.quota?.retryAfter ?? failure.retryAfter {
            fields.add(name: "Retry-After", value: "\(retryAfter)")
        }
        if let quota = request.quota {
            fields.add(name: "RateLimit-Policy", value: "\"\(quota.policy)\";q=\(quota.burst);w=\(quota.window)")
            fields.add(name: "RateLimit", value: "\"\(quota.policy)\";r=0;t=\(quota.retryAfter)")
        }
    }

    private static func problem(_ failure: ExchangeFailure, _ detail: String, _ request: FailedRequest) -> ByteBuffer {
        // Every text is this project's own, known to be sound, or escaped: plain interpolation yields JSON.
        var text = """
            {"type":"about:blank","title":"\(ReasonPhrase(failure.status))","status":\(failure.status),\
            "code":"\(failure.code)","detail":"\(escaped(detail))","hint":"\(failure.hint)"
            """
        if let since = request.offlineSince { text += ",\"offline_since\":\"\(since)\"" }
        if !request.requestID.isEmpty { text += ",\"request_id\":\"\(request.requestID)\"" }
        return ByteBuffer(string: text + "}\n")
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 0x20: result += " "
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
