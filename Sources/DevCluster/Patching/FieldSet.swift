/// One step from an object to a part of it, as `managedFields` spells it.
package enum PathElement: Hashable, Sendable {
    /// A member of an object: `f:name`.
    case field(String)
    /// The element of an associative list with these key members: `k:{"name":"web"}`.
    case key([String: JSONValue])
    /// The element of a set with this value: `v:"a"`.
    case value(JSONValue)

    /// The FieldsV1 spelling.
    package var serialized: String {
        switch self {
        case .field(let name): "f:\(name)"
        case .key(let members): "k:\(JSONValue.object(members).jsonText)"
        case .value(let value): "v:\(value.jsonText)"
        }
    }

    /// Reads the FieldsV1 spelling; nil for anything else, and for list indices, which nobody writes.
    package init?(serialized text: String) {
        let rest = String(text.dropFirst(2))
        if text.hasPrefix("f:") {
            self = .field(rest)
        } else if text.hasPrefix("k:"), let key = try? JSONValue(parsing: rest), case .object(let members) = key {
            self = .key(members)
        } else if text.hasPrefix("v:"), let value = try? JSONValue(parsing: rest) {
            self = .value(value)
        } else {
            return nil
        }
    }

    /// The spelling in a message to a person: `.spec`, `[name="web"]`.
    package var readable: String {
        switch self {
        case .field(let name): ".\(name)"
        case .key(let members):
            "[" + members.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.jsonText)" }.joined(separator: ",")
                + "]"
        case .value(let value): "[=\(value.jsonText)]"
        }
    }
}

/// A set of paths into an object: who owns what in server-side apply (`fieldsV1`).
package struct FieldSet: Hashable, Sendable {
    /// The paths of length one in the set.
    package private(set) var members: Set<PathElement> = []
    /// Longer paths, by their first element; never holds an empty set.
    package private(set) var children: [PathElement: FieldSet] = [:]

    package init() {}

    package var isEmpty: Bool { members.isEmpty && children.isEmpty }

    package func contains(_ element: PathElement) -> Bool { members.contains(element) }

    package func child(_ element: PathElement) -> FieldSet { children[element] ?? FieldSet() }

    package mutating func insert(_ element: PathElement) {
        members.insert(element)
    }

    /// Puts the paths of `set` below `element`.
    package mutating func insert(_ set: FieldSet, below element: PathElement) {
        guard !set.isEmpty else { return }
        children[element] = children[element].map { $0.union(set) } ?? set
    }

    package func union(_ other: FieldSet) -> FieldSet {
        var result = self
        result.members.formUnion(other.members)
        for (element, set) in other.children { result.insert(set, below: element) }
        return result
    }

    /// The paths of this set that are not, exactly, in the other.
    package func subtracting(_ other: FieldSet) -> FieldSet {
        var result = FieldSet()
        result.members = members.subtracting(other.members)
        for (element, set) in children {
            result.insert(other.children[element].map { set.subtracting($0) } ?? set, below: element)
        }
        return result
    }

    /// The paths that are, exactly, in both.
    package func intersection(_ other: FieldSet) -> FieldSet {
        var result = FieldSet()
        result.members = members.intersection(other.members)
        for (element, set) in children {
            if let match = other.children[element] { result.insert(set.intersection(match), below: element) }
        }
        return result
    }

    /// This set and every object member on the way to one of its paths.
    package var withNamedFieldsAsMembers: FieldSet {
        var result = self
        for (element, set) in children {
            if case .field = element { result.members.insert(element) }
            result.children[element] = set.withNamedFieldsAsMembers
        }
        return result
    }

    /// Without the given path and everything below it.
    package func removing(_ path: [PathElement]) -> FieldSet {
        guard let first = path.first else { return FieldSet() }
        var result = self
        if path.count == 1 {
            result.members.remove(first)
            result.children[first] = nil
        } else if let child = result.children[first]?.removing(Array(path.dropFirst())) {
            result.children[first] = child.isEmpty ? nil : child
        }
        return result
    }

    /// Only the given path and everything below it.
    package func keeping(_ path: [PathElement]) -> FieldSet {
        guard let first = path.first else { return self }
        var result = FieldSet()
        if path.count == 1 {
            if members.contains(first) { result.insert(first) }
            result.insert(child(first), below: first)
        } else {
            result.insert(child(first).keeping(Array(path.dropFirst())), below: first)
        }
        return result
    }

    /// Every path, in a stable order, spelled for a person.
    package var readablePaths: [String] {
        var paths = members.map(\.readable)
        for (element, set) in children { paths += set.readablePaths.map { element.readable + $0 } }
        return paths.sorted()
    }

    /// The `fieldsV1` object.
    package var json: JSONValue {
        var object: [String: JSONValue] = [:]
        for element in members where children[element] == nil { object[element.serialized] = [:] }
        for (element, set) in children {
            var child = set.json
            if members.contains(element) { child["."] = [:] }
            object[element.serialized] = child
        }
        return .object(object)
    }

    /// Reads a `fieldsV1` object; entries that cannot be read are left out.
    package init(json: JSONValue) {
        for (name, value) in json.members {
            guard name != ".", let element = PathElement(serialized: name) else { continue }
            let child = FieldSet(json: value)
            if child.isEmpty || value["."] != nil { members.insert(element) }
            insert(child, below: element)
        }
    }
}

extension FieldSet {
    /// The set of everything in `value`: its leaves, its list elements, its empty containers.
    package init(of value: JSONValue, shape: MergeShape) {
        switch value {
        case .object(let object) where !shape.isAtomicMap:
            for (name, member) in object {
                insertPart(member, at: .field(name), shape: shape.field(name))
            }
        case .array(let elements) where shape.isGranular(elements):
            for element in elements {
                guard let step = shape.pathElement(of: element) else { continue }
                insertPart(element, at: step, shape: shape.element)
                insert(step)
            }
        default:
            break
        }
    }

    private mutating func insertPart(_ value: JSONValue, at step: PathElement, shape: MergeShape) {
        let below = FieldSet(of: value, shape: shape)
        if below.isEmpty { insert(step) } else { insert(below, below: step) }
    }
}

/// Where two versions of an object differ.
package struct FieldComparison: Hashable, Sendable {
    package var added = FieldSet()
    package var modified = FieldSet()
    package var removed = FieldSet()

    /// What is new or has another value.
    package var changed: FieldSet { added.union(modified) }

    /// Compares `old` with `new` part by part, as far as `shape` says that parts are separate.
    package init(from old: JSONValue, to new: JSONValue, shape: MergeShape) {
        switch (old, new) {
        case (.object(let before), .object(let after)) where !shape.isAtomicMap:
            for (name, value) in before {
                compare(value, after[name], at: .field(name), shape: shape.field(name))
            }
            for (name, value) in after where before[name] == nil {
                compare(nil, value, at: .field(name), shape: shape.field(name))
            }
        case (.array(let before), .array(let after)) where shape.isGranular(before) && shape.isGranular(after):
            var old: [PathElement: JSONValue] = [:]
            for element in before { if let step = shape.pathElement(of: element) { old[step] = element } }
            for element in after {
                guard let step = shape.pathElement(of: element) else { continue }
                compare(old.removeValue(forKey: step), element, at: step, shape: shape.element)
            }
            for (step, element) in old { compare(element, nil, at: step, shape: shape.element) }
        default:
            break
        }
    }

    private mutating func compare(_ old: JSONValue?, _ new: JSONValue?, at step: PathElement, shape: MergeShape) {
        switch (old, new) {
        case (let old?, let new?):
            guard old != new else { return }
            if Self.isGranular(old, new, shape) {
                let inner = FieldComparison(from: old, to: new, shape: shape)
                added.insert(inner.added, below: step)
                modified.insert(inner.modified, below: step)
                removed.insert(inner.removed, below: step)
            } else {
                modified.insert(step)
                removed.insert(FieldSet(of: old, shape: shape), below: step)
                added.insert(FieldSet(of: new, shape: shape), below: step)
            }
        case (nil, let new?):
            Self.insertWhole(new, at: step, shape: shape, into: &added)
        case (let old?, nil):
            Self.insertWhole(old, at: step, shape: shape, into: &removed)
            removed.insert(step)
        case (nil, nil):
            break
        }
    }

    private static func isGranular(_ old: JSONValue, _ new: JSONValue, _ shape: MergeShape) -> Bool {
        switch (old, new) {
        case (.object, .object): !shape.isAtomicMap
        case (.array(let before), .array(let after)): shape.isGranular(before) && shape.isGranular(after)
        default: false
        }
    }

    private static func insertWhole(
        _ value: JSONValue, at step: PathElement, shape: MergeShape, into set: inout FieldSet
    ) {
        let below = FieldSet(of: value, shape: shape)
        if below.isEmpty { set.insert(step) } else { set.insert(below, below: step) }
        if case .field = step { return }
        set.insert(step)
    }
}
