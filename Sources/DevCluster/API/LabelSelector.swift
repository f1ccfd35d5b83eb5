/// The `labelSelector` query parameter: equality-based and set-based requirements, all of which must hold.
package struct LabelSelector: Hashable, Sendable {
    enum Requirement: Hashable, Sendable {
        case exists(String)
        case notExists(String)
        case isIn(String, Set<String>)
        case notIn(String, Set<String>)
        case greater(String, Int64)
        case less(String, Int64)
    }

    private let requirements: [Requirement]

    /// Selects everything.
    package static let everything = LabelSelector(requirements: [])

    package var isEmpty: Bool { requirements.isEmpty }

    private init(requirements: [Requirement]) {
        self.requirements = requirements
    }

    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
    ///
    /// - Throws: ``APIStatus`` 400.
    package init(_ text: String) throws(APIStatus) {
        var requirements: [Requirement] = []
        for part in Self.split(text) {
            let trimmed = Self.trim(part)
            if trimmed.isEmpty { continue }
            guard let requirement = Self.requirement(trimmed) else {
                throw .badRequest("unable to parse requirement: \"\(trimmed)\" is not a label selector")
            }
            requirements.append(requirement)
        }
        self.requirements = requirements
    }

    /// Whether an object with these labels is selected.
    package func matches(_ labels: [String: JSONValue]) -> Bool {
        requirements.allSatisfy { requirement in
            switch requirement {
            case .exists(let key): labels[key] != nil
            case .notExists(let key): labels[key] == nil
            case .isIn(let key, let values): labels[key]?.stringValue.map(values.contains) ?? false
            case .notIn(let key, let values): !(labels[key]?.stringValue.map(values.contains) ?? false)
            case .greater(let key, let bound):
                labels[key]?.stringValue.flatMap { Int64($0) }.map { $0 > bound } ?? false
            case .less(let key, let bound): labels[key]?.stringValue.flatMap { Int64($0) }.map { $0 < bound } ?? false
            }
        }
    }

    private static func trim(_ text: Substring) -> String {
        String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    /// Splits at the commas outside parentheses.
    private static func split(_ text: String) -> [Substring] {
        var parts: [Substring] = []
        var depth = 0
        var start = text.startIndex
        for index in text.indices {
            switch text[index] {
            case "(": depth += 1
            case ")": depth -= 1
            case "," where depth == 0:
                parts.append(text[start..<index])
                start = text.index(after: index)
            default: break
            }
        }
        parts.append(text[start...])
        return parts
    }

    private static func requirement(_ text: String) -> Requirement? {
        if text.hasSuffix(")"), let open = text.firstIndex(of: "(") {
            let words = text[..<open].split(separator: " ")
            guard words.count == 2, isKey(String(words[0])) else { return nil }
            let inside = text[text.index(after: open)...].dropLast()
            let values = Set(inside.split(separator: ",", omittingEmptySubsequences: false).map { trim($0) })
            switch words[1] {
            case "in": return .isIn(String(words[0]), values)
            case "notin": return .notIn(String(words[0]), values)
            default: return nil
            }
        }
        for symbol in ["!=", "==", "=", ">", "<"] {
            guard let range = text.firstRange(of: symbol) else { continue }
            let key = trim(text[..<range.lowerBound])
            let value = trim(text[range.upperBound...])
            guard isKey(key) else { return nil }
            switch symbol {
            case "!=": return .notIn(key, [value])
            case ">": return Int64(value).map { .greater(key, $0) }
            case "<": return Int64(value).map { .less(key, $0) }
            default: return .isIn(key, [value])
            }
        }
        if text.hasPrefix("!") {
            let key = trim(text.dropFirst())
            return isKey(key) ? .notExists(key) : nil
        }
        return isKey(text) ? .exists(text) : nil
    }

    private static func isKey(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { ObjectNames.isLabelKeyByte($0) }
    }
}
