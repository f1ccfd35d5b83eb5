package import TunnelProtocol

/// What becomes of a request's place in a distributed trace (W3C Trace Context): `traceparent` and `tracestate`.
///
/// A sound `traceparent` passes untouched, and `tracestate` with it. Where there is none, or one that is malformed, a new
/// trace is begun only where a setting says so: its flag would take the place of the application's own choice of which
/// requests are recorded.
package enum TracePolicy: String, CaseIterable, Hashable, Sendable {
    /// No trace is begun; what the client sent passes as it is.
    case pass
    /// One is begun that asks to be recorded (flags 01).
    case sampled
    /// One is begun that does not ask for it (flags 00): it gives the application's log a name to write.
    case unsampled
}

/// A request's `traceparent`.
package struct TraceContext: Hashable, Sendable {
    /// 32 hexadecimal digits in lower case, not all zero.
    package let traceID: String
    /// The field's value.
    package let parent: String

    /// Reads the one `traceparent` of a request; `nil` where there is none, more than one, or one that is malformed
    /// (Trace Context §3.2, §4.3).
    package init?(_ fields: HeaderFields) {
        var count = 0
        var found: (id: String, parent: String)?
        fields.forEachField { field in
            guard field.name.count == 11, FieldKind(field.name) == .traceParent else { return }
            count += 1
            guard Self.isSound(field.value) else { return }
            let id = UnsafeRawBufferPointer(rebasing: field.value[3..<35])
            found = (String(decoding: id, as: UTF8.self), field.valueText)
        }
        guard count == 1, let found else { return nil }
        (traceID, parent) = found
    }

    init(traceID: String, parent: String) {
        self.traceID = traceID
        self.parent = parent
    }

    /// `version-trace-parent-flags`; versions to come may say more behind another hyphen.
    static func isSound(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value.count >= 55, value[2] == 0x2D, value[35] == 0x2D, value[52] == 0x2D else { return false }
        func isHex(_ range: Range<Int>) -> Bool {
            value[range].allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        }
        func isZero(_ range: Range<Int>) -> Bool { value[range].allSatisfy { $0 == 0x30 } }
        guard isHex(0..<2), isHex(3..<35), isHex(36..<52), isHex(53..<55), !isZero(3..<35), !isZero(36..<52) else {
            return false
        }
        switch (value[0], value[1]) {
        case (0x30, 0x30): return value.count == 55
        case (0x66, 0x66): return false
        default: return value.count == 55 || value[55] == 0x2D
        }
    }
}

/// Begins traces for the requests of one connection; asks the system for chance once.
package struct TraceSource: Sendable {
    private var random: (state: UInt64, salt: UInt64)?

    package init() {}

    /// A trace of its own for one request.
    package mutating func begin(sampled: Bool) -> TraceContext {
        var random = random ?? (.random(in: .min ... .max), .random(in: .min ... .max))
        let high = Self.next(&random.state) ^ random.salt
        // All zero means nothing in either place.
        let low = Self.next(&random.state) | 1
        let parent = Self.next(&random.state) | 1
        self.random = random
        let text = String(unsafeUninitializedCapacity: 55) { bytes in
            for index in [2, 35, 52] { bytes[index] = 0x2D }
            for index in [0, 1, 53] { bytes[index] = 0x30 }
            HexDigits.write(high, to: bytes, at: 3)
            HexDigits.write(low, to: bytes, at: 19)
            HexDigits.write(parent, to: bytes, at: 36)
            bytes[54] = sampled ? 0x31 : 0x30
            return 55
        }
        return TraceContext(traceID: String(text.dropFirst(3).prefix(32)), parent: text)
    }

    /// SplitMix64: good enough to keep traces apart, and nothing has to be kept secret here.
    private static func next(_ state: inout UInt64) -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
