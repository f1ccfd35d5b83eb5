/// One column of `kubectl get`.
package struct TableColumn: Sendable {
    /// A cell from the served object and the time now.
    package typealias Cell = @Sendable (_ object: JSONValue, _ now: Timestamp) -> JSONValue

    package var name: String
    package var type: String
    package var format: String
    package var description: String
    /// 0 is always shown, more only by `-o wide`.
    package var priority: Int64
    package var cell: Cell

    package init(
        _ name: String, type: String = "string", format: String = "", description: String = "", priority: Int64 = 0,
        cell: @escaping Cell
    ) {
        self.name = name
        self.type = type
        self.format = format
        self.description = description
        self.priority = priority
        self.cell = cell
    }

    /// A column of text made from the object alone.
    package static func text(
        _ name: String, priority: Int64 = 0, _ text: @escaping @Sendable (JSONValue) -> String
    ) -> TableColumn {
        TableColumn(name, priority: priority) { object, _ in .string(text(object)) }
    }

    /// `metadata.name`.
    package static let name = TableColumn("Name", format: "name", description: "Name of the object") { object, _ in
        .string(object.text("metadata", "name"))
    }

    /// The time since `metadata.creationTimestamp`.
    package static let age = TableColumn("Age", description: "Time since the object was created") { object, now in
        .string(TableColumn.age(object.text("metadata", "creationTimestamp"), now))
    }

    /// What a type without columns of its own shows.
    package static let nameAndAge = [name, age]

    /// The time since an RFC 3339 time, `<unknown>` where there is none.
    static func age(_ time: String, _ now: Timestamp) -> String {
        Timestamp(time).map { now.age(since: $0) } ?? "<unknown>"
    }

    /// The column of a CustomResourceDefinition's `additionalPrinterColumns`.
    ///
    /// - Throws: ``JSONPathError``.
    package static func custom(_ definition: JSONValue) throws -> TableColumn {
        let path = try JSONPath(definition.text("jsonPath"))
        let type = definition.text("type")
        return TableColumn(
            definition.text("name"), type: type, format: definition.text("format"),
            description: definition.text("description"), priority: definition.integer("priority") ?? 0
        ) { object, now in
            guard let value = path.evaluate(object).first else { return .null }
            return customCell(value, type: type, now: now)
        }
    }

    private static func customCell(_ value: JSONValue, type: String, now: Timestamp) -> JSONValue {
        switch (type, value) {
        case (_, .null): .null
        case ("string", .string), ("boolean", .bool): value
        case ("string", _): .string(value.jsonText)
        case ("integer", _): value.intValue.map { .integer($0) } ?? .null
        case ("number", _): value.doubleValue.map { .number($0) } ?? .null
        case ("date", .string(let time)): .string(age(time, now))
        default: .null
        }
    }
}
