import EdgeGateway
import NIOCore
import Routing

/// Looks requests up as the front door does, and times the look-ups alone.
struct LookupTimer {
    /// Nanoseconds of single look-ups, the two readings of the clock around each of them included.
    struct Report: Codable {
        var lookups = 0
        var hosts = 0
        var changedHosts = 0
        var p50: UInt64 = 0
        var p99: UInt64 = 0
        var p999: UInt64 = 0
        var most: UInt64 = 0
        /// What two readings of the clock with nothing between them take.
        var clock: UInt64 = 0
        /// Of batches, divided by their size: a reading of the clock counts for little in them.
        var batchSize = 0
        var batchMean = 0.0
        var batchP99 = 0.0
    }

    struct WrongAnswer: Error, CustomStringConvertible {
        var description: String
    }

    static let batchSize = 50

    var cache: RouteCache
    var requests: [RouteShape.Request]

    func run(_ count: Int) throws -> Report {
        // Once through all of them: every page is there, and every answer is the right one.
        for request in requests { try check(lookup(Asked(request)), request) }
        var report = Report(lookups: count, batchSize: Self.batchSize)
        report.clock = clock()
        let times = try singly(count).sorted()
        report.p50 = times[share: 0.5]
        report.p99 = times[share: 0.99]
        report.p999 = times[share: 0.999]
        report.most = times[times.count - 1]
        let batches = try inBatches(count / Self.batchSize).sorted()
        report.batchP99 = Double(batches[share: 0.99]) / Double(Self.batchSize)
        report.batchMean = Double(batches.reduce(0, +)) / Double(batches.count * Self.batchSize)
        return report
    }

    private func singly(_ count: Int) throws -> [UInt64] {
        var times: [UInt64] = []
        times.reserveCapacity(count)
        for number in 0..<count {
            let request = requests[number % requests.count]
            let asked = Asked(request)
            let began = NIODeadline.now().uptimeNanoseconds
            let answer = lookup(asked)
            times.append(NIODeadline.now().uptimeNanoseconds - began)
            try check(answer, request)
        }
        return times
    }

    private func inBatches(_ count: Int) throws -> [UInt64] {
        var times: [UInt64] = []
        var answers: [RouteLookup<ServedRoute>] = []
        for number in 0..<count {
            let batch = (0..<Self.batchSize).map { requests[(number * Self.batchSize + $0) % requests.count] }
            let asked = batch.map { Asked($0) }
            answers.removeAll(keepingCapacity: true)
            let began = NIODeadline.now().uptimeNanoseconds
            for one in asked { answers.append(lookup(one)) }
            times.append(NIODeadline.now().uptimeNanoseconds - began)
            for (answer, request) in zip(answers, batch) { try check(answer, request) }
        }
        return times
    }

    /// Median of the shortest thing that can be timed.
    private func clock() -> UInt64 {
        let times = (0..<10_001).map { _ in
            let began = NIODeadline.now().uptimeNanoseconds
            return NIODeadline.now().uptimeNanoseconds - began
        }
        return times.sorted()[share: 0.5]
    }

    @inline(never)
    private func lookup(_ asked: Asked) -> RouteLookup<ServedRoute> {
        cache.lookup(host: asked.host, path: asked.path)
    }

    private func check(_ answer: RouteLookup<ServedRoute>, _ request: RouteShape.Request) throws {
        let found: String? = if case .found(let route) = answer { route.cluster } else { nil }
        guard found == request.cluster else {
            throw WrongAnswer(
                description: "\(request.authority)\(request.target): expected \(request.cluster ?? "nothing"), "
                    + "found \(found ?? "nothing")")
        }
    }
}

/// What the front door has of a request when it looks its route up: texts of its own, just made of what the client sent.
private struct Asked {
    var host: String
    var path: Substring

    init(_ request: RouteShape.Request) {
        host = RequestHost.normalize(String(decoding: Array(request.authority.utf8), as: UTF8.self))
        let target = String(decoding: Array(request.target.utf8), as: UTF8.self)
        path = target.utf8.firstIndex(of: UInt8(ascii: "?")).map { target[..<$0] } ?? target[...]
    }
}

extension [UInt64] {
    /// Of sorted values the smallest that at least this share of all do not exceed.
    fileprivate subscript(share share: Double) -> UInt64 {
        self[Swift.max(0, Int((share * Double(count)).rounded(.up)) - 1)]
    }
}
