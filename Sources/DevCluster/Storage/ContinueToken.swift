import Foundation

/// The opaque `metadata.continue` of a list that is read in pieces: where to go on, in which snapshot.
package struct ContinueToken: Hashable, Sendable {
    /// The revision of the first piece; all pieces show this one.
    package var revision: Int64
    /// The last object already answered.
    package var after: ObjectName

    package init(revision: Int64, after: ObjectName) {
        self.revision = revision
        self.after = after
    }

    /// Reads a token this server made.
    ///
    /// - Throws: ``APIStatus`` 400 for anything else.
    package init(_ text: String) throws(APIStatus) {
        guard let data = Data(base64Encoded: text), let value = try? JSONValue(parsing: data),
            let revision = value.integer("rv"), value["name"] != nil
        else { throw .badRequest("continue key is not valid") }
        self.revision = revision
        self.after = ObjectName(namespace: value.text("namespace"), name: value.text("name"))
    }

    package var text: String {
        let value: JSONValue = [
            "rv": .integer(revision), "namespace": .string(after.namespace), "name": .string(after.name),
        ]
        return Data(value.serialized()).base64EncodedString()
    }
}
