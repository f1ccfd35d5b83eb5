package import TunnelProtocol

/// The name of one request, the same in the client's, the gateway's and the application's hands: `X-Request-Id`.
package struct RequestID: Hashable, Sendable {
    package let text: String
    /// Whether the client gave it, and it passes as it came.
    package let isClients: Bool

    /// Whether a value may go into logs, pages and other fields as it is: up to 128 letters, digits and some signs that
    /// mean nothing there.
    static func isSound(_ value: UnsafeRawBufferPointer) -> Bool {
        (1...128).contains(value.count)
            && value.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                    UInt8(ascii: ":"), UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: "="), UInt8(ascii: "@"):
                    true
                default: false
                }
            }
    }
}

/// Names the requests of one connection: a random start, counted on, so that the system is asked for chance once.
package struct RequestIDSource: Sendable {
    private var next: (high: UInt64, low: UInt64)?

    package init() {}

    /// The client's name for the request if there is exactly one and it is sound, else a new one.
    package mutating func id(for fields: HeaderFields) -> RequestID {
        var found = 0
        var given: String?
        fields.forEachField { field in
            guard FieldKind(field.name) == .requestID else { return }
            found += 1
            if RequestID.isSound(field.value) { given = field.valueText }
        }
        if found == 1, let given { return RequestID(text: given, isClients: true) }
        return make()
    }

    /// 32 hexadecimal digits.
    package mutating func make() -> RequestID {
        let id = next ?? (.random(in: .min ... .max), .random(in: .min ... .max))
        next = (id.high, id.low &+ 1)
        let text = String(unsafeUninitializedCapacity: 32) { digits in
            HexDigits.write(id.high, to: digits, at: 0)
            HexDigits.write(id.low, to: digits, at: 16)
            return 32
        }
        return RequestID(text: text, isClients: false)
    }
}
