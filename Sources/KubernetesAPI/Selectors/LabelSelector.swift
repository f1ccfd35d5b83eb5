/// A label selector as `kubectl -l` and the `labelSelector` query parameter spell it.
///
/// | written | selects objects |
/// |---|---|
/// | `key=value`, `key==value` | whose label has the value |
/// | `key!=value` | whose label has another value, or that lack it |
/// | `key in (a, b)` | whose label has one of the values |
/// | `key notin (a, b)` | whose label has none of the values, or that lack it |
/// | `key` | that have the label |
/// | `!key` | that lack the label |
/// | `key>1`, `key<5` | whose label is a whole number above or below |
///
/// Requirements are separated by commas, and all of them must hold. The empty text selects everything.
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
    /// As it was written.
    private let text: String

    /// Selects everything.
    package static let everything = LabelSelector(requirements: [], text: "")

    /// Whether it selects everything.
    package var isEmpty: Bool { requirements.isEmpty }

    private init(requirements: [Requirement], text: String) {
        self.requirements = requirements
        self.text = text
    }

    /// Reads a selector.
    package init(_ text: String) throws(LabelSelectorError) {
        var parser = LabelSelectorParser(text)
        self.init(requirements: try parser.parse(), text: text)
    }

    /// Whether an object with these labels is selected.
    package func matches(_ labels: [String: String]?) -> Bool { matches { labels?[$0] } }

    /// Whether an object is selected whose labels `value` looks up.
    package func matches(_ value: (String) -> String?) -> Bool {
        requirements.allSatisfy { requirement in
            switch requirement {
            case .exists(let key): value(key) != nil
            case .notExists(let key): value(key) == nil
            case .isIn(let key, let values): value(key).map(values.contains) ?? false
            case .notIn(let key, let values): !(value(key).map(values.contains) ?? false)
            case .greater(let key, let bound): value(key).flatMap { Int64($0) }.map { $0 > bound } ?? false
            case .less(let key, let bound): value(key).flatMap { Int64($0) }.map { $0 < bound } ?? false
            }
        }
    }

    package static func == (lhs: Self, rhs: Self) -> Bool { lhs.requirements == rhs.requirements }

    package func hash(into hasher: inout Hasher) { hasher.combine(requirements) }
}

extension LabelSelector: CustomStringConvertible {
    package var description: String { text }
}

/// Why a text is not a label selector, and where it stops being one.
package struct LabelSelectorError: Error, Hashable, CustomStringConvertible {
    /// Counts characters from 1; one more than there are where the text ends too early.
    package var position: Int
    /// What is wrong, as the rest of a sentence about the selector: "has …".
    package var reason: String

    package init(position: Int, reason: String) {
        self.position = position
        self.reason = reason
    }

    package var description: String { "at character \(position) \(reason)" }
}
