import Foundation

extension ControlMessage {
    /// The name in the message's `type` field.
    package var typeName: String { kind.rawValue }

    private enum Kind: String {
        case hello, welcome, heartbeat, resync, error
        case ingressRoutes = "ingress_routes"
        case ingressRoutesAck = "ingress_routes_ack"
        case heartbeatAck = "heartbeat_ack"
    }

    private var kind: Kind {
        switch self {
        case .hello: .hello
        case .welcome: .welcome
        case .ingressRoutes: .ingressRoutes
        case .ingressRoutesAck: .ingressRoutesAck
        case .heartbeat: .heartbeat
        case .heartbeatAck: .heartbeatAck
        case .resync: .resync
        case .error: .error
        }
    }

    /// What a text message holds.
    package enum Decoded: Hashable, Sendable {
        case message(ControlMessage)
        /// A type this version does not know; answered with `error`, and nothing else happens.
        case unknownType(String)
        /// Not JSON, or a known type whose payload lacks something; the text says what and where.
        case malformed(String)
    }

    /// Reads one text message. Never throws: what cannot be read is a value too, for the session to decide upon.
    package static func decode(_ text: String) -> Decoded {
        let data = Data(text.utf8)
        let decoder = JSONDecoder()
        func payload<T: Decodable>(_ type: T.Type) throws -> T {
            try decoder.decode(Payload<T>.self, from: data).payload
        }
        do {
            let type = try decoder.decode(TypeOnly.self, from: data).type
            guard let kind = Kind(rawValue: type) else { return .unknownType(type) }
            switch kind {
            case .hello: return .message(.hello(try payload(Hello.self)))
            case .welcome: return .message(.welcome(try payload(Welcome.self)))
            case .ingressRoutes: return .message(.ingressRoutes(try payload(IngressRoutes.self)))
            case .ingressRoutesAck: return .message(.ingressRoutesAck(try payload(IngressRoutesAck.self)))
            case .heartbeat: return .message(.heartbeat(try payload(Heartbeat.self)))
            case .heartbeatAck: return .message(.heartbeatAck(try payload(HeartbeatAck.self)))
            case .resync: return .message(.resync(try payload(Resync.self)))
            case .error: return .message(.error(try payload(ControlError.self)))
            }
        } catch let error as DecodingError {
            return .malformed(error.sentence.clipped)
        } catch {
            return .malformed("not a JSON object")
        }
    }

    /// The message as one line of JSON with sorted keys.
    package func encoded() -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        func text(_ payload: some Encodable) -> String {
            // Encoding plain strings, integers and booleans has no failing case.
            let data = (try? encoder.encode(Envelope(type: typeName, payload: payload))) ?? Data()
            return String(decoding: data, as: UTF8.self)
        }
        switch self {
        case .hello(let payload): return text(payload)
        case .welcome(let payload): return text(payload)
        case .ingressRoutes(let payload): return text(payload)
        case .ingressRoutesAck(let payload): return text(payload)
        case .heartbeat(let payload): return text(payload)
        case .heartbeatAck(let payload): return text(payload)
        case .resync(let payload): return text(payload)
        case .error(let payload): return text(payload)
        }
    }

    private struct TypeOnly: Decodable { var type: String }
    private struct Payload<T: Decodable>: Decodable { var payload: T }
    private struct Envelope<T: Encodable>: Encodable {
        var type: String
        var payload: T
    }
}

extension DecodingError {
    /// What is wrong and at which key, in one line.
    fileprivate var sentence: String {
        func path(_ context: Context) -> String {
            let keys = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
            return keys.isEmpty ? "the message" : keys.joined(separator: ".")
        }
        switch self {
        case .keyNotFound(let key, let context): return "\(path(context)) lacks \"\(key.stringValue)\""
        case .typeMismatch(let type, let context): return "\(path(context)) is not of type \(type)"
        case .valueNotFound(let type, let context): return "\(path(context)) is null, not of type \(type)"
        case .dataCorrupted(let context): return "\(path(context)) is not valid: \(context.debugDescription)"
        @unknown default: return "the message is not valid"
        }
    }
}
