/// The `fieldSelector` query parameter: `field=value` and `field!=value`, all of which must hold.
package struct FieldSelector: Hashable, Sendable {
    struct Requirement: Hashable, Sendable {
        var field: String
        var value: String
        var equal: Bool
    }

    let requirements: [Requirement]

    /// Selects everything.
    package static let everything = FieldSelector(requirements: [])

    package var isEmpty: Bool { requirements.isEmpty }

    private init(requirements: [Requirement]) {
        self.requirements = requirements
    }

    /// Reads the selector and checks its fields against those the resource can be selected by.
    ///
    /// - Throws: ``APIStatus`` 400.
    package init(_ text: String, resource: APIResource) throws(APIStatus) {
        var requirements: [Requirement] = []
        for part in text.split(separator: ",") {
            let field: Substring
            let value: Substring
            let equal: Bool
            if let range = part.firstRange(of: "!=") {
                (field, value, equal) = (part[..<range.lowerBound], part[range.upperBound...], false)
            } else if let range = part.firstRange(of: "==") ?? part.firstRange(of: "=") {
                (field, value, equal) = (part[..<range.lowerBound], part[range.upperBound...], true)
            } else {
                throw .badRequest("invalid field selector: \"\(part)\"")
            }
            let name = String(field)
            guard resource.selectableFields.contains(name) else {
                throw .badRequest("field label not supported: \(name)")
            }
            requirements.append(Requirement(field: name, value: String(value), equal: equal))
        }
        self.requirements = requirements
    }

    /// Whether the object, in the form in which the resource serves it, is selected.
    package func matches(_ object: JSONValue) -> Bool {
        requirements.allSatisfy { requirement in
            let path = requirement.field.split(separator: ".").map(String.init)
            let value =
                switch object[path: path] {
                case .string(let text)?: text
                case .null?, nil: ""
                case let other?: other.jsonText
                }
            return (value == requirement.value) == requirement.equal
        }
    }

    /// The name an object must have, where the selector says so.
    package var name: String? {
        requirements.first { $0.field == "metadata.name" && $0.equal }?.value
    }

    /// The namespace an object must be in, where the selector says so.
    package var namespace: String? {
        requirements.first { $0.field == "metadata.namespace" && $0.equal }?.value
    }
}
