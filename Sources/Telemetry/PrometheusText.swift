/// The text exposition format of Prometheus, version 0.0.4.
enum PrometheusText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    static func append(name: String, help: String?, family: MetricFamily, to text: inout String) {
        appendHeader(name: name, help: help, kind: family.kind, to: &text)
        for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
            switch series {
            case .counter(let counter):
                text += "\(name)\(labels.braced()) \(counter.text)\n"
            case .gauge(let gauge):
                text += "\(name)\(labels.braced()) \(number(gauge.value))\n"
            case .histogram(let histogram):
                append(name: name, labels: labels, histogram: histogram, to: &text)
            }
        }
    }

    static func appendHeader(name: String, help: String?, kind: MetricFamily.Kind, to text: inout String) {
        if let help { text += "# HELP \(name) \(escapedHelp(help))\n" }
        text += "# TYPE \(name) \(kind.rawValue)\n"
    }

    private static func append(
        name: String, labels: MetricLabels, histogram: HistogramSeries, to text: inout String
    ) {
        let distribution = histogram.distribution
        var cumulative: UInt64 = 0
        for (bound, count) in zip(histogram.bounds + [.infinity], distribution.counts) {
            cumulative &+= count
            text += "\(name)_bucket\(labels.braced(adding: "le=\"\(number(bound))\"")) \(cumulative)\n"
        }
        text += "\(name)_sum\(labels.braced()) \(number(distribution.sum))\n"
        text += "\(name)_count\(labels.braced()) \(cumulative)\n"
    }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value) { return whole.description }
        return value.description
    }

    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, other characters replaced by underscores.
    static func metricName(_ label: String) -> String { name(label, allowingColon: true) }

    /// `[a-zA-Z_][a-zA-Z0-9_]*`; `le`, which histograms use themselves, gets a prefix.
    static func labelName(_ label: String) -> String {
        let name = name(label, allowingColon: false)
        return name == "le" ? "label_le" : name
    }

    private static func name(_ source: String, allowingColon: Bool) -> String {
        var bytes = source.utf8.map { byte -> UInt8 in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                byte
            case UInt8(ascii: ":") where allowingColon: byte
            default: UInt8(ascii: "_")
            }
        }
        if bytes.first.map({ $0 <= UInt8(ascii: "9") }) ?? true { bytes.insert(UInt8(ascii: "_"), at: 0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func escapedLabelValue(_ value: String) -> String { escaped(value, quotes: true) }

    private static func escapedHelp(_ help: String) -> String { escaped(help, quotes: false) }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): bytes.append(contentsOf: #"\\"#.utf8)
            case UInt8(ascii: "\n"): bytes.append(contentsOf: #"\n"#.utf8)
            case UInt8(ascii: "\"") where quotes: bytes.append(contentsOf: #"\""#.utf8)
            default: bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
