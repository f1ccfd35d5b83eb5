import Logging
import Telemetry
import Testing

@Suite("Log lines written many at once")
struct LogLineBatchTests {
    private func batch(_ capture: LogCapture, _ format: LogFormat, message: String = "Request") -> LogLineBatch {
        LogLineBatch(format: format, label: "gateway", message: message, output: capture.output)
    }

    @Test("a line looks as a Logger's does", arguments: [LogFormat.json, .text])
    func sameAsLogger(format: LogFormat) {
        let texts = ["plain", "", "with space", "\"quoted\"\n\\", "\u{1}ü\u{2028}", "a=b"]
        for text in texts {
            let (written, logged) = (LogCapture(), LogCapture())
            var batch = batch(written, format, message: "Request \"x\"\n")
            batch.begin(at: fixedTime)
            batch.add("bytes_in", 17)
            batch.add("path", text)
            batch.add("status", -404)
            batch.end()
            batch.write()
            let logger =
                format == .json ? jsonLogger(logged, label: "gateway") : textLogger(logged, label: "gateway")
            logger.info(
                "Request \"x\"\n",
                metadata: [
                    "bytes_in": .stringConvertible(17), "path": .string(text), "status": .stringConvertible(-404),
                ])
            #expect(written.lines == logged.lines)
        }
    }

    @Test(
        "numbers are whole, whatever their size",
        arguments: [0, 9, 10, 99, 100, 1_000_000, Int.max, -1, -10, Int.min])
    func numbers(number: Int) throws {
        let capture = LogCapture()
        var batch = batch(capture, .text)
        batch.begin(at: fixedTime)
        batch.add("n", number)
        batch.end()
        batch.write()
        #expect(capture.lines.first?.hasSuffix(" n=\(number)\n") == true)
    }

    @Test(
        "milliseconds have three decimals",
        arguments: zip(
            [0, 7, 45, 999, 1000, 45_250, 3_600_000_001, -5] as [Int64],
            [
                "0.000", "0.007", "0.045", "0.999", "1.000", "45.250", "3600000.001", "0.000",
            ]))
    func milliseconds(microseconds: Int64, expected: String) {
        let capture = LogCapture()
        var batch = batch(capture, .json)
        batch.begin(at: fixedTime)
        batch.add("duration_ms", thousandths: microseconds)
        batch.end()
        batch.write()
        #expect(capture.lines.first?.hasSuffix(#","duration_ms":\#(expected)}"# + "\n") == true)
    }

    @Test("many lines leave in one write, once")
    func together() throws {
        let capture = LogCapture()
        var batch = batch(capture, .json)
        batch.write()
        #expect(capture.lines.isEmpty)
        for number in 0..<3 {
            batch.begin(at: fixedTime)
            batch.add("n", number)
            batch.end()
        }
        let size = batch.size
        batch.write()
        #expect(batch.size == 0)
        batch.write()
        let writes = capture.lines
        #expect(writes.count == 1)
        #expect(writes.first?.utf8.count == size)
        let line = #"{"time":"2026-08-01T09:05:00.042Z","level":"info","msg":"Request","logger":"gateway","n":"#
        #expect(writes.first == (0..<3).map { line + "\($0)}\n" }.joined())
        batch.begin(at: fixedTime)
        batch.end()
        batch.write()
        #expect(capture.lines.count == 2)
    }
}
