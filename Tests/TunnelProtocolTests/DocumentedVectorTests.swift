import Foundation
import Routing
import Testing
import TunnelProtocol

@Suite("The protocol's documentation")
struct DocumentedVectorTests {
    @Test("Every vector is encoded and decoded as the page says")
    func vectors() throws {
        let blocks = try ProtocolDocument.blocks("vector")
        #expect(blocks.count >= 11)
        for block in blocks {
            let vector = try ProtocolVector(block)
            #expect(!vector.frames.isEmpty)
            #expect(try frames(in: vector.bytes) == vector.frames, "\(block)")
            #expect(hex(encoded(vector.frames)) == hex(vector.bytes), "\(block)")
        }
    }

    @Test("Every kind of frame and head is shown")
    func coverage() throws {
        var shown: Set<String> = []
        for frame in try ProtocolDocument.blocks("vector").flatMap({ try ProtocolVector($0).frames }) {
            switch frame {
            case .headers(_, .request, _): shown.insert("request")
            case .headers(_, .response, _): shown.insert("response")
            case .headers(_, .trailers, _): shown.insert("trailers")
            case .data: shown.insert("data")
            case .window: shown.insert("window")
            case .reset: shown.insert("reset")
            case .goAway: shown.insert("goaway")
            }
        }
        #expect(shown == ["request", "response", "trailers", "data", "window", "reset", "goaway"])
    }

    @Test("Every control message is read, and written again as it stands there")
    func messages() throws {
        var types: Set<String> = []
        for block in try ProtocolDocument.blocks("json") {
            guard case .message(let message) = ControlMessage.decode(block) else {
                Issue.record("not a message: \(block)")
                continue
            }
            types.insert(message.typeName)
            #expect(try object(message.encoded()) == object(block))
        }
        #expect(
            types == [
                "hello", "welcome", "ingress_routes", "ingress_routes_ack", "heartbeat", "heartbeat_ack", "resync",
                "error",
            ])
    }

    private func object(_ text: String) throws -> NSDictionary {
        NSDictionary(
            dictionary: try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]))
    }

    @Test("The digest is that of the routes beside it")
    func digest() throws {
        struct Example: Decodable {
            var routes: [AdvertisedRoute]
            var digest: String
        }
        let blocks = try ProtocolDocument.blocks("digest")
        #expect(blocks.count == 1)
        for block in blocks {
            let example = try JSONDecoder().decode(Example.self, from: Data(block.utf8))
            #expect(RouteDigest(try example.routes.map { try $0.route() }).description == example.digest)
        }
    }

    @Test("Every reset code and every violation has its row")
    func codes() throws {
        let text = try ProtocolDocument.text()
        for number in UInt32(0)..<14 {
            #expect(text.contains("| \(number) | `\(ResetCode(rawValue: number).description)` |"))
        }
        for code in ProtocolViolation.Code.allCases { #expect(text.contains("| `\(code.rawValue)` |"), "\(code)") }
    }

    @Test("The limits are those of the code")
    func limits() throws {
        let text = try ProtocolDocument.text()
        let rows = [
            ("text message", ControlMessage.maximumSize), ("binary message", FrameLimits.maxMessageSize),
            ("DATA payload", FrameLimits.maxDataSize), ("HEADERS payload", FrameLimits.maxHeaderBlockSize),
            ("detail of RESET and GOAWAY", FrameLimits.maxDetailSize),
            ("implicit credit of a request's body", FrameLimits.initialRequestCredit),
            ("routes of one cluster", GatewaySession.maxRoutes),
        ]
        for (name, value) in rows { #expect(text.contains("| \(name) | \(grouped(value)) |"), "\(name)") }
    }

    private func grouped(_ value: Int) -> String {
        value < 1000 ? "\(value)" : "\(value / 1000)," + String("\(1000 + value % 1000)".dropFirst())
    }
}
