/// Reads label selectors by the grammar of `kubectl -l`. The words `in` and `notin` are operators after a key, and names
/// elsewhere.
struct LabelSelectorParser {
    private enum Token: Hashable {
        case word(String)
        case equal, notEqual, not, open, close, comma, greater, less
        case end

        var shown: String {
            switch self {
            case .word(let text): "\"\(text)\""
            case .equal: "\"=\""
            case .notEqual: "\"!=\""
            case .not: "\"!\""
            case .open: "\"(\""
            case .close: "\")\""
            case .comma: "\",\""
            case .greater: "\">\""
            case .less: "\"<\""
            case .end: "the end"
            }
        }
    }

    private let tokens: [(token: Token, position: Int)]
    private var next = 0

    init(_ text: String) { tokens = Self.tokens(of: Array(text)) }

    mutating func parse() throws(LabelSelectorError) -> [LabelSelector.Requirement] {
        var requirements: [LabelSelector.Requirement] = []
        if current == .end { return requirements }
        while true {
            requirements.append(try requirement())
            switch current {
            case .end: return requirements
            case .comma: advance()
            default: throw unexpected("a comma or the end")
            }
        }
    }

    private mutating func requirement() throws(LabelSelectorError) -> LabelSelector.Requirement {
        if current == .not {
            advance()
            return .notExists(try key())
        }
        let key = try key()
        switch current {
        case .comma, .end: return .exists(key)
        case .word("in"):
            advance()
            return .isIn(key, try values())
        case .word("notin"):
            advance()
            return .notIn(key, try values())
        case .equal:
            advance()
            return .isIn(key, [try valueOrNothing()])
        case .notEqual:
            advance()
            return .notIn(key, [try valueOrNothing()])
        case .greater:
            advance()
            return .greater(key, try number())
        case .less:
            advance()
            return .less(key, try number())
        case .word, .not, .open, .close: throw unexpected("one of =, ==, !=, in, notin, <, > or a comma")
        }
    }

    private mutating func key() throws(LabelSelectorError) -> String {
        guard case .word(let text) = current else { throw unexpected("a label's key") }
        guard ObjectNames.isQualifiedName(text) else { throw wrong("has \"\(text)\", which is not a label's key") }
        advance()
        return text
    }

    /// The empty value may be written as nothing at all.
    private mutating func valueOrNothing() throws(LabelSelectorError) -> String {
        switch current {
        case .word: return try value()
        case .comma, .close, .end: return ""
        default: throw unexpected("a label's value")
        }
    }

    private mutating func value() throws(LabelSelectorError) -> String {
        guard case .word(let text) = current else { throw unexpected("a label's value") }
        guard ObjectNames.isLabelValue(text) else { throw wrong("has \"\(text)\", which is not a label's value") }
        advance()
        return text
    }

    private mutating func number() throws(LabelSelectorError) -> Int64 {
        guard case .word(let text) = current else { throw unexpected("a whole number") }
        guard let number = Int64(text) else { throw wrong("has \"\(text)\", which is not a whole number") }
        advance()
        return number
    }

    private mutating func values() throws(LabelSelectorError) -> Set<String> {
        guard current == .open else { throw unexpected("\"(\"") }
        advance()
        if current == .close { throw unexpected("at least one value") }
        var values: Set<String> = []
        while true {
            values.insert(try valueOrNothing())
            switch current {
            case .comma: advance()
            case .close:
                advance()
                return values
            default: throw unexpected("\",\" or \")\"")
            }
        }
    }

    // MARK: Tokens

    private var current: Token { tokens[next].token }

    private mutating func advance() { next += 1 }

    private func unexpected(_ expected: String) -> LabelSelectorError {
        wrong("has \(current.shown) where \(expected) belongs")
    }

    private func wrong(_ reason: String) -> LabelSelectorError {
        LabelSelectorError(position: tokens[next].position, reason: reason)
    }

    private static func tokens(of text: [Character]) -> [(token: Token, position: Int)] {
        var tokens: [(token: Token, position: Int)] = []
        var index = 0
        func isNext(_ character: Character) -> Bool { index + 1 < text.count && text[index + 1] == character }
        while index < text.count {
            let start = index
            let token: Token
            switch text[index] {
            case " ", "\t", "\r", "\n", "\r\n":
                index += 1
                continue
            case "=":
                index += isNext("=") ? 1 : 0
                token = .equal
            case "!":
                token = isNext("=") ? .notEqual : .not
                index += token == .notEqual ? 1 : 0
            case "(": token = .open
            case ")": token = .close
            case ",": token = .comma
            case ">": token = .greater
            case "<": token = .less
            default:
                while index + 1 < text.count, !Self.special.contains(text[index + 1]) { index += 1 }
                token = .word(String(text[start...index]))
            }
            tokens.append((token, start + 1))
            index += 1
        }
        tokens.append((.end, text.count + 1))
        return tokens
    }

    private static let special: Set<Character> = [
        " ", "\t", "\r", "\n", "\r\n", "=", "!", "(", ")", ",", ">", "<",
    ]
}
