import Logging

/// What a log line says beside its message: the merged metadata, under the names a line uses.
enum LogFields {
    typealias Field = (name: String, value: Logger.Metadata.Value)

    /// Names that belong to the line itself.
    private static let reserved: Set<String> = ["time", "level", "msg", "logger"]

    /// Merges metadata (the event's over the provider's over the handler's) and orders it by name.
    ///
    /// Names become snake_case. One that the line itself uses, such as `level`, gets the prefix `meta_`; of two that
    /// become equal, the later one gets a number. An error given to the log statement becomes the field `error`.
    static func collect(
        _ event: LogEvent, handler: Logger.Metadata, provider: Logger.MetadataProvider?
    ) -> [Field] {
        var merged = handler
        if let provider { merged.merge(provider.get()) { _, new in new } }
        if let metadata = event.metadata {
            if merged.isEmpty { merged = metadata } else { merged.merge(metadata) { _, new in new } }
        }
        if let error = event.error, merged["error"] == nil { merged["error"] = .string(String(describing: error)) }

        var fields = merged.map { Field(name: name(for: $0.key), value: $0.value) }
        fields.sort { $0.name < $1.name }
        var repeats = 1
        for index in fields.indices.dropFirst() {
            repeats = fields[index].name == fields[index - repeats].name ? repeats + 1 : 1
            if repeats > 1 { fields[index].name += "_\(repeats)" }
        }
        return fields
    }

    private static func name(for key: String) -> String {
        let name = snakeCase(key)
        return reserved.contains(name) ? "meta_" + name : name
    }

    /// `clusterUUID` and `cluster-uuid` both become `cluster_uuid`.
    static func snakeCase(_ key: String) -> String {
        let isSnakeCase = key.utf8.allSatisfy { isLowercase($0) || isDigit($0) || $0 == UInt8(ascii: "_") }
        if isSnakeCase, !key.isEmpty { return key }
        let source = Array(key.utf8)
        var name: [UInt8] = []
        for (index, byte) in source.enumerated() {
            if isUppercase(byte) {
                let previous = index > 0 ? source[index - 1] : 0
                let next = index + 1 < source.count ? source[index + 1] : 0
                let startsWord =
                    isLowercase(previous) || isDigit(previous) || (isUppercase(previous) && isLowercase(next))
                if startsWord { name.append(UInt8(ascii: "_")) }
                name.append(byte | 0x20)
            } else if isLowercase(byte) || isDigit(byte) {
                name.append(byte)
            } else if name.last != UInt8(ascii: "_") {
                name.append(UInt8(ascii: "_"))
            }
        }
        return name.isEmpty ? "_" : String(decoding: name, as: UTF8.self)
    }

    private static func isLowercase(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z") }
    private static func isUppercase(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") }
    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
}
