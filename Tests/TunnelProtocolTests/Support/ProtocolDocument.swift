import Foundation
import NIOCore
import Testing
import TunnelProtocol

/// The fenced blocks of `docs/tunnel-protocol.md`.
enum ProtocolDocument {
    private static let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "docs/tunnel-protocol.md")

    /// The whole text.
    static func text() throws -> String { try String(contentsOf: url, encoding: .utf8) }

    /// The contents of all blocks of one kind, in order.
    static func blocks(_ kind: String) throws -> [String] {
        var blocks: [String] = []
        var lines: [Substring]?
        for line in try text().split(separator: "\n", omittingEmptySubsequences: false) {
            if line == "```\(kind)" {
                lines = []
            } else if line == "```", let block = lines {
                blocks.append(block.joined(separator: "\n"))
                lines = nil
            } else {
                lines?.append(line)
            }
        }
        return blocks
    }
}

/// Frames described in words, and the bytes they are on the wire.
struct ProtocolVector {
    var frames: [Frame] = []
    var bytes = ByteBuffer()

    /// Reads a block of `name: value` lines. Each `frame` begins another frame; `hex` lines are the whole message.
    init(_ block: String) throws {
        var hexadecimal = ""
        var described: [[(String, String)]] = []
        for line in block.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            let name = String(parts[0])
            let value = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
            switch name {
            case "hex": hexadecimal += value
            case "frame": described.append([(name, value)])
            default: described[described.count - 1].append((name, value))
            }
        }
        frames = try described.map { try Self.frame($0) }
        bytes = try TunnelProtocolTests.bytes(hex: hexadecimal)
    }

    private static func frame(_ lines: [(String, String)]) throws -> Frame {
        func value(_ name: String) -> String {
            // What a frame does not have is empty.
            lines.first { $0.0 == name }?.1 ?? ""
        }
        func number(_ name: String) throws -> UInt32 { try #require(UInt32(value(name)), "no \(name) in \(lines)") }
        let isEnd = value("end_stream") == "yes"
        switch value("frame") {
        case "HEADERS":
            var fields = HeaderFields()
            for line in lines where line.0 == "field" {
                let parts = line.1.split(separator: ": ", maxSplits: 1)
                fields.add(name: String(parts[0]), value: parts.count > 1 ? String(parts[1]) : "")
            }
            let block: HeaderBlock =
                switch value("kind") {
                case "request":
                    .request(
                        RequestHead(
                            method: value("method"), authority: value("authority"),
                            target: value("target"), upgrade: value("upgrade"), window: try number("window"),
                            fields: fields))
                case "response": .response(ResponseHead(status: UInt16(try number("status")), fields: fields))
                default: .trailers(fields)
                }
            return .headers(StreamID(try number("stream")), block, endStream: isEnd)
        case "DATA":
            return .data(StreamID(try number("stream")), text(value("payload")), endStream: isEnd)
        case "WINDOW": return .window(StreamID(try number("stream")), increment: try number("increment"))
        case "RESET":
            let name = value("code")
            let code = (0..<12).map { ResetCode(rawValue: $0) }.first { $0.description == name }
            return .reset(
                StreamID(try number("stream")), try #require(code, "an unknown code \(name)"),
                detail: value("detail"))
        default:
            return .goAway(lastStreamID: StreamID(try number("last_stream")), detail: value("detail"))
        }
    }
}
