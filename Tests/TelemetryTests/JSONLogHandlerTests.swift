import Logging
import Telemetry
import Testing

@Suite("JSON log lines")
struct JSONLogHandlerTests {
    @Test("A record is one line with time, level, message, logger, and its metadata in the order of names")
    func golden() {
        let capture = LogCapture()
        jsonLogger(capture, label: "pipeops-agent").info(
            "Ingress routes sent", metadata: ["routes": .stringConvertible(5), "action": "sync", "revision": "7"])
        #expect(
            capture.lines == [
                #"{"time":"2026-08-01T09:05:00.042Z","level":"info","msg":"Ingress routes sent","#
                    + #""logger":"pipeops-agent","action":"sync","revision":"7","routes":5}"# + "\n"
            ])
    }

    @Test("Numbers and booleans stay numbers and booleans, and what JSON has no number for becomes a text")
    func numbers() throws {
        let capture = LogCapture()
        jsonLogger(capture).info(
            "m",
            metadata: [
                "int": .stringConvertible(-3), "int64": .stringConvertible(Int64(4)),
                "u8": .stringConvertible(UInt8(5)),
                "u64": .stringConvertible(UInt64.max), "true": .stringConvertible(true),
                "false": .stringConvertible(false), "double": .stringConvertible(1.5),
                "small": .stringConvertible(1e-7), "large": .stringConvertible(1e300),
                "float": .stringConvertible(Float(0.25)), "nan": .stringConvertible(Double.nan),
                "inf": .stringConvertible(Double.infinity), "text": "12",
                "duration": .stringConvertible(Duration.seconds(2)),
            ])
        let object = try #require(try capture.objects().first)
        #expect(object["int"] == .number(-3))
        #expect(object["int64"] == .number(4))
        #expect(object["u8"] == .number(5))
        #expect(object["u64"] == .number(Double(UInt64.max)))
        #expect(object["true"] == .bool(true))
        #expect(object["false"] == .bool(false))
        #expect(object["double"] == .number(1.5))
        #expect(object["small"] == .number(1e-7))
        #expect(object["large"] == .number(1e300))
        #expect(object["float"] == .number(0.25))
        #expect(object["nan"] == "nan")
        #expect(object["inf"] == "inf")
        #expect(object["text"] == "12")
        #expect(object["duration"] == "2.0 seconds")
    }

    @Test("Dictionaries and arrays become JSON of the same shape")
    func nesting() throws {
        let capture = LogCapture()
        jsonLogger(capture).info(
            "m",
            metadata: ["outer": ["b/c": ["x", .stringConvertible(1), []], "a": [:]], "list": ["\"", ["k": "v"]]])
        let object = try #require(try capture.objects().first)
        #expect(object["outer"] == .object(["a": .object([:]), "b/c": .array(["x", .number(1), .array([])])]))
        #expect(object["list"] == .array(["\"", .object(["k": "v"])]))
    }

    @Test("Every control character and every kind of text survives, and none appears raw in the line")
    func escaping() throws {
        let controls = (0..<0xA0).compactMap(Unicode.Scalar.init).map(Character.init)
        // The last ones come from bytes that are not UTF-8: a lone continuation byte, a cut sequence, a surrogate.
        let texts =
            controls.map(String.init) + [
                "\r\n", "\u{2028}\u{2029}", "a\"b\\c/d", "é漢😀👩‍👩‍👧", "\u{FEFF}", "", "ends in \u{C2}", "\u{20AC}",
                String(decoding: [0x80, 0x41] as [UInt8], as: UTF8.self),
                String(decoding: [0xE2, 0x80] as [UInt8], as: UTF8.self),
                String(decoding: [0xED, 0xA0, 0x80] as [UInt8], as: UTF8.self),
            ]
        let capture = LogCapture()
        for text in texts {
            jsonLogger(capture, label: text).info(
                "\(text)", metadata: ["value": "\(text)", "nested": ["\(text)": "x"]])
        }
        let objects = try capture.objects()
        #expect(objects.count == texts.count)
        for (text, object) in zip(texts, objects) {
            #expect(object["msg"] == .string(text))
            #expect(object["logger"] == .string(text))
            #expect(object["value"] == .string(text))
            #expect(object["nested"] == .object([text: "x"]))
        }
        for line in capture.lines {
            let raw = line.dropLast().unicodeScalars.filter {
                [.control, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory)
            }
            #expect(raw.isEmpty)
            #expect(line.last == "\n")
        }
    }

    @Test("The line's own fields are never overwritten, and no two fields share a name")
    func reservedNames() throws {
        let capture = LogCapture()
        jsonLogger(capture).info(
            "m",
            metadata: [
                "time": "1", "level": "2", "msg": "3", "logger": "4", "Level": "5", "a-b": "6", "aB": "7", "a_b": "8",
            ])
        let object = try #require(try capture.objects().first)
        #expect(object["time"] == "2026-08-01T09:05:00.042Z")
        #expect(object["level"] == "info")
        #expect(object["msg"] == "m")
        #expect(object["logger"] == "test")
        #expect(object["meta_time"] == "1")
        #expect(object["meta_msg"] == "3")
        #expect(object["meta_logger"] == "4")
        let levels = [object["meta_level"], object["meta_level_2"]]
        #expect(levels.contains("2") && levels.contains("5"))
        let abs = [object["a_b"], object["a_b_2"], object["a_b_3"]]
        #expect(abs.contains("6") && abs.contains("7") && abs.contains("8"))
        #expect(object.count == 4 + 8)
    }

    @Test(
        "Metadata names become snake_case",
        arguments: [
            ("clusterUUID", "cluster_uuid"), ("HTTPStatus", "http_status"), ("ahc-request-id", "ahc_request_id"),
            ("already_snake_1", "already_snake_1"), ("with space", "with_space"), ("größe", "gr_e"), ("", "_"),
            ("x1Y", "x1_y"),
        ])
    func names(key: String, name: String) throws {
        let capture = LogCapture()
        jsonLogger(capture).info("m", metadata: [key: "v"])
        try #expect(capture.objects().first?[name] == "v")
    }

    @Test("The event's metadata counts over the provider's, the provider's over the logger's")
    func merging() throws {
        let capture = LogCapture()
        var logger = jsonLogger(
            capture, metadataProvider: .init { ["b": "provider", "c": "provider", "p": "provider"] })
        logger[metadataKey: "a"] = "logger"
        logger[metadataKey: "b"] = "logger"
        logger.info("m", metadata: ["c": "event"])
        let object = try #require(try capture.objects().first)
        #expect(object["a"] == "logger")
        #expect(object["b"] == "provider")
        #expect(object["c"] == "event")
        #expect(object["p"] == "provider")
    }

    @Test("Level and metadata of a copied logger are its own")
    func valueSemantics() throws {
        let capture = LogCapture()
        var first = jsonLogger(capture, level: .info)
        var second = first
        first.logLevel = .debug
        first[metadataKey: "only"] = "first"
        second[metadataKey: "only"] = "second"
        first.debug("first")
        second.debug("dropped")
        second.info("second")
        try #expect(capture.objects().map { $0["only"] } == ["first", "second"])
    }

    @Test("An error given to the log statement becomes the field error")
    func errors() throws {
        struct Broken: Error, CustomStringConvertible { var description: String { "it broke" } }
        let capture = LogCapture()
        jsonLogger(capture).error("m", error: Broken())
        try #expect(capture.objects().first?["error"] == "it broke")
    }

    @Test(
        "Times are RFC 3339 in UTC with milliseconds",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_000, "2024-02-29T23:59:59.000Z"), (1_735_689_599_001, "2024-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (1_785_575_100_042, "2026-08-01T09:05:00.042Z"),
        ] as [(Int64, String)])
    func times(milliseconds: Int64, text: String) {
        #expect(LogTimestamp(milliseconds: milliseconds).description == text)
    }
}
