import Logging
import Telemetry
import Testing

@Suite("Text log lines")
struct TextLogHandlerTests {
    @Test("A record is one line that a person can read")
    func golden() {
        let capture = LogCapture()
        let logger = textLogger(capture, label: "pipeops-agent")
        logger.warning(
            "Tunnel lost",
            metadata: ["reason": "no answer", "retryInMs": .stringConvertible(500), "tunnel": "t-1", "e": ""])
        logger.critical("Stopped by an error")
        #expect(
            capture.lines == [
                "2026-08-01T09:05:00.042Z warning  pipeops-agent: Tunnel lost "
                    + #"e="" reason="no answer" retry_in_ms=500 tunnel=t-1"# + "\n",
                "2026-08-01T09:05:00.042Z critical pipeops-agent: Stopped by an error\n",
            ])
    }

    @Test("No text can end the line or steer the terminal")
    func injection() {
        let capture = LogCapture()
        let evil = "a\n2026 fake\r\u{1B}[2J\u{9B}31m\u{7F}\u{2028}"
        textLogger(capture, label: evil).info("\(evil)", metadata: ["k\n": "\(evil)", "d": ["\(evil)"]])
        let line = capture.lines.joined()
        let raw = line.dropLast().unicodeScalars.filter {
            [.control, .lineSeparator].contains($0.properties.generalCategory)
        }
        #expect(raw.isEmpty)
        #expect(line.contains(#"\u001b[2J"#))
    }
}
