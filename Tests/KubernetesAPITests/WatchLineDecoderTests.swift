import KubernetesAPI
import NIOCore
import TestSupport
import Testing

@Suite("Watch line decoder")
struct WatchLineDecoderTests {
    private typealias Decoder = WatchLineDecoder<Ingress>

    private static func ingress(_ name: String, version: String) -> Ingress {
        Ingress(metadata: ObjectMeta(name: name, namespace: "ns", resourceVersion: version), spec: nil)
    }

    private static func line(_ type: String, _ name: String, _ version: String) -> String {
        #"{"type":"\#(type)","object":{"kind":"Ingress","metadata":"#
            + #"{"name":"\#(name)","namespace":"ns","resourceVersion":"\#(version)"}}}"# + "\n"
    }

    private static let transcript =
        line("ADDED", "ü-é", "1") + line("MODIFIED", "ü-é", "2") + line("DELETED", "ü-é", "3")
        + #"{"type":"BOOKMARK","object":{"kind":"Ingress","metadata":{"resourceVersion":"9"}}}"# + "\n"
        + #"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"# + "\n"

    private static let events: [WatchEvent<Ingress>] = [
        .added(ingress("ü-é", version: "1")), .modified(ingress("ü-é", version: "2")),
        .deleted(ingress("ü-é", version: "3")), .bookmark(resourceVersion: "9", initialEventsEnd: false),
        .error(KubernetesStatus(code: 410, reason: "Expired", message: "too old")),
    ]

    private func decode(_ pieces: [[UInt8]], limit: Int = 16 << 20) throws -> [WatchEvent<Ingress>] {
        var decoder = Decoder(limit: limit)
        var events: [WatchEvent<Ingress>] = []
        for piece in pieces {
            decoder.append(ByteBuffer(bytes: piece))
            while let event = try decoder.next() { events.append(event) }
        }
        if let event = decoder.finish() { events.append(event) }
        return events
    }

    @Test("all at once")
    func atOnce() throws {
        #expect(try decode([Array(Self.transcript.utf8)]) == Self.events)
    }

    @Test("byte by byte")
    func drip() throws {
        #expect(try decode(Self.transcript.utf8.map { [$0] }) == Self.events)
    }

    @Test("cut in two at every byte")
    func everySplit() throws {
        let bytes = Array(Self.transcript.utf8)
        for cut in 0...bytes.count {
            #expect(try decode([Array(bytes[..<cut]), Array(bytes[cut...])]) == Self.events, "cut at \(cut)")
        }
    }

    @Test("cut at random, many times")
    func shuffled() throws {
        let bytes = Array(Self.transcript.utf8)
        for seed in UInt64(0)..<100 {
            var generator = SeededGenerator(seed: seed)
            var pieces: [[UInt8]] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                let size = Int.random(in: 0...60, using: &generator)
                pieces.append(Array(rest.prefix(size)))
                rest = rest.dropFirst(size)
            }
            #expect(try decode(pieces) == Self.events, "seed \(seed)")
        }
    }

    @Test("a line of 5 MiB in network-sized pieces, and the line after it")
    func longLine() throws {
        let padding = String(repeating: "x", count: 5 << 20)
        let long =
            #"{"type":"ADDED","object":{"metadata":{"name":"a","namespace":"ns","annotations":{"p":"\#(padding)"}}}}"#
        let bytes = Array((long + "\n" + Self.line("ADDED", "b", "2")).utf8)
        let pieces = stride(from: 0, to: bytes.count, by: 16_384)
            .map { Array(bytes[$0..<min($0 + 16_384, bytes.count)]) }
        let events = try decode(pieces)
        #expect(events.count == 2)
        guard case .added(let object) = events.first else {
            Issue.record("not added")
            return
        }
        #expect(object.metadata.annotations?["p"]?.utf8.count == 5 << 20)
    }

    @Test("a line beyond the limit is refused before it is complete")
    func tooLong() throws {
        var decoder = Decoder(limit: 100)
        decoder.append(ByteBuffer(repeating: UInt8(ascii: "x"), count: 60))
        #expect(try decoder.next() == nil)
        decoder.append(ByteBuffer(repeating: UInt8(ascii: "x"), count: 60))
        let error = #expect(throws: Decoder.LineTooLong.self) { try decoder.next() }
        #expect(error?.limit == 100)
    }

    @Test("an object that cannot be decoded is an event of its own and the next one comes")
    func undecodableObject() throws {
        let bad =
            #"{"type":"MODIFIED","object":{"metadata":{"name":"bad","namespace":"ns","resourceVersion":"4"},"spec":7}}"#
        let events = try decode([Array((bad + "\n" + Self.line("ADDED", "good", "5")).utf8)])
        guard case .undecodable("MODIFIED", let report) = events.first else {
            Issue.record("not undecodable: \(events)")
            return
        }
        #expect(report.key == ObjectKey(namespace: "ns", name: "bad"))
        #expect(report.resourceVersion == "4")
        #expect(report.problem.contains("spec"))
        #expect(events.last == .added(Self.ingress("good", version: "5")))
    }

    @Test("a line that is no JSON, and a type nobody knows, are reported and skipped")
    func garbage() throws {
        let text = "<html>\n" + #"{"type":"SHOUTED","object":{}}"# + "\n" + Self.line("ADDED", "good", "5")
        let events = try decode([Array(text.utf8)])
        #expect(events.count == 3)
        guard case .undecodable(nil, _) = events[0], case .undecodable("SHOUTED", _) = events[1] else {
            Issue.record("\(events)")
            return
        }
        #expect(events[2] == .added(Self.ingress("good", version: "5")))
    }

    @Test("the end of a streaming list is told from other bookmarks")
    func initialEventsEnd() throws {
        let text =
            #"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9","annotations":"#
            + #"{"k8s.io/initial-events-end":"true"}}}}"# + "\n"
        #expect(try decode([Array(text.utf8)]) == [.bookmark(resourceVersion: "9", initialEventsEnd: true)])
    }

    @Test("blank lines and carriage returns mean nothing")
    func blankLines() throws {
        let text = "\n\r\n" + Self.line("ADDED", "a", "1").dropLast() + "\r\n\n"
        #expect(try decode([Array(text.utf8)]) == [.added(Self.ingress("a", version: "1"))])
    }

    @Test("a last line without its end counts if it is whole, and is forgotten if it is half")
    func lastLine() throws {
        let whole = Self.line("ADDED", "a", "1").dropLast()
        #expect(try decode([Array(whole.utf8)]) == [.added(Self.ingress("a", version: "1"))])
        #expect(try decode([Array(whole.dropLast(3).utf8)]).isEmpty)
    }
}
