import Foundation
import Testing

@testable import KubernetesAPI

@Suite("Errors, retries and rates")
struct PolicyTests {
    @Test(
        "the HTTP status and the reason decide the kind",
        arguments: [
            (400, nil, .badRequest), (401, nil, .unauthorized), (403, nil, .forbidden), (404, nil, .notFound),
            (405, nil, .unsupported), (406, nil, .unsupported), (408, nil, .timeout),
            (409, "Conflict", .conflict), (409, "AlreadyExists", .alreadyExists), (410, "Expired", .gone),
            (415, nil, .unsupported), (422, "Invalid", .invalid), (429, nil, .tooManyRequests(retryAfter: nil)),
            (500, nil, .server), (503, nil, .server), (504, "Timeout", .server),
        ] as [(Int, String?, KubernetesError.Kind)])
    func kinds(status: Int, reason: String?, kind: KubernetesError.Kind) {
        let error = KubernetesError(
            httpStatus: status, status: reason.map { KubernetesStatus(reason: $0) }, retryAfterHeader: nil, verb: .get,
            path: "/", body: "")
        #expect(error.kind == kind)
    }

    @Test(
        "a wait that the server names makes any 5xx a request that was not processed, and may be a date",
        arguments: [
            (429, "7", 7), (503, "7", 7), (500, " 12 ", 12), (504, "0", 0), (503, "-5", 0), (503, "999999", 3600),
            (503, "Sun, 06 Nov 1994 08:49:37 GMT", 0), (503, "Fri, 01 Jan 2100 00:00:00 GMT", 3600),
        ])
    func waits(status: Int, header: String, seconds: Int) {
        let error = KubernetesError(
            httpStatus: status, status: nil, retryAfterHeader: header, verb: .create, path: "/", body: "")
        #expect(error.kind == .tooManyRequests(retryAfter: .seconds(seconds)))
        #expect(error.retryAfter == .seconds(seconds))
        #expect(!error.mayHaveBeenProcessed)
        #expect(
            RetryPolicy(longestServerWait: .seconds(3600))
                .decide(attempt: 1, error: error, isIdempotent: false, random: 0) != .giveUp)
    }

    @Test("a date is as far away as it is, and what is neither number nor date is no wait")
    func waitDates() {
        let now = RFC3339.date(from: "2030-12-31T23:59:50Z") ?? .distantPast
        #expect(RetryAfter.seconds("Wed, 01 Jan 2031 00:00:20 GMT", now: now) == 30)
        for text in ["", "soon", "Wed, 01 Foo 2031 00:00:20 GMT", "1.5"] {
            #expect(RetryAfter.seconds(text, now: now) == nil)
        }
        let error = KubernetesError(
            httpStatus: 503, status: nil, retryAfterHeader: "soon", verb: .create, path: "/", body: "")
        #expect(error.kind == .server && error.mayHaveBeenProcessed)
    }

    private func failure(
        _ kind: KubernetesError.Kind, processed: Bool = true, httpStatus: Int? = nil
    ) -> KubernetesError {
        KubernetesError(
            kind: kind, verb: .get, path: "/", httpStatus: httpStatus, message: "", mayHaveBeenProcessed: processed)
    }

    @Test("waits double up to the maximum, half of each is random, and after the last attempt it gives up")
    func backoff() {
        let policy = RetryPolicy(attempts: 5, initialDelay: .milliseconds(100), maximumDelay: .milliseconds(300))
        let error = failure(.server)
        func decide(_ attempt: Int, _ random: Double) -> RetryPolicy.Decision {
            policy.decide(attempt: attempt, error: error, isIdempotent: true, random: random)
        }
        #expect(decide(1, 0) == .retry(after: .milliseconds(50)))
        #expect(decide(1, 0.5) == .retry(after: .milliseconds(75)))
        #expect(decide(2, 0) == .retry(after: .milliseconds(100)))
        #expect(decide(3, 0) == .retry(after: .milliseconds(150)))
        #expect(decide(4, 0) == .retry(after: .milliseconds(150)))
        #expect(decide(5, 0) == .giveUp)
    }

    @Test("a wait the server asks for is obeyed, unless it is longer than a call may take")
    func retryAfter() {
        let policy = RetryPolicy(longestServerWait: .seconds(30))
        func decide(_ seconds: Int) -> RetryPolicy.Decision {
            policy.decide(
                attempt: 1, error: failure(.tooManyRequests(retryAfter: .seconds(seconds)), processed: false),
                isIdempotent: false, random: 0)
        }
        #expect(decide(7) == .retry(after: .seconds(7)))
        #expect(decide(31) == .giveUp)
    }

    @Test("what may have been processed is repeated only if that does no harm; what cannot succeed is not")
    func safety() {
        let policy = RetryPolicy()
        func retries(_ error: KubernetesError, idempotent: Bool) -> Bool {
            policy.decide(attempt: 1, error: error, isIdempotent: idempotent, random: 0) != .giveUp
        }
        #expect(retries(failure(.connection, processed: true), idempotent: true))
        #expect(!retries(failure(.connection, processed: true), idempotent: false))
        #expect(retries(failure(.connection, processed: false), idempotent: false))
        #expect(!retries(failure(.server, httpStatus: 501), idempotent: true))
        for kind: KubernetesError.Kind in [.notFound, .conflict, .gone, .forbidden, .invalid, .badRequest, .decoding] {
            #expect(!retries(failure(kind), idempotent: true))
        }
    }

    @Test("a bucket gives its burst at once, then one token at a time")
    func bucket() {
        var bucket = TokenBucket(rate: 10, burst: 3)
        #expect((0..<3).map { _ in bucket.reserve(now: .zero) } == [.zero, .zero, .zero])
        #expect(bucket.reserve(now: .zero) == .milliseconds(100))
        #expect(bucket.reserve(now: .zero) == .milliseconds(200))
        #expect([200, 300, 300].map { bucket.take(now: .milliseconds($0)) } == [false, true, false])
        // However long the pause, no more than the burst.
        #expect((0..<4).map { _ in bucket.take(now: .seconds(1000)) } == [true, true, true, false])
    }

    @Test("paths and queries are escaped, and a cluster-scoped type has no namespace in its path")
    func paths() {
        #expect(
            ResourcePath.path(Ingress.definition, namespace: "a", name: "b/c", subresource: "status")
                == "/apis/networking.k8s.io/v1/namespaces/a/ingresses/b%2Fc/status")
        #expect(ResourcePath.path(Ingress.definition) == "/apis/networking.k8s.io/v1/ingresses")
        #expect(
            ResourcePath.path(Namespace.definition, namespace: "x", name: "kube-system")
                == "/api/v1/namespaces/kube-system")
        #expect(ResourcePath.query([("labelSelector", "a=b,c in (d)")]) == "?labelSelector=a%3Db%2Cc%20in%20%28d%29")
    }
}
