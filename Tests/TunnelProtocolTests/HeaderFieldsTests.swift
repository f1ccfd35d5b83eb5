import NIOCore
import Testing

@testable import TunnelProtocol

@Suite("Header fields as bytes")
struct HeaderFieldsTests {
    private func lines(_ fields: HeaderFields) -> [String] { fields.map { "\($0.name): \($0.value)" } }

    @Test("order, spelling and repetition stay")
    func order() {
        var fields: HeaderFields = ["b": "1", "A": "2"]
        fields.add(name: "B", value: "3")
        fields.add(name: "b", value: "")
        #expect(lines(fields) == ["b: 1", "A: 2", "B: 3", "b: "])
        #expect(fields.count == 4)
        #expect(fields["b"] == ["1", "3", ""])
        #expect(fields["a"] == ["2"])
        #expect(fields["c"] == [])
        #expect(fields.first(name: "B") == "1")
        #expect(fields.first(name: "c") == nil)
        #expect(fields.contains(name: "a"))
        #expect(!fields.contains(name: "ab"))
        #expect(fields.description == "b: 1, A: 2, B: 3, b: ")
    }

    @Test("none is none")
    func empty() {
        for fields in [HeaderFields(), HeaderFields(reserving: 100), [:]] {
            #expect(fields.isEmpty)
            #expect(fields.byteCount == 0)
            #expect(lines(fields) == [])
            #expect(fields == HeaderFields())
        }
    }

    @Test("equal are those of the same bytes in the same order")
    func equality() {
        let fields: HeaderFields = ["a": "1", "b": "2"]
        var added = HeaderFields(reserving: 1)
        fields.forEachField { added.add($0) }
        #expect(added == fields)
        for other: HeaderFields in [
            ["b": "2", "a": "1"], ["A": "1", "b": "2"], ["a": "1"], ["a": "1", "b": "2", "c": "3"],
            ["a": "1b", "": "2"],
        ] {
            #expect(fields != other)
        }
    }

    @Test("a copy does not change with its original")
    func copies() {
        var fields: HeaderFields = ["a": "1"]
        let copy = fields
        fields.add(name: "b", value: "2")
        #expect(lines(copy) == ["a: 1"])
        #expect(lines(fields) == ["a: 1", "b: 2"])
    }

    @Test("bytes that are not UTF-8 pass as they are, and are U+FFFD only where they are read as text")
    func bytes() {
        let name = Array("X-Raw".utf8)
        let value: [UInt8] = [0x61, 0xFF, 0xC3, 0x28, 0x80]
        var fields = HeaderFields()
        name.withUnsafeBytes { name in
            value.withUnsafeBytes { fields.add(HeaderField(name: name, value: $0)) }
        }
        var copy = HeaderFields()
        fields.forEachField { copy.add($0) }
        var seen: [[UInt8]] = []
        copy.forEachField { seen += [Array($0.name), Array($0.value)] }
        #expect(seen == [name, value])
        #expect(copy["x-raw"].count == 1)
        #expect(copy["x-raw"][0].unicodeScalars.contains("\u{FFFD}"))
    }

    @Test("names and values longer than a length can tell are cut, and what follows is whole")
    func long() {
        let long = String(repeating: "n", count: 70_000)
        var text = HeaderFields()
        text.add(name: long, value: long)
        text.add(name: "a", value: "b")
        var bytes = HeaderFields()
        Array(long.utf8).withUnsafeBytes { bytes.add(HeaderField(name: $0, value: $0)) }
        bytes.add(name: "a", value: "b")
        #expect(text == bytes)
        #expect(text.byteCount == 2 * 65_535 + 2 + 2 * 4)
        #expect(text["a"] == ["b"])
        #expect(text.map(\.name.utf8.count) == [65_535, 1])
    }

    @Test("the members of a list, over several fields")
    func list() {
        let fields: HeaderFields = [
            "Connection": " keep-alive ,\tUpgrade", "Accept": "x", "connection": ",, ,close", "CONNECTION": "",
        ]
        #expect(fields.list("connection") == ["keep-alive", "Upgrade", "close"])
        #expect(fields.list("accept") == ["x"])
        #expect(fields.list("te") == [])
    }

    @Test("only letters have a case")
    func letterCase() {
        func isSame(_ one: [UInt8], _ other: [UInt8]) -> Bool {
            one.withUnsafeBytes { one in other.withUnsafeBytes { one.equalsIgnoringCase($0) } }
        }
        for one in UInt8.min...UInt8.max {
            for other in UInt8.min...UInt8.max {
                let isLetter = (0x41...0x5A).contains(one & ~0x20)
                let expected = one == other || isLetter && one ^ 0x20 == other
                #expect(isSame([0x2D, one], [0x2D, other]) == expected, "\(one) \(other)")
            }
        }
        #expect(!isSame([0x61], [0x61, 0x61]))
        #expect(isSame([], []))
    }

    @Test("a control byte is found wherever it stands in a value", arguments: 0..<40)
    func controlBytes(length: Int) {
        func isValue(_ value: [UInt8]) -> Bool { value.withUnsafeBytes { FieldSyntax.isValue($0) } }
        let value = (0..<length).map { UInt8([0x20, 0x7E, 0x80, 0xFF, 0x09, 0x60, 0x9F, 0xA0][$0 % 8]) }
        #expect(isValue(value))
        for index in 0..<length {
            for bad: UInt8 in [0x00, 0x08, 0x0A, 0x0D, 0x1F, 0x7F] {
                var changed = value
                changed[index] = bad
                #expect(!isValue(changed), "\(bad) at \(index)")
            }
        }
    }
}
