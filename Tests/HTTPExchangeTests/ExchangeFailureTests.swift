import Foundation
import HTTPExchange
import NIOCore
import Testing
import TunnelProtocol

@Suite("Failures and what follows from them")
struct ExchangeFailureTests {
    static let all: [ExchangeFailure] = [
        .badRequest("it says \"a\\b\"\nand more"), .headerTooLarge, .targetTooLong, .versionNotSupported,
        .protocolNotSupported,
        .noSuchHost,
        .noSuchPath, .clusterOffline,
        .tunnelLost, .overloaded, .notAdvertised, .backendUnresolved, .backendUnreachable, .backendTimeout,
        .backendClosed, .backendInvalid, .idleTimeout, .internalError, .rateLimited, .bodyTooLarge,
        .requestTimeout, .timeLimit,
        .backendConnectTimeout, .backendTLSFailed,
    ]

    @Test("Codes are distinct snake_case names")
    func codes() {
        #expect(Set(Self.all.map(\.code)).count == Self.all.count)
        #expect(Self.all.allSatisfy { $0.code.allSatisfy { $0 == "_" || $0.isLowercase } })
    }

    @Test("Every reset code means a failure with a server's status", arguments: (0...15).map { UInt32($0) } + [.max])
    func resets(number: UInt32) {
        let code = ResetCode(rawValue: number)
        let failure = ExchangeFailure(code)
        #expect((500...504).contains(failure.status))
        if code.description.hasPrefix("unknown") || code == .protocolError { #expect(failure == .internalError) }
    }

    @Test(
        "What the agent reports arrives at the gateway as the same failure",
        arguments: [
            ExchangeFailure.overloaded, .notAdvertised, .backendUnresolved, .backendUnreachable, .backendTimeout,
            .backendClosed, .backendInvalid, .idleTimeout, .internalError, .backendConnectTimeout, .backendTLSFailed,
        ])
    func roundTrip(failure: ExchangeFailure) {
        #expect(ExchangeFailure(failure.resetCode) == failure)
    }

    @Test("Every failure has a reset code that has a name", arguments: all)
    func resetCodes(failure: ExchangeFailure) {
        #expect(!failure.resetCode.description.hasPrefix("unknown"))
        // A stream that was processed must never be taken for one that was not.
        #expect(failure.resetCode != .refused)
    }

    @Test("The statuses are those of the specification")
    func statuses() {
        #expect(
            Self.all.map(\.status) == [
                400, 431, 414, 505, 501, 404, 404, 503, 503, 503, 502, 502, 502, 504, 502, 502, 504, 500, 429, 413,
                408, 504, 504, 502,
            ])
    }

    @Test("The answer is a problem document that says what the failure says", arguments: all)
    func answers(failure: ExchangeFailure) throws {
        let answer = FailureAnswer(failure)
        #expect(answer.status == failure.status)
        #expect(answer.fields.first(name: "Content-Type") == "application/problem+json")
        #expect(answer.fields.first(name: "Content-Length") == "\(answer.body.readableBytes)")
        #expect(answer.fields.first(name: "Cache-Control") == "no-store")
        #expect(answer.fields.first(name: "Retry-After") == failure.retryAfter.map(String.init))
        let document = try #require(
            try JSONSerialization.jsonObject(with: Data(answer.body.readableBytesView)) as? [String: Any])
        #expect(document["status"] as? Int == Int(failure.status))
        #expect(document["code"] as? String == failure.code)
        #expect(document["title"] as? String == ReasonPhrase(answer.status).text)
        let detail = try #require(document["detail"] as? String)
        #expect(detail == failure.detail.replacing("\n", with: " "))
    }

    @Test("Only what passes by itself is to be tried again")
    func retries() {
        let retried = Self.all.filter { $0.retryAfter != nil }
        #expect(retried == [.clusterOffline, .tunnelLost, .overloaded, .rateLimited])
        #expect(retried.map(\.status) == [503, 503, 503, 429])
    }
}
