import HTTPExchange
import TunnelProtocol

/// Sends clients that come without TLS to the same URL with it.
package struct HTTPSRedirect: Sendable {
    /// The port that clients reach TLS by.
    private let port: Int

    package init(port: Int = 443) { self.port = port }

    /// The answer to a request; nil for one that is to be carried on, as challenges are: their authority asks without TLS.
    ///
    /// - Parameter isTrusted: whether the client is a proxy that is believed when it says that it was asked by TLS.
    func answer(to target: RequestTarget, _ fields: HeaderFields, isTrusted: Bool) -> ResponseHead? {
        guard target.target.utf8.first == UInt8(ascii: "/"), !ChallengeTable.isChallenge(target.path) else {
            return nil
        }
        if isTrusted, fields.first(name: "X-Forwarded-Proto")?.lowercased() == "https" { return nil }
        let authority = port == 443 ? target.host : "\(target.host):\(port)"
        var answer = HeaderFields()
        answer.add(name: "Location", value: "https://\(authority)\(target.target)")
        answer.add(name: "Content-Length", value: "0")
        // Method and body are to be sent again as they are (RFC 9110 §15.4.9).
        return ResponseHead(status: 308, fields: answer)
    }
}
