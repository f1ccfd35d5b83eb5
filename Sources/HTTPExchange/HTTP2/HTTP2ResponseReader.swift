import NIOCore
package import NIOHPACK
import TunnelProtocol

/// Reads the frames of one stream of a connection to a backend as the response to one request (RFC 9113 §8.1).
///
/// The frames themselves are sound; what they say is looked at here.
package struct HTTP2ResponseReader: Sendable {
    private enum State {
        /// Informational heads may come before the final one.
        case head(informational: Int)
        case body(BodyFraming)
        case ended
    }

    /// Informational heads of one response; more are an attempt to keep somebody busy.
    private static let mostInformationalHeads = 100

    private let method: String
    private var state = State.head(informational: 0)

    package init(method: String) { self.method = method }

    package var hasEnded: Bool { if case .ended = state { true } else { false } }

    /// Whether more than its end follows the final head that was read last.
    package var expectsBody: Bool { if case .body = state { true } else { false } }

    /// HEADERS came.
    package mutating func received(_ block: HPACKHeaders, endStream: Bool) throws(HTTP1Error)
        -> HTTP1ResponseReader.Part
    {
        let fields = HeaderFields(block)
        guard fields.isSound else { throw .malformed("a field has a name or value that HTTP does not allow") }
        switch state {
        case .head(let informational):
            guard let status = block.first(name: ":status").flatMap(Self.status) else {
                throw .malformed("its status is not a number of three digits")
            }
            // There is no switch to another protocol in HTTP/2 (RFC 9113 §8.6).
            guard status != 101 else { throw .malformed("it switches to another protocol in HTTP/2") }
            if status < 200 {
                guard !endStream else { throw .malformed("it ends with an informational head") }
                guard informational < Self.mostInformationalHeads else {
                    throw .malformed("it has more than \(Self.mostInformationalHeads) informational heads")
                }
                state = .head(informational: informational + 1)
            } else {
                let framing = try Self.framing(status, fields, method)
                guard !endStream || framing.mayEnd else { throw .malformed("the body announced is missing") }
                state = endStream ? .ended : .body(framing)
            }
            return .head(HTTP1Response(status: status, fields: fields))
        case .body(let framing):
            guard endStream else { throw .malformed("a second final head") }
            guard framing.mayEnd else { throw .malformed("the body is not as long as announced") }
            state = .ended
            return .end(HopByHop.trailers(from: fields))
        case .ended: throw .malformed("there is something behind its end")
        }
    }

    /// DATA came, of that many bytes.
    package mutating func received(_ bytes: Int, endStream: Bool) throws(HTTP1Error) {
        guard case .body(var framing) = state else { throw .malformed("a body before its head") }
        guard framing.pass(bytes), !endStream || framing.mayEnd else {
            throw .malformed("the body is not as long as announced")
        }
        state = endStream ? .ended : .body(framing)
    }

    private static func status(_ text: String) -> UInt16? {
        let digits = text.utf8
        guard digits.count == 3, digits.allSatisfy({ (0x30...0x39).contains($0) }), let status = UInt16(text),
            status >= 100
        else { return nil }
        return status
    }

    private static func framing(
        _ status: UInt16, _ fields: HeaderFields, _ method: String
    ) throws(HTTP1Error) -> BodyFraming {
        do {
            return try BodyFraming(response: status, fields: fields, method: method)
        } catch {
            throw .malformed("\(error)")
        }
    }
}
