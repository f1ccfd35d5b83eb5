/// Durations as people write them: one or more whole numbers with a unit, from the largest unit to the smallest:
/// `500ms`, `30s`, `2m`, `1h`, `1h30m`.
package enum DurationText {
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]

    /// Nil for anything else, also for a bare number: its unit would be a guess.
    package static func parse(_ text: String) -> Duration? {
        var rest = text[...]
        var smallestUsed = Int64.max
        var total: Int64 = 0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            let name = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(name.count)
            guard let number = Int64(digits), let unit = units.first(where: { $0.name == name }),
                unit.milliseconds < smallestUsed
            else { return nil }
            smallestUsed = unit.milliseconds
            let (part, tooLarge) = number.multipliedReportingOverflow(by: unit.milliseconds)
            let (sum, sumTooLarge) = total.addingReportingOverflow(part)
            guard !tooLarge, !sumTooLarge else { return nil }
            total = sum
        }
        return .milliseconds(total)
    }

    /// The shortest text that `parse` reads back, whole milliseconds.
    package static func format(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        var rest = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        var text = ""
        for unit in units where rest >= unit.milliseconds {
            text += "\(rest / unit.milliseconds)\(unit.name)"
            rest %= unit.milliseconds
        }
        return text.isEmpty ? "0s" : text
    }
}

/// Numbers of bytes as people write them: a whole number and `B`, `KiB`, `MiB` or `GiB` (powers of 1024); a number
/// alone counts bytes.
package enum ByteCountText {
    private static let units: [(name: String, bytes: Int)] = [
        ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1), ("", 1),
    ]

    /// Nil for anything else, also for `MB`, which some take for a million bytes.
    package static func parse(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let name = text.dropFirst(digits.count)
        guard let number = Int(digits), let unit = units.first(where: { $0.name == name }) else { return nil }
        let (bytes, tooLarge) = number.multipliedReportingOverflow(by: unit.bytes)
        return tooLarge ? nil : bytes
    }

    /// In the largest unit that needs no fraction.
    package static func format(_ bytes: Int) -> String {
        let unit = units.first { bytes >= $0.bytes && bytes.isMultiple(of: $0.bytes) } ?? ("B", 1)
        return "\(bytes / unit.bytes)\(unit.name)"
    }
}
