/// Why an expression is not a JSONPath that this server reads.
package struct JSONPathError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}

/// The JSONPath of printer columns (https://kubernetes.io/docs/reference/kubectl/jsonpath/): members, indices, slices,
/// wildcards, recursive descent and filters such as `.status.conditions[?(@.type=="Ready")].status`.
package struct JSONPath: Hashable, Sendable {
    enum Step: Hashable, Sendable {
        case member(String)
        case index(Int)
        case slice(from: Int?, to: Int?)
        case all
        case descent
        case filter(Filter)
    }

    /// `[?(left operator right)]`; without an operator, whether `left` finds anything.
    struct Filter: Hashable, Sendable {
        var left: Operand
        var comparison: Comparison?
        var right: Operand?
    }

    enum Comparison: String, CaseIterable, Hashable, Sendable {
        case equal = "=="
        case notEqual = "!="
        case lessOrEqual = "<="
        case greaterOrEqual = ">="
        case less = "<"
        case greater = ">"
    }

    enum Operand: Hashable, Sendable {
        case path([Step])
        case literal(JSONValue)
    }

    private let steps: [Step]

    /// Reads an expression, with or without the braces and the leading `$`.
    ///
    /// - Throws: ``JSONPathError``.
    package init(_ expression: String) throws {
        var text = expression[...]
        if text.hasPrefix("{"), text.hasSuffix("}") { text = text.dropFirst().dropLast() }
        var parser = JSONPathParser(text)
        steps = try parser.steps()
        guard parser.isAtEnd else {
            throw JSONPathError(description: "unexpected text in the JSONPath \"\(expression)\"")
        }
    }

    /// Everything the expression finds, in document order.
    package func evaluate(_ document: JSONValue) -> [JSONValue] {
        Self.evaluate(steps[...], document)
    }

    private static func evaluate(_ steps: ArraySlice<Step>, _ value: JSONValue) -> [JSONValue] {
        guard let step = steps.first else { return [value] }
        let rest = steps.dropFirst()
        return select(step, value).flatMap { evaluate(rest, $0) }
    }

    private static func select(_ step: Step, _ value: JSONValue) -> [JSONValue] {
        switch (step, value) {
        case (.member(let name), .object(let members)):
            return members[name].map { [$0] } ?? []
        case (.index(let index), .array(let elements)):
            let position = index < 0 ? elements.count + index : index
            return elements.indices.contains(position) ? [elements[position]] : []
        case (.slice(let from, let to), .array(let elements)):
            func clamp(_ bound: Int) -> Int { max(0, min(elements.count, bound < 0 ? elements.count + bound : bound)) }
            let lower = clamp(from ?? 0)
            let upper = clamp(to ?? elements.count)
            return lower < upper ? Array(elements[lower..<upper]) : []
        case (.all, .array(let elements)):
            return elements
        case (.all, .object(let members)):
            return members.sorted { $0.key < $1.key }.map(\.value)
        case (.filter(let filter), .array(let elements)):
            return elements.filter { matches(filter, $0) }
        case (.descent, _):
            return descendants(value)
        default:
            return []
        }
    }

    private static func descendants(_ value: JSONValue) -> [JSONValue] {
        switch value {
        case .object(let members):
            [value] + members.sorted { $0.key < $1.key }.flatMap { descendants($0.value) }
        case .array(let elements): [value] + elements.flatMap { descendants($0) }
        default: [value]
        }
    }

    private static func matches(_ filter: Filter, _ value: JSONValue) -> Bool {
        guard let left = resolve(filter.left, value) else { return false }
        guard let comparison = filter.comparison, let operand = filter.right else { return true }
        guard let right = resolve(operand, value) else { return false }
        switch comparison {
        case .equal: return left == right
        case .notEqual: return left != right
        default: break
        }
        if let a = left.doubleValue, let b = right.doubleValue { return compare(a, b, comparison) }
        if let a = left.stringValue, let b = right.stringValue { return compare(a, b, comparison) }
        return false
    }

    private static func compare<Value: Comparable>(_ left: Value, _ right: Value, _ comparison: Comparison) -> Bool {
        switch comparison {
        case .less: left < right
        case .lessOrEqual: left <= right
        case .greater: left > right
        case .greaterOrEqual: left >= right
        case .equal: left == right
        case .notEqual: left != right
        }
    }

    private static func resolve(_ operand: Operand, _ value: JSONValue) -> JSONValue? {
        switch operand {
        case .literal(let literal): literal
        case .path(let steps): evaluate(steps[...], value).first
        }
    }
}

private struct JSONPathParser {
    private var rest: Substring

    init(_ text: Substring) {
        rest = text
    }

    var isAtEnd: Bool { rest.allSatisfy(\.isWhitespace) }

    private func failure(_ problem: String) -> JSONPathError {
        JSONPathError(description: rest.isEmpty ? "\(problem) at the end" : "\(problem) at \"\(rest)\"")
    }

    mutating func steps() throws -> [JSONPath.Step] {
        var steps: [JSONPath.Step] = []
        if rest.hasPrefix("$") || rest.hasPrefix("@") { rest.removeFirst() }
        while let first = rest.first {
            if rest.hasPrefix("..") {
                rest.removeFirst(2)
                steps.append(.descent)
                if rest.first != "[", rest.first != "." { steps.append(try member()) }
            } else if first == "." {
                rest.removeFirst()
                if rest.isEmpty, steps.isEmpty { break }  // "." alone is the document.
                if rest.first == "[" { continue }
                steps.append(try member())
            } else if first == "[" {
                rest.removeFirst()
                steps.append(try bracket())
            } else {
                break
            }
        }
        return steps
    }

    private mutating func member() throws -> JSONPath.Step {
        if rest.first == "*" {
            rest.removeFirst()
            return .all
        }
        var name = ""
        while let character = rest.first {
            if character == "\\", rest.count > 1 {
                rest.removeFirst()
                name.append(rest.removeFirst())
            } else if ".[]()=!<> ".contains(character) {
                break
            } else {
                name.append(rest.removeFirst())
            }
        }
        guard !name.isEmpty else { throw failure("expected a name") }
        return .member(name)
    }

    private mutating func bracket() throws -> JSONPath.Step {
        let step: JSONPath.Step
        if rest.hasPrefix("?(") {
            rest.removeFirst(2)
            step = .filter(try filter())
            guard rest.first == ")" else { throw failure("expected ')'") }
            rest.removeFirst()
        } else if rest.first == "*" {
            rest.removeFirst()
            step = .all
        } else if rest.first == "'" || rest.first == "\"" {
            step = .member(try quoted())
        } else {
            step = try position()
        }
        guard rest.first == "]" else { throw failure("expected ']'") }
        rest.removeFirst()
        return step
    }

    private mutating func position() throws -> JSONPath.Step {
        let text = rest.prefix { $0 != "]" }
        rest.removeFirst(text.count)
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
        let pieces = text.split(separator: ":", omittingEmptySubsequences: false)
        for (piece, value) in zip(pieces, parts) where !piece.isEmpty && value == nil {
            throw failure("\"\(piece)\" is not an index")
        }
        switch parts.count {
        case 1:
            guard let index = parts[0] else { throw failure("expected an index") }
            return .index(index)
        case 2: return .slice(from: parts[0], to: parts[1])
        default: throw failure("slices with a step are not read")
        }
    }

    private mutating func filter() throws -> JSONPath.Filter {
        let left = try operand()
        skipSpace()
        guard let comparison = JSONPath.Comparison.allCases.first(where: { rest.hasPrefix($0.rawValue) }) else {
            return JSONPath.Filter(left: left, comparison: nil, right: nil)
        }
        rest.removeFirst(comparison.rawValue.count)
        let right = try operand()
        skipSpace()
        return JSONPath.Filter(left: left, comparison: comparison, right: right)
    }

    private mutating func operand() throws -> JSONPath.Operand {
        skipSpace()
        if rest.first == "'" || rest.first == "\"" { return .literal(.string(try quoted())) }
        if rest.first == "@" || rest.first == "$" || rest.first == "." { return .path(try steps()) }
        let word = rest.prefix { !")=!<> ".contains($0) }
        guard !word.isEmpty else { throw failure("expected a value") }
        rest.removeFirst(word.count)
        switch word {
        case "true": return .literal(true)
        case "false": return .literal(false)
        default:
            if let integer = Int64(word) { return .literal(.integer(integer)) }
            if let number = Double(word) { return .literal(.number(number)) }
            return .literal(.string(String(word)))
        }
    }

    private mutating func quoted() throws -> String {
        let quote = rest.removeFirst()
        var text = ""
        while let character = rest.first {
            rest.removeFirst()
            if character == quote { return text }
            if character == "\\", let next = rest.first {
                rest.removeFirst()
                text.append(next)
            } else {
                text.append(character)
            }
        }
        throw failure("unterminated text")
    }

    private mutating func skipSpace() {
        while rest.first?.isWhitespace == true { rest.removeFirst() }
    }
}
