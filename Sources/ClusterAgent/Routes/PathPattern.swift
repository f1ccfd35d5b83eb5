/// Paths that ingress-nginx reads as regular expressions, and what of them the gateway can serve.
///
/// The gateway compares paths by segments. It serves the literal stem of a pattern as a prefix, which covers at least
/// what the pattern does; the ingress controller behind it does the final matching.
///
/// - `/api(/|$)(.*)`, `/api/(.*)` and `/api$` are served as `/api`: the stem ends where a segment does.
/// - `/foo.*` and `/foo/?(.*)` are served as `/`: the segment may go on, so it is left out.
/// - `/a|/b` and `/.*` are served as `/`: they have no stem.
/// - `/v1/user\.json` is served as `/v1/user.json`.
/// - `/favicon.ico` means itself: dots alone make no pattern.
///
/// ingress-nginx disregards case in patterns; here letters count as they are written.
package enum PathPattern {
    /// Whether ingress-nginx reads the paths of an Ingress with these annotations as patterns.
    package static func isEnabled(by annotations: [String: String]?) -> Bool {
        guard let annotations else { return false }
        if let flag = annotations["nginx.ingress.kubernetes.io/use-regex"], truths.contains(flag) { return true }
        return annotations["nginx.ingress.kubernetes.io/rewrite-target"]?.isEmpty == false
    }

    /// What ingress-nginx takes for true.
    private static let truths: Set<String> = ["1", "t", "T", "true", "True", "TRUE"]

    /// The prefix that covers a pattern, or `nil` where the path means itself.
    package static func stem(of path: String) -> String? {
        let text = Array(path.unicodeScalars)
        guard text.contains(where: { special.contains($0) && $0 != "." }) else { return nil }
        guard !hasAlternatives(text) else { return "/" }
        var literal = String.UnicodeScalarView()
        var index = 0
        while index < text.count {
            var scalar = text[index]
            var width = 1
            if scalar == "\\" {
                // Before a letter or digit it makes a class or a reference; before anything else it makes it literal.
                guard index + 1 < text.count, !isAlphanumeric(text[index + 1]) else { break }
                scalar = text[index + 1]
                width = 2
            } else if special.contains(scalar) {
                break
            }
            // What need not be there is no part of the stem.
            if index + width < text.count, optional.contains(text[index + width]) { break }
            literal.append(scalar)
            index += width
        }
        var stem = String(literal)
        if index < text.count, !endsSegment(text[index...]) {
            while let last = stem.unicodeScalars.last, last != "/" { stem.unicodeScalars.removeLast() }
        }
        while stem.unicodeScalars.last == "/" { stem.unicodeScalars.removeLast() }
        return stem.isEmpty ? "/" : stem
    }

    private static let special = Set(".^$*+?()[]{}|\\".unicodeScalars)
    private static let optional = Set("*?{".unicodeScalars)

    private static func isAlphanumeric(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9": true
        default: false
        }
    }

    /// Whether the pattern is a choice at its top level; then nothing is common to what it covers.
    private static func hasAlternatives(_ text: [Unicode.Scalar]) -> Bool {
        var depth = 0
        var isInClass = false
        var isEscaped = false
        for scalar in text {
            if isEscaped {
                isEscaped = false
                continue
            }
            switch scalar {
            case "\\": isEscaped = true
            case "[": isInClass = true
            case "]": isInClass = false
            case "(" where !isInClass: depth += 1
            case ")" where !isInClass: depth -= 1
            case "|" where !isInClass && depth == 0: return true
            default: break
            }
        }
        return false
    }

    /// Whether what follows the stem starts with the end of the path, or with a slash or the end of the path.
    private static func endsSegment(_ rest: ArraySlice<Unicode.Scalar>) -> Bool {
        boundaries.contains { boundary in
            guard rest.starts(with: boundary) else { return false }
            let next = rest.dropFirst(boundary.count).first
            return next.map { !optional.contains($0) } ?? true
        }
    }

    private static let boundaries = [
        "$", "(/|$)", "($|/)", "(?:/|$)", "(?:$|/)", "(/.*|$)", "($|/.*)", "(/.*)?$", "/?$",
    ].map { Array($0.unicodeScalars) }
}
