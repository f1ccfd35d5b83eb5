import NIOCore
import Settings
import Testing

@testable import EdgeGateway

@Suite("Failed attempts by address")
struct FailureLimiterTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test("as many as the limit at once, and another one each time the limit has room")
    func bucket() {
        var limiter = FailureLimiter(perMinute: 3)
        let address = IPAddress("192.0.2.1")
        for _ in 0..<3 {
            #expect(limiter.wait(address, now: Self.start) == nil)
            limiter.failed(address, now: Self.start)
        }
        #expect(limiter.wait(address, now: Self.start) == 20)
        // Those beyond the limit cost nothing more.
        for _ in 0..<100 { limiter.failed(address, now: Self.start) }
        #expect(limiter.wait(address, now: Self.start + .milliseconds(18_500)) == 2)
        #expect(limiter.wait(address, now: Self.start + .seconds(20)) == nil)
        limiter.failed(address, now: Self.start + .seconds(20))
        #expect(limiter.wait(address, now: Self.start + .seconds(20)) == 20)
        #expect(limiter.wait(address, now: Self.start + .seconds(200)) == nil)
    }

    @Test("IPv4 addresses count alone, mapped ones as themselves, IPv6 ones by their /64, unknown ones never")
    func subscribers() {
        var limiter = FailureLimiter(perMinute: 1)
        for text in ["192.0.2.1", "2001:db8:0:1::1"] { limiter.failed(IPAddress(text), now: Self.start) }
        for (text, isLimited) in [
            ("192.0.2.1", true), ("::ffff:192.0.2.1", true), ("192.0.2.2", false), ("2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:2::1", false),
        ] {
            #expect((limiter.wait(IPAddress(text), now: Self.start) != nil) == isLimited, "\(text)")
        }
        limiter.failed(nil, now: Self.start)
        #expect(limiter.wait(nil, now: Self.start) == nil)
    }

    @Test("the table stays bounded, and who failed most is remembered longest")
    func eviction() {
        var limiter = FailureLimiter(perMinute: 10)
        let worst = IPAddress("203.0.113.1")
        for _ in 0..<10 { limiter.failed(worst, now: Self.start) }
        for number in 0..<40_000 {
            limiter.failed(IPAddress("10.\(number >> 16).\(number >> 8 & 255).\(number & 255)"), now: Self.start)
            if number.isMultiple(of: 1000) { #expect(limiter.count <= FailureLimiter.mostAddresses) }
        }
        #expect(limiter.count <= FailureLimiter.mostAddresses)
        #expect(limiter.wait(worst, now: Self.start) != nil)
        // Who is within the limit by now is forgotten first.
        limiter.failed(worst, now: Self.start + .seconds(120))
        for number in 0..<FailureLimiter.mostAddresses {
            limiter.failed(IPAddress("11.0.\(number >> 8).\(number & 255)"), now: Self.start + .seconds(120))
        }
        #expect(limiter.count <= FailureLimiter.mostAddresses)
    }
}
