/// How the parts of a type merge: which lists are maps in disguise, which maps are replaced whole.
///
/// Server-side apply reads `list` and `isAtomicMap` (`x-kubernetes-list-type`, `x-kubernetes-map-type`); a strategic merge
/// patch reads `strategicKey` (`x-kubernetes-patch-merge-key`). What is not described merges as the real server merges
/// what it has no schema for: maps member by member, lists as a whole.
package struct MergeShape: Hashable, Sendable {
    /// How a list merges in server-side apply.
    package enum List: Hashable, Sendable {
        /// Replaced whole.
        case atomic
        /// Scalars, each there at most once.
        case set
        /// Objects told apart by the named members; `defaults` stand in for members left out.
        case map(keys: [String], defaults: [String: JSONValue])
    }

    package var list: List
    package var isAtomicMap: Bool
    /// The member that tells elements apart in a strategic merge patch; "" for a list of scalars that is merged; nil for a
    /// list that is replaced.
    package var strategicKey: String?
    package var fields: [String: MergeShape]
    private var elementShape: [MergeShape]

    package init(
        list: List = .atomic, isAtomicMap: Bool = false, strategicKey: String? = nil,
        fields: [String: MergeShape] = [:],
        element: MergeShape? = nil
    ) {
        self.list = list
        self.isAtomicMap = isAtomicMap
        self.strategicKey = strategicKey
        self.fields = fields
        self.elementShape = element.map { [$0] } ?? []
    }

    /// A part with no description.
    package static let plain = MergeShape()

    /// An object with described members.
    package static func object(_ fields: [String: MergeShape]) -> MergeShape {
        MergeShape(fields: fields)
    }

    /// A list of objects told apart by `keys`.
    ///
    /// - Parameter strategic: The merge key of a strategic merge patch, where it is not the first of `keys`.
    package static func listMap(
        _ keys: [String], defaults: [String: JSONValue] = [:], strategic: String? = nil,
        _ fields: [String: MergeShape] = [:]
    ) -> MergeShape {
        MergeShape(
            list: .map(keys: keys, defaults: defaults), strategicKey: strategic ?? keys.first, element: .object(fields))
    }

    /// A list that server-side apply replaces whole and a strategic merge patch merges by `key`.
    package static func atomicList(strategic key: String) -> MergeShape {
        MergeShape(strategicKey: key)
    }

    /// A list of scalars that are merged.
    package static let set = MergeShape(list: .set, strategicKey: "")

    /// A map that is replaced whole.
    package static let atomicMap = MergeShape(isAtomicMap: true)

    /// A map from any name to the given shape.
    package static func map(of element: MergeShape) -> MergeShape {
        MergeShape(element: element)
    }

    /// The shape of a member.
    package func field(_ name: String) -> MergeShape {
        fields[name] ?? elementShape.first ?? .plain
    }

    /// The shape of an element of this list.
    package var element: MergeShape { elementShape.first ?? .plain }

    /// How one element of this list is told apart, or nil for a list that is atomic (or an element that cannot be).
    package func pathElement(of value: JSONValue) -> PathElement? {
        switch list {
        case .atomic:
            return nil
        case .set:
            return .value(value)
        case .map(let keys, let defaults):
            guard case .object(let members) = value else { return nil }
            var key: [String: JSONValue] = [:]
            for name in keys {
                // A key left out of an associative list's element counts as null unless it has a default.
                if let part = members[name] ?? defaults[name] { key[name] = part }
            }
            return key.isEmpty ? nil : .key(key)
        }
    }

    /// Whether a list of this shape with these elements merges element by element.
    package func isGranular(_ elements: [JSONValue]) -> Bool {
        if case .atomic = list { return false }
        return elements.allSatisfy { pathElement(of: $0) != nil }
    }
}
