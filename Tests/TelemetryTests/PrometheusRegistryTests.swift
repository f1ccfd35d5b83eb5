import CoreMetrics
import Metrics
import Telemetry
import Testing

@Suite("Prometheus exposition")
struct PrometheusRegistryTests {
    @Test("All kinds of metric appear with help, type, escaped labels and in a stable order")
    func golden() {
        let registry = PrometheusRegistry(describing: [
            MetricDescription("requests_total", help: "Requests\nanswered, \"all\" of them \\ ever."),
            MetricDescription(
                "request_seconds", help: "Time to the response head.", buckets: [1, 0.1, .infinity, 0.1]),
        ])
        let timer = Timer(label: "request_seconds", dimensions: [], factory: registry)
        timer.recordMilliseconds(50)
        timer.recordMilliseconds(100)
        timer.recordSeconds(3)
        Counter(label: "requests_total", dimensions: [("host", "b")], factory: registry).increment(by: 2)
        Counter(label: "requests_total", dimensions: [("status", "200"), ("host", "a\"\\\n")], factory: registry)
            .increment()
        Gauge(label: "tunnels.open", dimensions: [], factory: registry).record(1.5)
        let meter = Meter(label: "meter", dimensions: [("cluster-uuid", "x")], factory: registry)
        meter.set(5)
        meter.increment(by: 2.5)
        meter.decrement()
        #expect(
            registry.exposition() == #"""
                # TYPE meter gauge
                meter{cluster_uuid="x"} 6.5
                # HELP request_seconds Time to the response head.
                # TYPE request_seconds histogram
                request_seconds_bucket{le="0.1"} 2
                request_seconds_bucket{le="1"} 2
                request_seconds_bucket{le="+Inf"} 3
                request_seconds_sum 3.15
                request_seconds_count 3
                # HELP requests_total Requests\nanswered, "all" of them \\ ever.
                # TYPE requests_total counter
                requests_total{host="a\"\\\n",status="200"} 1
                requests_total{host="b"} 2
                # TYPE tunnels_open gauge
                tunnels_open 1.5

                """#)
    }

    @Test("A histogram with labels keeps them beside the bucket's bound")
    func labelledHistogram() {
        let registry = PrometheusRegistry(describing: [MetricDescription("h", help: "", buckets: [1])])
        Recorder(label: "h", dimensions: [("a", "b"), ("le", "c")], aggregate: true, factory: registry).record(1)
        #expect(registry.exposition().contains(#"h_bucket{a="b",label_le="c",le="1"} 1"# + "\n"))
    }

    @Test("Metrics made twice with the same labels in any order share one series")
    func sharing() {
        let registry = PrometheusRegistry()
        Counter(label: "c", dimensions: [("a", "1"), ("b", "2")], factory: registry).increment(by: 3)
        Counter(label: "c", dimensions: [("b", "2"), ("a", "1")], factory: registry).increment(by: 4)
        FloatingPointCounter(label: "c", dimensions: [("a", "1"), ("b", "2")], factory: registry).increment(by: 0.5)
        #expect(registry.exposition().contains(#"c{a="1",b="2"} 7.5"#))
    }

    @Test("Values that are no finite number are written as Prometheus spells them, and a counter takes none")
    func specialValues() {
        let registry = PrometheusRegistry()
        let gauge = Gauge(label: "g", dimensions: [], factory: registry)
        for (value, text) in [(Double.nan, "NaN"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (1e300, "1e+300")] {
            gauge.record(value)
            #expect(registry.exposition().contains("g \(text)\n"))
        }
        let counter = FloatingPointCounter(label: "c", dimensions: [], factory: registry)
        counter.increment(by: Double.nan)
        counter.increment(by: -1.0)
        counter.increment(by: Double.infinity)
        #expect(registry.exposition().contains("c 0\n"))
    }

    @Test("Beyond the limit, new sets of labels are counted together and the registry says so")
    func cardinality() {
        let registry = PrometheusRegistry(seriesLimit: 2)
        for host in ["a", "b", "c", "d", "a"] {
            Counter(label: "requests_total", dimensions: [("host", host)], factory: registry).increment()
        }
        Counter(label: "other_total", dimensions: [], factory: registry).increment()
        let text = registry.exposition()
        #expect(text.contains(#"requests_total{host="a"} 2"#))
        #expect(text.contains(#"requests_total{host="b"} 1"#))
        #expect(text.contains(#"requests_total{host="_other"} 2"#))
        #expect(!text.contains(#"host="c""#))
        #expect(text.contains(#"metrics_series_folded_total{metric="requests_total"} 2"#))
        #expect(!text.contains(#"metric="other_total""#))
    }

    @Test("However many names of labels come, a metric's series stay bounded")
    func cardinalityOfNames() {
        let registry = PrometheusRegistry(seriesLimit: 2)
        for index in 0..<1000 {
            Counter(label: "c", dimensions: [("name\(index)", "v")], factory: registry).increment()
        }
        #expect(registry.exposition().split(separator: "\n").count { $0.hasPrefix("c{") } <= 20)
    }

    @Test("Series with a label of a value are removed from all metrics, whatever is in the other values")
    func removedByLabel() {
        let registry = PrometheusRegistry()
        let tricky = "a\\\",cluster=\"b\",\n="
        for cluster in ["b", "bb", tricky] {
            Counter(label: "requests", dimensions: [("cluster", cluster), ("z", "1")], factory: registry).increment()
            Gauge(label: "health", dimensions: [("a", tricky), ("cluster", cluster)], factory: registry).record(1)
        }
        Counter(label: "others", dimensions: [("xcluster", "b")], factory: registry).increment()
        #expect(registry.values(of: "cluster") == ["b", "bb", tricky])
        registry.remove(label: "cluster", value: "b")
        #expect(registry.values(of: "cluster") == ["bb", tricky])
        registry.remove(label: "cluster", value: tricky)
        #expect(registry.values(of: "cluster") == ["bb"])
        #expect(registry.exposition().contains("requests{cluster=\"bb\",z=\"1\"} 1\n"))
        #expect(registry.values(of: "xcluster") == ["b"])
    }

    @Test("A destroyed series disappears, makes room, and does not take a newer one with it")
    func destruction() {
        let registry = PrometheusRegistry(seriesLimit: 1)
        let first = Counter(label: "c", dimensions: [("t", "1")], factory: registry)
        first.increment()
        first.destroy()
        #expect(!registry.exposition().contains(#"t="1""#))
        let second = Counter(label: "c", dimensions: [("t", "1")], factory: registry)
        second.increment(by: 5)
        first.increment(by: 100)
        first.destroy()
        #expect(registry.exposition().contains(#"c{t="1"} 5"#))

        let timer = Timer(label: "t", dimensions: [], factory: registry)
        let gauge = Gauge(label: "g", dimensions: [], factory: registry)
        let meter = Meter(label: "m", dimensions: [], factory: registry)
        timer.destroy()
        gauge.destroy()
        meter.destroy()
        second.destroy()
        #expect(!registry.exposition().contains("\nc{"))
        #expect(!registry.exposition().contains("t_count"))
        #expect(!registry.exposition().contains("g 0"))
        #expect(!registry.exposition().contains("m 0"))
    }

    @Test("One name used as two kinds of metric is counted as a conflict and stays the first kind")
    func conflict() {
        let registry = PrometheusRegistry()
        Counter(label: "x", dimensions: [], factory: registry).increment()
        Gauge(label: "x", dimensions: [], factory: registry).record(9)
        let text = registry.exposition()
        #expect(text.contains("# TYPE x counter\nx 1\n"))
        #expect(text.contains(#"metrics_kind_conflicts_total{metric="x"} 1"#))
    }

    @Test("Names that Prometheus does not allow are made allowed")
    func names() {
        let registry = PrometheusRegistry()
        Counter(label: "9 lives-größe", dimensions: [("0:x", "v")], factory: registry).increment()
        #expect(registry.exposition().contains(#"_9_lives_gr____e{_0_x="v"} 1"#))
    }

    @Test("Counting from many tasks loses nothing")
    func concurrency() async {
        let registry = PrometheusRegistry()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let counter = Counter(label: "c", dimensions: [("a", "b")], factory: registry)
                    let fraction = FloatingPointCounter(label: "f", dimensions: [], factory: registry)
                    let timer = Timer(label: "t", dimensions: [], factory: registry)
                    for _ in 0..<1000 {
                        counter.increment()
                        fraction.increment(by: 0.5)
                        timer.recordMilliseconds(1)
                    }
                }
            }
        }
        let text = registry.exposition()
        #expect(text.contains(#"c{a="b"} 8000"#))
        #expect(text.contains("f 4000\n"))
        #expect(text.contains("t_count 8000\n"))
    }
}
