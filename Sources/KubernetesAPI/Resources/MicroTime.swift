package import struct Foundation.Date

/// `metav1.MicroTime`: an instant written with exactly six fractional digits.
package struct MicroTime: Codable, Hashable, Sendable, Comparable {
    package var date: Date

    package init(_ date: Date) { self.date = date }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let date = RFC3339.date(from: text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an RFC 3339 time: \(text)")
        }
        self.date = date
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(RFC3339.string(from: date, fractionDigits: 6))
    }

    package static func < (lhs: Self, rhs: Self) -> Bool { lhs.date < rhs.date }
}
