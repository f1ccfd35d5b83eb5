import Settings

/// How long the body of a request may be.
package struct BodySize: Hashable, Sendable {
    /// nil for any length.
    package let bytes: Int?

    /// What `init(_:)` understands, as the rest of a sentence that begins with "must be".
    package static let expected = "a size such as 512k, 8m, 1g, 10Mi or 10MiB, in powers of 1024, or 0 for any"

    /// Reads a number of bytes alone or with `k`, `m` or `g` (as nginx writes them), `Ki`, `Mi` or `Gi` (as Kubernetes
    /// does), or what `ByteCountText` reads; `0` for any length.
    package init?(_ text: String) {
        let short = ["k": "KiB", "m": "MiB", "g": "GiB", "Ki": "KiB", "Mi": "MiB", "Gi": "GiB"]
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = String(text.dropFirst(digits.count))
        guard let number = ByteCountText.parse(digits + (short[unit] ?? unit)) else { return nil }
        bytes = number > 0 ? number : nil
    }
}
