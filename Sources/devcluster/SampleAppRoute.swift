import NIOCore

/// What a request to the sample application asks for.
enum SampleAppRoute: Equatable {
    case greeting
    case headers
    case bytes(Int)
    case checksum
    case chunks(count: Int, interval: TimeAmount)
    case status(Int)
    case delay(TimeAmount)
    case other

    init(target: String) {
        let parts = target.split(separator: "?", maxSplits: 1)
        let segments = (parts.first ?? "/").split(separator: "/")
        var query: [Substring: Int] = [:]
        for pair in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1)
            if sides.count == 2, let value = Int(sides[1]) { query[sides[0]] = value }
        }
        let number = segments.count == 2 ? Int(segments[1]).flatMap { $0 < 0 ? nil : $0 } : nil
        switch (segments.first, number) {
        case (nil, _): self = .greeting
        case ("headers", _): self = .headers
        case ("bytes", let count?): self = .bytes(count)
        case ("checksum", _): self = .checksum
        case ("chunks", _):
            self = .chunks(
                count: max(0, query["count"] ?? 5), interval: .milliseconds(Int64(max(0, query["interval"] ?? 100))))
        case ("status", let code?) where (200...599).contains(code): self = .status(code)
        case ("delay", let milliseconds?): self = .delay(.milliseconds(Int64(milliseconds)))
        default: self = .other
        }
    }
}
