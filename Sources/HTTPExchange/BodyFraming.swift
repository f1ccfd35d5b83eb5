package import TunnelProtocol

/// How long a message's body is, by its head (RFC 9112 §6.3), and how much of it has passed.
///
/// The peer at the other end of a tunnel is not believed: a body longer than announced would be read as the beginning
/// of the next message on a connection that is kept open.
package struct BodyFraming: Hashable, Sendable {
    private enum Length: Hashable {
        case known(remaining: Int)
        case untilEnd
    }

    private var length: Length

    /// - Throws: what is wrong with the head's Content-Length.
    package init(request fields: HeaderFields, endStream: Bool) throws(Invalid) {
        let announced = try fields.contentLength()
        guard !endStream || (announced ?? 0) == 0 else { throw Invalid("the body announced is missing") }
        length = endStream ? .known(remaining: 0) : announced.map { .known(remaining: $0) } ?? .untilEnd
    }

    /// - Parameter method: of the request; the answer to HEAD has no body whatever its fields say.
    package init(response status: UInt16, fields: HeaderFields, method: String) throws(Invalid) {
        let announced = try fields.contentLength()
        if status == 101 {
            // What follows is another protocol's bytes, both ways.
            length = .untilEnd
        } else if method == "HEAD" || status == 204 || status == 304 || status < 200 {
            length = .known(remaining: 0)
        } else {
            length = announced.map { .known(remaining: $0) } ?? .untilEnd
        }
    }

    /// For what has no length.
    package static let untilEnd = BodyFraming(length: .untilEnd)

    private init(length: Length) { self.length = length }

    /// How many bytes are still to come, where that is known.
    package var remaining: Int? { if case .known(let remaining) = length { remaining } else { nil } }

    /// Whether the body is certainly empty.
    package var isEmpty: Bool { length == .known(remaining: 0) }

    /// Bytes of the body passed. `false` if they are more than announced.
    package mutating func pass(_ bytes: Int) -> Bool {
        guard case .known(let remaining) = length else { return true }
        guard bytes <= remaining else { return false }
        length = .known(remaining: remaining - bytes)
        return true
    }

    /// Whether the body may end here.
    package var mayEnd: Bool {
        if case .known(let remaining) = length { remaining == 0 } else { true }
    }

    /// A head whose framing cannot be trusted; `description` says why.
    package struct Invalid: Error, Hashable, CustomStringConvertible {
        package let description: String

        init(_ description: String) { self.description = description }
    }

}

extension HeaderFields {
    /// What `Content-Length` says (RFC 9110 §8.6), `nil` where there is none.
    ///
    /// - Throws: where it is not one number.
    func contentLength() throws(BodyFraming.Invalid) -> Int? {
        var count = 0
        var length: Int?
        forEachField { field in
            guard FieldKind(field.name) == .contentLength else { return }
            count += 1
            length = field.value.decimalNumber
        }
        guard count > 0 else { return nil }
        guard count == 1, let length else { throw BodyFraming.Invalid("its Content-Length is not one number") }
        return length
    }
}

extension UnsafeRawBufferPointer {
    /// The number that these ASCII digits are; `nil` where there is another byte, none, or too many.
    var decimalNumber: Int? {
        guard !isEmpty, count <= 18 else { return nil }
        var number = 0
        for byte in self {
            guard (0x30...0x39).contains(byte) else { return nil }
            number = number * 10 + Int(byte - 0x30)
        }
        return number
    }
}
