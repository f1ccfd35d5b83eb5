package import Foundation

/// JSON as the Kubernetes API reads and writes it: RFC 3339 times, base64 data, slashes as they are.
package enum KubernetesJSON {
    /// Reads times with or without a fraction.
    package static let decoder: JSONDecoder = {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let container = try decoder.singleValueContainer()
            let text = try container.decode(String.self)
            guard let date = RFC3339.date(from: text) else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an RFC 3339 time: \(text)")
            }
            return date
        }
        return decoder
    }()

    /// Writes whole seconds (`metav1.Time`) and keys in order, so that equal objects have equal bytes.
    package static let encoder: JSONEncoder = {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(RFC3339.string(from: date))
        }
        return encoder
    }()

    /// `object` with its `apiVersion` and `kind`, as a request body.
    package static func encode<R: KubernetesResource>(_ object: R) throws -> Data {
        try encoder.encode(TypedObject(object: object))
    }
}

/// An object as it travels: with `apiVersion` and `kind`.
private struct TypedObject<R: KubernetesResource>: Encodable {
    var object: R

    private enum CodingKeys: String, CodingKey { case apiVersion, kind }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(R.definition.apiVersion, forKey: .apiVersion)
        try container.encode(R.definition.kind, forKey: .kind)
        try object.encode(to: encoder)
    }
}
