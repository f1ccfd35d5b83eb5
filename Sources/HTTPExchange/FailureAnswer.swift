package import NIOCore
package import TunnelProtocol

/// The answer to a request that failed, for programs and people alike (RFC 9457).
package struct FailureAnswer {
    package var status: UInt16
    package var fields: HeaderFields
    package var body: ByteBuffer

    package init(_ failure: ExchangeFailure) {
        status = failure.status
        // Every text is this project's own or escaped, so that plain interpolation yields JSON.
        body = ByteBuffer(
            string: """
                {"type":"about:blank","title":"\(ReasonPhrase(status))","status":\(failure.status),\
                "code":"\(failure.code)","detail":"\(Self.escaped(failure.detail))"}

                """)
        fields = [
            "Content-Type": "application/problem+json", "Content-Length": "\(body.readableBytes)",
            "Cache-Control": "no-store",
        ]
        if let retryAfter = failure.retryAfter { fields.add(name: "Retry-After", value: "\(retryAfter)") }
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
