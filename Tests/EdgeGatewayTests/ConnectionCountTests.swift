import Settings
import Testing

@testable import EdgeGateway

@Suite("Connections counted")
struct ConnectionCountTests {
    private func ip(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    /// Which of the clients, one after another, may have a connection more.
    private func join(_ count: inout ConnectionCount, _ clients: [String]) throws -> [Bool] {
        try clients.map { count.joined(try ip($0)) }
    }

    @Test("there may be so many, and one more for each that is closed")
    func total() {
        var count = ConnectionCount(most: 2, mostPerAddress: nil)
        let first = (0..<4).map { _ in count.opened() }
        #expect(first == [true, true, false, false])
        count.closed()
        let second = (0..<2).map { _ in count.opened() }
        #expect(second == [true, false])
    }

    @Test("a client may have so many; an IPv6 network of 64 bits is one client")
    func perAddress() throws {
        var count = ConnectionCount(most: 100, mostPerAddress: 2)
        let four = try join(&count, ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"])
        #expect(four == [true, true, false, true])
        let six = try join(
            &count, ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:1::3", "2001:db8:0:2::1"])
        #expect(six == [true, true, false, true])
        count.left(try ip("2001:db8:0:1::1"))
        let again = try join(&count, ["2001:db8:0:1::4", "2001:db8:0:1::5"])
        #expect(again == [true, false])
    }

    @Test("who has left is forgotten")
    func forgotten() throws {
        var count = ConnectionCount(most: 100, mostPerAddress: 2)
        let clients = (0..<50).map { "10.0.0.\($0)" }
        let joined = try join(&count, clients + clients)
        #expect(!joined.contains(false))
        #expect(count.clients == 50)
        for client in clients + clients { count.left(try ip(client)) }
        #expect(count.clients == 0)
        let again = try join(&count, clients)
        #expect(!again.contains(false))
    }

    @Test("where clients are not limited, none is kept in mind")
    func unlimited() throws {
        var count = ConnectionCount(most: 100, mostPerAddress: nil)
        let joined = try join(&count, Array(repeating: "10.0.0.1", count: 1000))
        #expect(!joined.contains(false))
        #expect(count.clients == 0)
    }

    @Test("unless a setting says otherwise, three quarters of the files are connections, up to 50,000")
    func derived() {
        var limits = FrontLimits()
        #expect(limits.connections(files: 1024) == 768)
        #expect(limits.connections(files: 1) == 1)
        #expect(limits.connections(files: 1 << 20) == 50_000)
        limits.connections = 5000
        #expect(limits.connections(files: 1024) == 5000)
    }
}
