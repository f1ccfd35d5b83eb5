package import Logging

/// Log lines that all have one message, written many at once: for what happens so often that a `Logger` would cost more
/// than the thing it tells of. They look as a `Logger`'s lines do.
///
/// Between `begin` and `end` fields are added in the order of their names; their names are snake_case and none of the
/// line's own.
package struct LogLineBatch: Sendable {
    private let format: LogFormat
    private let output: LogOutput
    private let beforeTime: [UInt8]
    private let afterTime: [UInt8]
    private var bytes: [UInt8] = []

    package init(
        format: LogFormat, label: String, message: String, level: Logger.Level = .info,
        output: LogOutput = .standardError
    ) {
        self.format = format
        self.output = output
        var after: [UInt8] = []
        switch format {
        case .json:
            beforeTime = Array(#"{"time":""#.utf8)
            after += #"","level":"\#(level.rawValue)","msg":"#.utf8
            JSONText.appendString(message, to: &after)
            after += #","logger":"#.utf8
            JSONText.appendString(label, to: &after)
        case .text:
            beforeTime = []
            after += TextLogHandler.beginning(level: level, label: label, message: message)
        }
        afterTime = after
    }

    /// Bytes that `write` would hand over.
    package var size: Int { bytes.count }

    /// Begins a line.
    package mutating func begin(at time: LogTimestamp) {
        bytes += beforeTime
        time.append(to: &bytes)
        bytes += afterTime
    }

    package mutating func add(_ name: StaticString, _ value: String) {
        addName(name)
        switch format {
        case .json: JSONText.appendString(value, to: &bytes)
        case .text: TextLogHandler.append(value, to: &bytes)
        }
    }

    package mutating func add(_ name: StaticString, _ value: Int) {
        addName(name)
        appendDecimal(value)
    }

    /// A number with three decimals.
    package mutating func add(_ name: StaticString, thousandths: Int64) {
        addName(name)
        let value = Int(max(0, thousandths))
        appendDecimal(value / 1000)
        bytes.append(UInt8(ascii: "."))
        let rest = value % 1000
        for digit in [rest / 100, rest / 10 % 10, rest % 10] { bytes.append(UInt8(ascii: "0") + UInt8(digit)) }
    }

    /// Ends the line.
    package mutating func end() {
        if format == .json { bytes.append(UInt8(ascii: "}")) }
        bytes.append(UInt8(ascii: "\n"))
    }

    /// Hands all lines to the output.
    package mutating func write() {
        guard !bytes.isEmpty else { return }
        output.write(bytes)
        bytes.removeAll(keepingCapacity: bytes.capacity <= 256 * 1024)
    }

    private mutating func addName(_ name: StaticString) {
        let name = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        switch format {
        case .json:
            bytes += #",""#.utf8
            bytes += name
            bytes += #"":"#.utf8
        case .text:
            bytes.append(UInt8(ascii: " "))
            bytes += name
            bytes.append(UInt8(ascii: "="))
        }
    }

    private mutating func appendDecimal(_ value: Int) {
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        let rest = value.magnitude
        var divisor: UInt = 1
        while rest / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(rest / divisor % 10))
            divisor /= 10
        }
    }
}
