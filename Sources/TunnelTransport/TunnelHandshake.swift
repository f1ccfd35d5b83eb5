import Crypto
import Foundation
package import NIOHTTP1

/// The HTTP request that opens a tunnel and its answer (RFC 6455 §4), as decisions without a connection.
package enum TunnelHandshake {
    package static let path = "/agent/v1/tunnel"
    package static let subprotocol = "gateway-tunnel.v1"

    /// Checks all of a request but its credentials.
    package static func check(_ head: HTTPRequestHead) throws(TunnelRefusal) {
        let path = head.uri.prefix { $0 != "?" }
        guard path == Self.path else { throw TunnelRefusal(.notFound, "tunnels are opened at \(Self.path)") }
        try checkUpgrade(head)
        guard head.headers[canonicalForm: "sec-websocket-protocol"].contains(where: { $0 == subprotocol }) else {
            throw TunnelRefusal(.badRequest, "the subprotocol \(subprotocol) is not offered")
        }
    }

    /// What of that is WebSocket's and not the tunnel's (RFC 6455 §4.2.1).
    package static func checkUpgrade(_ head: HTTPRequestHead) throws(TunnelRefusal) {
        guard head.method == .GET else { throw TunnelRefusal(.methodNotAllowed, "tunnels are opened with GET") }
        guard head.headers[canonicalForm: "upgrade"].contains(where: { $0.lowercased() == "websocket" }),
            head.headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "upgrade" })
        else { throw TunnelRefusal(.upgradeRequired, "this is a WebSocket endpoint") }
        guard head.headers["Sec-WebSocket-Version"] == ["13"] else {
            throw TunnelRefusal(.upgradeRequired, "Sec-WebSocket-Version is not 13")
        }
        guard key(of: head) != nil else {
            throw TunnelRefusal(.badRequest, "Sec-WebSocket-Key is not 16 bytes of base64")
        }
    }

    /// The bearer token of a request (RFC 6750 §2.1).
    package static func bearerToken(_ headers: HTTPHeaders) -> String? {
        guard let value = headers.first(name: "Authorization"), headers["Authorization"].count == 1 else { return nil }
        let parts = value.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return String(parts[1])
    }

    /// The fields of the 101 answer.
    ///
    /// - Parameter subprotocol: none where `nil`, which no tunnel does.
    package static func answer(to head: HTTPRequestHead, subprotocol: String? = Self.subprotocol) -> HTTPHeaders {
        var fields = HTTPHeaders()
        fields.add(name: "Upgrade", value: "websocket")
        fields.add(name: "Connection", value: "upgrade")
        fields.add(name: "Sec-WebSocket-Accept", value: accept(for: key(of: head) ?? ""))
        if let subprotocol { fields.add(name: "Sec-WebSocket-Protocol", value: subprotocol) }
        return fields
    }

    /// What asks for the upgrade in the request of an agent, but for its credentials.
    package static func question(key: String, subprotocol: String? = Self.subprotocol) -> HTTPHeaders {
        var fields: HTTPHeaders = ["Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"]
        if let subprotocol { fields.add(name: "Sec-WebSocket-Protocol", value: subprotocol) }
        return fields
    }

    /// Whether a 101 answers the request with this key, with this subprotocol and no extension (RFC 6455 §4.1).
    package static func isAnswer(_ fields: HTTPHeaders, to key: String, subprotocol: String? = Self.subprotocol) -> Bool
    {
        fields["Sec-WebSocket-Accept"] == [accept(for: key)]
            && fields["Sec-WebSocket-Protocol"] == (subprotocol.map { [$0] } ?? [])
            && !fields.contains(name: "Sec-WebSocket-Extensions")
    }

    private static func key(of head: HTTPRequestHead) -> String? {
        let keys = head.headers["Sec-WebSocket-Key"]
        guard keys.count == 1, Data(base64Encoded: keys[0])?.count == 16 else { return nil }
        return keys[0]
    }

    /// RFC 6455 §4.2.2, step 5.4.
    package static func accept(for key: String) -> String {
        let digest = Insecure.SHA1.hash(data: Data((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))
        return Data(digest).base64EncodedString()
    }

    /// A fresh `Sec-WebSocket-Key`.
    package static func makeKey() -> String {
        Data((0..<16).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString()
    }
}

/// Why a connection did not become a tunnel.
package struct TunnelRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: String, CaseIterable, Hashable, Sendable {
        case notFound = "not_found"
        case methodNotAllowed = "method_not_allowed"
        case upgradeRequired = "upgrade_required"
        case badRequest = "bad_request"
        /// No token, or one that the gateway does not know.
        case unauthorized
        /// Too many failed attempts from the same address.
        case tooManyAttempts = "too_many_attempts"
        /// More handshakes at this moment than the gateway takes on.
        case tooManyAtOnce = "too_many_at_once"
        /// Too many tunnels, or too much work under way.
        case overloaded
    }

    package var kind: Kind
    /// Facts for both logs; never the token.
    package var detail: String
    /// Seconds to wait before another attempt.
    package var retryAfter: Int?

    package init(_ kind: Kind, _ detail: String, retryAfter: Int? = nil) {
        self.kind = kind
        self.detail = detail
        self.retryAfter = retryAfter
    }

    package var status: HTTPResponseStatus {
        switch kind {
        case .notFound: .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .upgradeRequired: .upgradeRequired
        case .badRequest: .badRequest
        case .unauthorized: .unauthorized
        case .tooManyAttempts: .tooManyRequests
        case .tooManyAtOnce, .overloaded: .serviceUnavailable
        }
    }

    package var description: String { "\(kind.rawValue): \(detail)" }
}
