/// Objects as a `meta.k8s.io/v1` Table, for clients that ask for one (`kubectl get`).
package struct TableRenderer: Sendable {
    /// How much of each object comes with its row.
    package enum IncludedObject: String, Sendable {
        case none = "None"
        case metadata = "Metadata"
        case object = "Object"
    }

    package let columns: [TableColumn]
    package let included: IncludedObject

    package init(columns: [TableColumn], included: IncludedObject) {
        self.columns = columns
        self.included = included
    }

    /// The Table of these objects.
    ///
    /// - Parameters:
    ///   - metadata: The list's metadata.
    ///   - withColumns: Whether the columns are described; a watch describes them in its first Table only.
    package func table(
        _ objects: [JSONValue], metadata: JSONValue = [:], now: Timestamp, withColumns: Bool = true
    ) -> JSONValue {
        let definitions: [JSONValue] = columns.map { column in
            [
                "name": .string(column.name), "type": .string(column.type), "format": .string(column.format),
                "description": .string(column.description), "priority": .integer(column.priority),
            ]
        }
        return [
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": withColumns ? .array(definitions) : .null,
            "rows": .array(objects.map { row($0, now: now) }),
        ]
    }

    private func row(_ object: JSONValue, now: Timestamp) -> JSONValue {
        var row: JSONValue = ["cells": .array(columns.map { $0.cell(object, now) })]
        switch included {
        case .none: break
        case .metadata: row["object"] = Self.partialMetadata(object)
        case .object: row["object"] = object
        }
        return row
    }

    /// The object reduced to its metadata.
    package static func partialMetadata(_ object: JSONValue) -> JSONValue {
        [
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": object["metadata"] ?? [:],
        ]
    }
}
