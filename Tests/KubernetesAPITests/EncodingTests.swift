import Foundation
import KubernetesAPI
import TestSupport
import Testing

@Suite("Times and JSON")
struct EncodingTests {
    @Test(
        "a time is read with or without a fraction and in any offset",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2024-02-29T12:34:56Z", 1_709_210_096),
            ("2024-02-29T12:34:56.25Z", 1_709_210_096.25), ("2024-02-29T14:04:56+01:30", 1_709_210_096),
            ("2024-02-29T07:34:56-05:00", 1_709_210_096), ("1969-12-31T23:59:59Z", -1),
            ("2000-03-01T00:00:00Z", 951_868_800), ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] as [(String, Double)])
    func reads(text: String, seconds: Double) {
        #expect(RFC3339.date(from: text)?.timeIntervalSince1970 == seconds)
    }

    @Test(
        "what is no RFC 3339 time is refused",
        arguments: [
            "", "2024-02-29", "2024-13-01T00:00:00Z", "2024-02-29T12:34:56", "2024-02-29T12:34:56.Z",
            "2024-02-29T12:34:56Zjunk", "2024-02-29T24:00:00Z", "yesterday",
        ])
    func refuses(text: String) {
        #expect(RFC3339.date(from: text) == nil)
    }

    @Test("a time is written in whole seconds, a micro time with six digits, and both come back")
    func writes() throws {
        let date = Date(timeIntervalSince1970: 1_709_210_096.123456)
        #expect(RFC3339.string(from: date) == "2024-02-29T12:34:56Z")
        #expect(RFC3339.string(from: date, fractionDigits: 6) == "2024-02-29T12:34:56.123456Z")
        #expect(RFC3339.string(from: Date(timeIntervalSince1970: -1)) == "1969-12-31T23:59:59Z")
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<2000 {
            let micros = Int64.random(in: -1_000_000_000_000_000...4_000_000_000_000_000, using: &generator)
            let text = RFC3339.string(from: Date(timeIntervalSince1970: Double(micros) / 1e6), fractionDigits: 6)
            let again = try #require(RFC3339.date(from: text))
            #expect(RFC3339.string(from: again, fractionDigits: 6) == text)
            #expect(Int64((again.timeIntervalSince1970 * 1e6).rounded()) == micros)
        }
    }

    @Test("an object travels with its apiVersion and kind and without what it has not")
    func typedObject() throws {
        let ingress = Ingress(
            metadata: ObjectMeta(name: "web", namespace: "shop"), spec: .init(ingressClassName: "nginx"))
        let text = String(decoding: try KubernetesJSON.encode(ingress), as: UTF8.self)
        #expect(
            text == #"{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","#
                + #""metadata":{"name":"web","namespace":"shop"},"spec":{"ingressClassName":"nginx"}}"#)
        let namespace = Namespace(metadata: ObjectMeta(name: "shop"))
        #expect(
            String(decoding: try KubernetesJSON.encode(namespace), as: UTF8.self)
                == #"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}"#)
    }

    @Test("a lease and an event carry micro times")
    func microTimes() throws {
        let time = MicroTime(Date(timeIntervalSince1970: 0.5))
        let lease = Lease(metadata: ObjectMeta(name: "l", namespace: "n"), spec: .init(renewTime: time))
        let data = try KubernetesJSON.encode(lease)
        #expect(String(decoding: data, as: UTF8.self).contains(#""renewTime":"1970-01-01T00:00:00.500000Z""#))
        #expect(try KubernetesJSON.decoder.decode(Lease.self, from: data) == lease)
    }

    @Test("an item that cannot be decoded is reported and the rest of the list is there")
    func lenientList() throws {
        let text = """
            {"metadata":{"resourceVersion":"7","continue":"more"},"items":[
              {"metadata":{"name":"a","namespace":"n"}},
              {"metadata":{"name":"b","namespace":"n","resourceVersion":"5"},"spec":{"rules":"none"}},
              {"metadata":{"name":"c","namespace":"n"}}]}
            """
        let list = try KubernetesJSON.decoder.decode(ResourceList<Ingress>.self, from: Data(text.utf8))
        #expect(list.metadata == ListMeta(resourceVersion: "7", continue: "more"))
        #expect(list.items.map(\.metadata.name) == ["a", "c"])
        let report = try #require(list.undecodable.first)
        #expect(report.key == ObjectKey(namespace: "n", name: "b"))
        #expect(report.resourceVersion == "5")
        #expect(report.problem.contains(".spec.rules"))
    }

    @Test("a list without items, as Go writes an empty one, is empty")
    func nullItems() throws {
        let text = #"{"metadata":{"resourceVersion":"7"},"items":null}"#
        let list = try KubernetesJSON.decoder.decode(ResourceList<Ingress>.self, from: Data(text.utf8))
        #expect(list.items.isEmpty && list.undecodable.isEmpty)
    }
}
