import Foundation
import HTTPExchange
import NIOCore
import Testing
import TunnelProtocol

@Suite("What a failed request is answered")
struct FailureAnswerTests {
    private func answer(
        _ failure: ExchangeFailure, _ change: (inout FailedRequest) -> Void = { _ in }
    ) -> (answer: FailureAnswer, text: String) {
        var request = FailedRequest()
        change(&request)
        let answer = FailureAnswer(failure, to: request)
        return (answer, String(buffer: answer.body))
    }

    @Test(
        "a page goes to whoever asks for one, a problem document to everybody else",
        arguments: [
            (nil, .problem), ("*/*", .problem), ("text/html", .page), ("TEXT/HTML ; Q=0.5", .page),
            // A browser's.
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", .page),
            ("image/avif,image/webp,*/*;q=0.8", .problem), ("application/json", .problem),
            ("application/json, text/html;q=0.9", .problem), ("application/json;q=0.8, text/html;q=0.9", .page),
            ("application/problem+json;q=0.9, text/html", .page), ("text/html, application/json", .problem),
            ("text/html, */*", .page), ("text/*", .page), ("text/*, */*;q=0.1", .page), ("application/*", .problem),
            // The more precise one decides, whatever the other says.
            ("text/html;q=0, */*", .problem), ("text/html;q=0, text/*, */*;q=0.5", .problem),
            ("text/plain", .problem), ("image/*", .problem), ("text/html;q=0", .problem),
            ("text/html;q=0.000", .problem),
            ("text/html;q=0.001", .page), ("text/html;level=1", .page),
            // What cannot be read is not there.
            ("text/html;q=2", .problem), ("text/html;q=x", .problem), ("text/html;q=0.1234", .problem),
            ("text/html;q=1.001", .problem), ("text/html;q=", .problem), ("", .problem), (",;,/;q=", .problem),
            ("html", .problem), ("text/html/x", .problem), ("*/html", .problem),
        ] as [(String?, FailureFormat)])
    func negotiation(accept: String?, expected: FailureFormat) {
        var fields = HeaderFields()
        if let accept { fields.add(name: "aCCept", value: accept) }
        #expect(FailureFormat(acceptedBy: fields) == expected)
    }

    @Test("several Accept fields are one list")
    func severalFields() {
        #expect(FailureFormat(acceptedBy: ["Accept": "application/json;q=0.1", "accept": "text/html"]) == .page)
    }

    @Test("a page names what happened, what to do and the request, and needs nothing else")
    func page() {
        let (answer, text) = answer(.noSuchHost) { request in
            request.format = .page
            request.host = "nobody.test"
            request.requestID = "r-1"
        }
        #expect(answer.status == 404)
        #expect(answer.fields["Content-Type"] == ["text/html; charset=utf-8"])
        #expect(answer.fields["Content-Length"] == ["\(answer.body.readableBytes)"])
        #expect(answer.fields["Content-Security-Policy"].first?.hasPrefix("default-src 'none';") == true)
        #expect(answer.fields["X-Content-Type-Options"] == ["nosniff"])
        #expect(answer.fields["Vary"] == ["Accept"])
        for part in [
            "<h1>Not Found</h1>", ExchangeFailure.noSuchHost.detail, "kubectl get ingress -A", "<dd>nobody.test</dd>",
            "<dd>no_such_host</dd>", "<dd>r-1</dd>",
        ] {
            #expect(text.contains(part), "\(part)")
        }
        for loaded in ["<script", "src=", "href=", "url(", "@import"] { #expect(!text.contains(loaded), "\(loaded)") }
    }

    @Test("nothing of the request is markup in the page")
    func escaping() {
        let attack = "\"><script>alert('&')</script>\u{0}"
        let (_, text) = answer(.badRequest(attack)) { request in
            request.format = .page
            request.host = attack
        }
        let escaped = "&quot;&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt; "
        #expect(text.components(separatedBy: escaped).count == 3)
        #expect(!text.contains("<script"))
    }

    @Test(
        "a call of gRPC is answered in gRPC's way: 200, the status and the message in the head, and no body",
        arguments: zip(
            [ExchangeFailure.clusterOffline, .badRequest("50 % \u{e9}"), .noSuchPath, .rateLimited, .headerTooLarge],
            [14, 13, 12, 14, 2]))
    func grpc(failure: ExchangeFailure, code: Int) {
        let (own, text) = answer(failure) { request in
            request.format = FailureFormat(acceptedBy: [
                "content-type": "application/grpc+proto", "accept": "text/html",
            ])
            request.requestID = "id-1"
        }
        #expect(own.status == 200)
        #expect(text.isEmpty)
        #expect(own.fields["Content-Type"] == ["application/grpc"])
        #expect(own.fields["grpc-status"] == ["\(code)"])
        #expect(own.fields["Proxy-Status"] == ["pipeops-gateway; error=\(failure.proxyError)"])
        #expect(own.fields["X-Request-Id"] == ["id-1"])
        #expect(own.fields["Retry-After"] == (failure.retryAfter.map { ["\($0)"] } ?? []))
        let message = own.fields.first(name: "grpc-message")
        if case .badRequest = failure {
            #expect(message == "The request cannot be forwarded: 50 %25 %C3%A9.")
        } else {
            #expect(message == failure.detail)
        }
    }

    @Test(
        "what is no call of gRPC is not answered so",
        arguments: ["application/grpc-web", "application/grpc-web+proto", "application/grpcs", "application/json"])
    func notGRPC(type: String) {
        #expect(FailureFormat(acceptedBy: ["Content-Type": type]) == .problem)
        #expect(FailureFormat(acceptedBy: ["Content-Type": "application/grpc;proto"]) == .grpc)
        #expect(FailureFormat(acceptedBy: ["Content-Type": "Application/gRPC"]) == .grpc)
    }

    @Test("Proxy-Status names who found out and what, with the types of RFC 9209", arguments: ExchangeFailureTests.all)
    func proxyStatus(failure: ExchangeFailure) {
        // RFC 9209 §2.3; those with parameters that must be there are left out.
        let registered: Set = [
            "dns_timeout", "dns_error", "destination_not_found", "destination_unavailable",
            "destination_ip_prohibited", "destination_ip_unroutable", "tls_certificate_error", "connection_refused",
            "connection_terminated",
            "connection_timeout", "connection_read_timeout", "connection_write_timeout", "connection_limit_reached",
            "http_request_error", "http_request_denied", "http_response_incomplete", "http_protocol_error",
            "http_response_timeout", "proxy_internal_response", "proxy_internal_error", "proxy_configuration_error",
        ]
        #expect(registered.contains(failure.proxyError))
        let own = answer(failure).answer
        #expect(own.fields["Proxy-Status"] == ["pipeops-gateway; error=\(failure.proxyError)"])
        let agents = answer(failure) { $0.hop = .agent }.answer
        #expect(agents.fields["Proxy-Status"] == ["pipeops-agent; error=\(failure.proxyError)"])
    }

    @Test("every failure that the agent reports has an error of its own")
    func distinct() {
        let failures: [ExchangeFailure] = [
            .backendUnresolved, .backendUnreachable, .backendTimeout, .backendClosed, .backendInvalid, .idleTimeout,
        ]
        #expect(
            failures.map(\.proxyError) == [
                "dns_error", "connection_refused", "http_response_timeout", "connection_terminated",
                "http_protocol_error", "connection_read_timeout",
            ])
    }

    @Test("since when a cluster is offline is told where it is known, in both forms")
    func offline() throws {
        let since = "2026-08-01T09:05:00.042Z"
        for format in [FailureFormat.problem, .page] {
            let (answer, text) = answer(.clusterOffline) { request in
                request.format = format
                request.offlineSince = since
            }
            #expect(answer.status == 503)
            #expect(text.contains("has not been connected since \(since). Try again shortly."))
            #expect(answer.fields["Retry-After"] == ["5"])
        }
        let document = try #require(
            try JSONSerialization.jsonObject(
                with: Data(answer(.clusterOffline) { $0.offlineSince = since }.text.utf8)) as? [String: Any])
        #expect(document["offline_since"] as? String == since)
        #expect(!answer(.clusterOffline).text.contains("since"))
    }

    @Test("a limit that was met is told with its policy, and when to come again")
    func quota() {
        let limited = answer(.rateLimited) { request in
            request.quota = ExceededQuota(policy: "cluster", burst: 1000, window: 10, retryAfter: 2)
        }.answer
        #expect(limited.status == 429)
        #expect(limited.fields["Retry-After"] == ["2"])
        #expect(limited.fields["RateLimit-Policy"] == ["\"cluster\";q=1000;w=10"])
        #expect(limited.fields["RateLimit"] == ["\"cluster\";r=0;t=2"])
        #expect(answer(.overloaded).answer.fields["RateLimit"].isEmpty)
    }

    @Test("the request's name is in the answer, for programs too")
    func requestID() throws {
        let (answer, text) = answer(.overloaded) { $0.requestID = "r-1" }
        #expect(answer.fields["X-Request-Id"] == ["r-1"])
        #expect(text.contains("\"request_id\":\"r-1\""))
    }
}

@Suite("Names of requests")
struct RequestIDTests {
    private func id(_ values: String...) -> RequestID {
        var source = RequestIDSource()
        var fields: HeaderFields = ["Host": "a.test"]
        for value in values { fields.add(name: "x-REQUEST-id", value: value) }
        return source.id(for: fields)
    }

    @Test(
        "the client's own is kept where it is harmless everywhere",
        arguments: ["a", "7f2c", "550e8400-e29b-41d4-a716-446655440000", "Root=1-67891233:ab/c+d@e_f.g"])
    func sound(value: String) {
        #expect(id(value).text == value)
        #expect(id(value).isClients)
    }

    @Test(
        "any other is replaced",
        arguments: ["", "a b", "<b>", "a\"b", "a\\b", "a;b", "a,b", "é", String(repeating: "a", count: 129)])
    func unsound(value: String) {
        let made = id(value)
        #expect(!made.isClients)
        #expect(made.text.utf8.count == 32)
        #expect(made.text.allSatisfy { $0.isHexDigit })
    }

    @Test("of two it is not known which counts")
    func twice() {
        #expect(!id("a", "b").isClients)
        #expect(!id("a", "").isClients)
    }

    @Test("no two are alike, of one connection or of two")
    func unique() {
        var all: Set<String> = []
        for _ in 0..<100 {
            var source = RequestIDSource()
            for _ in 0..<100 { all.insert(source.make().text) }
        }
        #expect(all.count == 10_000)
    }
}
