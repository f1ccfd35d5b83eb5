import DevCluster
import Testing

@Suite("JSON values")
struct JSONValueTests {
    @Test("A document survives being read and written")
    func roundTrip() throws {
        let text = #"{"a":[1,-2.5,true,null,"x\"\\\n"],"b":{"c":9007199254740993},"d":""}"#
        #expect(try JSONValue(parsing: text).jsonText == text)
    }

    @Test("Escapes are read, surrogate pairs included")
    func escapes() throws {
        #expect(try JSONValue(parsing: #""\u00e9\ud83d\ude00\/\t""#) == "é😀/\t")
        #expect(try JSONValue(parsing: #""\ud83dx""#) == "\u{FFFD}x")
    }

    @Test(
        "What is not JSON is refused with its place",
        arguments: ["", "{", "[1,]", "{\"a\" 1}", "tru", "1 2", "\"a", "{\"a\":1,}", "nul", "-", "\"\u{1}\""])
    func malformed(text: String) {
        #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: text) }
    }

    @Test("A document nested without end is refused instead of overflowing the stack")
    func nesting() {
        #expect(throws: JSONSyntaxError.self) {
            try JSONValue(parsing: String(repeating: "[", count: 100_000))
        }
    }

    @Test("YAML gives the same values as JSON; quoted scalars stay text")
    func yaml() throws {
        let documents = try JSONValue.documents(inYAML: "a: 1\nb: \"1\"\nc: [true, no, 1.5, ~]\n---\nd: x\n---\n")
        let expected1: [JSONValue] = [["a": 1, "b": "1", "c": [true, "no", 1.5, .null]], ["d": "x"]]
        #expect(documents == expected1)
    }

    @Test("A path can be read, set and removed")
    func paths() {
        var value: JSONValue = ["a": ["b": 1]]
        value[path: ["a", "c", "d"]] = 2
        #expect(value == ["a": ["b": 1, "c": ["d": 2]]])
        value[path: ["a", "c"]] = nil
        value[path: ["x", "y"]] = nil
        #expect(value == ["a": ["b": 1]])
    }
}

@Suite("Timestamps")
struct TimestampTests {
    @Test(
        "RFC 3339 is read and written",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2024-02-29T12:34:56Z", 1_709_210_096),
            ("2026-11-23T04:00:00+02:00", 1_795_399_200), ("1969-12-31T23:59:59Z", -1),
        ])
    func reading(text: String, seconds: Int64) throws {
        let time = try #require(Timestamp(text))
        #expect(time == Timestamp(seconds: seconds))
        #expect(Timestamp(time.time) == time)
    }

    @Test("Microseconds are kept")
    func fractions() {
        #expect(Timestamp("2024-01-01T00:00:00.000123Z")?.microTime == "2024-01-01T00:00:00.000123Z")
        #expect(Timestamp("2024-01-01T00:00:00.5Z")?.microTime == "2024-01-01T00:00:00.500000Z")
    }

    @Test(
        "What is no time is refused", arguments: ["", "2024-01-01", "2024-13-01T00:00:00Z", "2024-01-01T00:00:00", "x"])
    func malformed(text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test(
        "Ages are spelled as kubectl spells them",
        arguments: [
            (5, "5s"), (119, "119s"), (120, "2m"), (185, "3m5s"), (700, "11m"), (10_800, "3h"), (25_920, "7h12m"),
            (169_200, "47h"), (259_200, "3d"), (777_600, "9d"), (69_120_000, "2y70d"),
        ])
    func ages(seconds: Int64, text: String) {
        #expect(Timestamp(seconds: seconds).age(since: Timestamp(seconds: 0)) == text)
    }
}
