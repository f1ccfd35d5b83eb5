import HTTPExchange
import NIOCore
import Testing

@testable import EdgeGateway

@Suite("Rate limits")
struct TokenBucketTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func at(_ milliseconds: Int64) -> NIODeadline { Self.start + .milliseconds(milliseconds) }

    private func bucket(_ rate: Int, _ burst: Int) throws -> TokenBucket {
        try #require(TokenBucket(.requests(rate: rate, burst: burst), now: Self.start))
    }

    @Test("a burst passes at once, then one as often as the rate says")
    func transcript() throws {
        var bucket = try bucket(10, 3)
        for _ in 0..<3 { #expect(bucket.take(now: at(0)) == nil) }
        #expect(bucket.take(now: at(0)) == .milliseconds(100))
        // Who asks in vain takes nothing.
        #expect(bucket.take(now: at(40)) == .milliseconds(60))
        #expect(bucket.take(now: at(100)) == nil)
        #expect(bucket.take(now: at(100)) == .milliseconds(100))
        #expect(bucket.take(now: at(199)) == .milliseconds(1))
        #expect(bucket.take(now: at(200)) == nil)
        // After a quiet time, however long, it is full and no fuller.
        for _ in 0..<3 { #expect(bucket.take(now: at(3_600_000)) == nil) }
        #expect(bucket.take(now: at(3_600_000)) == .milliseconds(100))
    }

    @Test(
        "what passes in a long time is the rate times the time, and the burst",
        arguments: [(100, 1000), (7, 1), (3, 30)])
    func average(rate: Int, burst: Int) throws {
        var bucket = try bucket(rate, burst)
        var passed = 0
        for millisecond in 0..<60_000 {
            while bucket.take(now: at(Int64(millisecond))) == nil { passed += 1 }
        }
        #expect(abs(passed - (burst + rate * 60)) <= 1)
    }

    @Test("a clock that seems to go back, as between event loops, gives nothing")
    func back() throws {
        var bucket = try bucket(1, 2)
        #expect(bucket.take(now: at(5000)) == nil)
        #expect(bucket.take(now: at(4990)) == .milliseconds(10))
        #expect(bucket.take(now: at(5000)) == nil)
        #expect(bucket.take(now: at(5000)) == .seconds(1))
    }

    @Test("other values take the debt along, as far as they know one")
    func change() throws {
        var old = try bucket(1, 1000)
        for _ in 0..<1000 { #expect(old.take(now: at(0)) == nil) }
        var new = try #require(TokenBucket(.requests(rate: 10, burst: 20), following: old, now: at(0)))
        #expect(new.take(now: at(0)) == .milliseconds(100))
        #expect(new.take(now: at(100)) == nil)
        var fresh = try #require(TokenBucket(.requests(rate: 10, burst: 20), following: try bucket(1, 1), now: at(0)))
        for _ in 0..<20 { #expect(fresh.take(now: at(0)) == nil) }
        #expect(TokenBucket(.off, following: old, now: at(0)) == nil)
    }

    @Test("who has to wait is told whole seconds, at least one, and the policy")
    func quota() throws {
        let bucket = try bucket(100, 1050)
        let quota = bucket.quota(of: "cluster", after: .milliseconds(10))
        #expect(quota == .init(policy: "cluster", burst: 1050, window: 11, retryAfter: 1))
        #expect(bucket.quota(of: "route", after: .milliseconds(2001)).retryAfter == 3)
    }

    @Test(
        "a limit is a rate with or without a burst, or off",
        arguments: [
            ("off", .off), ("50", .requests(rate: 50, burst: 500)), ("50:5", .requests(rate: 50, burst: 5)),
            ("1000000:10000000", .requests(rate: 1_000_000, burst: 10_000_000)), ("", nil), ("0", nil), ("50:0", nil),
            ("-1", nil), ("+1", nil), ("1.5", nil), ("50:", nil), (":50", nil), ("50:5:5", nil), ("50 : 5", nil),
            ("1000001", nil), ("1:10000001", nil), ("OFF", nil), ("99999999999999999999", nil), ("none", nil),
        ] as [(String, RateLimit?)])
    func reading(text: String, expected: RateLimit?) { #expect(RateLimit(text) == expected) }
}
