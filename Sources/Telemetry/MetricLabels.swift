/// The labels of a series in the text form of the exposition, such as `cluster="a",listener="front"`: ordered by name,
/// values escaped. Two sets of labels are the same series exactly when these texts are equal.
struct MetricLabels: Hashable, Comparable, Sendable {
    static let none = MetricLabels(text: "")

    let text: String

    private init(text: String) {
        self.text = text
    }

    /// Of two labels with one name, the first counts.
    init(_ dimensions: [(String, String)]) {
        guard !dimensions.isEmpty else {
            self = .none
            return
        }
        var pairs: [(name: String, value: String)] = []
        for (name, value) in dimensions {
            let name = PrometheusText.labelName(name)
            if !pairs.contains(where: { $0.name == name }) { pairs.append((name, value)) }
        }
        pairs.sort { $0.name < $1.name }
        text = pairs.map { "\($0.name)=\"\(PrometheusText.escapedLabelValue($0.value))\"" }.joined(separator: ",")
    }

    static let foldedValue = "_other"

    /// The same label names, each with the value that stands for "too many to tell apart".
    static func folded(_ dimensions: [(String, String)]) -> MetricLabels {
        MetricLabels(dimensions.map { ($0.0, foldedValue) })
    }

    /// The value of a label, as it was given; nil where there is none of that name.
    func value(of name: String) -> String? {
        let quote = UInt8(ascii: "\""), backslash = UInt8(ascii: "\\")
        var rest = Substring(text).utf8
        while let equals = rest.firstIndex(of: UInt8(ascii: "=")) {
            let isWanted = rest[..<equals].elementsEqual(name.utf8)
            rest = rest[equals...].dropFirst(2)
            var value: [UInt8] = []
            while var byte = rest.popFirst(), byte != quote {
                if byte == backslash, let escaped = rest.popFirst() {
                    byte = escaped == UInt8(ascii: "n") ? UInt8(ascii: "\n") : escaped
                }
                value.append(byte)
            }
            if isWanted { return String(decoding: value, as: UTF8.self) }
            rest = rest.dropFirst()
        }
        return nil
    }

    /// In braces, together with one more label, or empty.
    func braced(adding label: String? = nil) -> String {
        switch (text.isEmpty, label) {
        case (true, nil): ""
        case (true, let label?): "{\(label)}"
        case (false, nil): "{\(text)}"
        case (false, let label?): "{\(text),\(label)}"
        }
    }

    static func < (lhs: Self, rhs: Self) -> Bool { lhs.text < rhs.text }
}
