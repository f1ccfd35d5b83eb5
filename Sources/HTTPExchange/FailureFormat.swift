package import TunnelProtocol

/// How a failure is told: to programs, or to people with a browser.
package enum FailureFormat: Hashable, Sendable {
    /// `application/problem+json` (RFC 9457).
    case problem
    /// `text/html`.
    case page
    /// As a server of gRPC answers a call that fails before its first message.
    case grpc

    /// gRPC for a call of gRPC; otherwise by the request's `Accept` fields (RFC 9110 §12.5.1).
    ///
    /// Of two that are as welcome the one that is named more precisely is taken, and the problem document where neither
    /// is: so a page goes to whoever asks for one, and not to what takes anything.
    package init(acceptedBy fields: HeaderFields) {
        guard !GRPCStatus.isCall(fields) else {
            self = .grpc
            return
        }
        let ranges = fields["accept"].flatMap { $0.split(separator: ",") }.compactMap { MediaRange($0) }
        func welcome(_ subtypes: [String], of type: String) -> Welcome {
            subtypes.map { subtype in
                // The most precise range that fits decides, whatever the others say.
                ranges.compactMap { $0.welcome(type, subtype) }
                    .max { ($0.precision, $0.weight) < ($1.precision, $1.weight) } ?? Welcome(weight: 0, precision: 0)
            }.reduce(Welcome(weight: 0, precision: 0), max)
        }
        let page = welcome(["html"], of: "text")
        let problem = welcome(["problem+json", "json"], of: "application")
        self = page.weight > 0 && page > problem ? .page : .problem
    }
}

/// How welcome a media type is.
private struct Welcome: Comparable {
    /// In thousandths.
    var weight: Int
    /// 3 for a type that is named, 2 for `type/*`, 1 for `*/*`.
    var precision: Int

    static func < (left: Self, right: Self) -> Bool {
        (left.weight, left.precision) < (right.weight, right.precision)
    }
}

/// One element of `Accept`.
private struct MediaRange {
    private var type: String
    private var subtype: String
    private var weight = 1000

    /// `nil` for what is none, or whose weight cannot be read.
    init?(_ text: Substring) {
        let parts = text.split(separator: ";", omittingEmptySubsequences: false).map { $0.trimmed.lowercased() }
        let names = parts[0].split(separator: "/", omittingEmptySubsequences: false)
        guard names.count == 2, !names[0].isEmpty, !names[1].isEmpty else { return nil }
        type = String(names[0])
        subtype = String(names[1])
        for parameter in parts.dropFirst() where parameter.hasPrefix("q=") {
            guard let weight = Self.weight(parameter.dropFirst(2)) else { return nil }
            self.weight = weight
        }
    }

    func welcome(_ type: String, _ subtype: String) -> Welcome? {
        switch (self.type, self.subtype) {
        case (type, subtype): Welcome(weight: weight, precision: 3)
        case (type, "*"): Welcome(weight: weight, precision: 2)
        case ("*", "*"): Welcome(weight: weight, precision: 1)
        default: nil
        }
    }

    /// `0`, `1`, or with up to three decimals, and no more than 1 (RFC 9110 §12.4.2); in thousandths.
    private static func weight(_ text: Substring) -> Int? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let decimals = parts.count > 1 ? String(parts[1]) : ""
        guard parts[0] == "0" || parts[0] == "1", decimals.utf8.count <= 3,
            decimals.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let thousandths = Int(decimals + String(repeating: "0", count: 3 - decimals.utf8.count))
        else { return nil }
        let weight = (parts[0] == "1" ? 1000 : 0) + thousandths
        return weight <= 1000 ? weight : nil
    }
}

extension Substring {
    /// Without spaces and tabs around it.
    fileprivate var trimmed: Substring {
        let isSpace = { (character: Character) in character == " " || character == "\t" }
        var rest = drop(while: isSpace)
        while let last = rest.last, isSpace(last) { rest.removeLast() }
        return rest
    }
}
