import Settings
import Testing

@Suite("Quantities and addresses")
struct QuantityTests {
    @Test(
        "A duration is whole numbers with units, from large to small",
        arguments: [
            ("500ms", 500), ("30s", 30_000), ("2m", 120_000), ("1h", 3_600_000), ("1h30m", 5_400_000),
            ("1m1s1ms", 61_001), ("0s", 0), ("", nil), ("30", nil), ("s", nil), ("1.5s", nil), ("1s1h", nil),
            ("1s1s", nil), ("-1s", nil), ("1 s", nil), ("1S", nil), ("99999999999999999h", nil), ("१s", nil),
        ] as [(String, Int64?)])
    func durations(text: String, milliseconds: Int64?) {
        #expect(DurationText.parse(text) == milliseconds.map { .milliseconds($0) })
    }

    @Test("A written duration is read back", arguments: [0, 1, 999, 1000, 61_001, 3_600_000, 90_061_001] as [Int64])
    func durationRoundTrip(milliseconds: Int64) {
        let duration = Duration.milliseconds(milliseconds)
        #expect(DurationText.parse(DurationText.format(duration)) == duration)
    }

    @Test(
        "A size is a whole number and a unit of powers of 1024",
        arguments: [
            ("0", 0), ("17", 17), ("17B", 17), ("512KiB", 524_288), ("64MiB", 67_108_864), ("2GiB", 2_147_483_648),
            ("", nil), ("MiB", nil), ("64MB", nil), ("64 MiB", nil), ("1.5MiB", nil), ("-1", nil),
            ("9999999999999GiB", nil),
        ] as [(String, Int?)])
    func sizes(text: String, bytes: Int?) {
        #expect(ByteCountText.parse(text) == bytes)
    }

    @Test("A written size is read back", arguments: [0, 1, 1023, 1024, 1536, 67_108_864, 1 << 40])
    func sizeRoundTrip(bytes: Int) {
        #expect(ByteCountText.parse(ByteCountText.format(bytes)) == bytes)
    }

    @Test(
        "An address range covers exactly the addresses with its prefix",
        arguments: [
            ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false), ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false), ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1/32", "::ffff:192.0.2.1", true), ("::/0", "fe80::1", true), ("::/0", "1.2.3.4", false),
            ("fd00::/8", "fdff:1::2", true), ("fd00::/8", "fe00::", false), ("2001:db8::/33", "2001:db8:8000::", false),
            ("2001:db8::1/128", "2001:db8::1", true),
        ])
    func ranges(range: String, address: String, contained: Bool) throws {
        let block = try #require(CIDRBlock(range))
        #expect(block.contains(try #require(IPAddress(address))) == contained)
    }

    @Test(
        "What is no address range is refused",
        arguments: [
            "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.1/8",
            "10.0.0/8",
            "::/129", "fd00::1/8", "host/8", "10.0.0.0/0008", "fe80::%eth0/64",
        ])
    func badRanges(text: String) {
        #expect(CIDRBlock(text) == nil)
    }

    @Test(
        "An address with port keeps the brackets of IPv6 out of the host",
        arguments: [
            ("127.0.0.1:8080", "127.0.0.1", 8080), ("[::]:0", "::", 0), ("localhost:65535", "localhost", 65535),
        ])
    func addresses(text: String, host: String, port: Int) throws {
        let address = try #require(HostAndPort(text))
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.description == text)
    }

    @Test(
        "What is no address with port is refused",
        arguments: [
            "", ":", ":80", "host", "host:", "host:+1", "host:65536", "::1:80", "[::1]", "[host]:1", "a b:1", "h/:1",
        ])
    func badAddresses(text: String) {
        #expect(HostAndPort(text) == nil)
    }

    @Test(
        "A URL knows its scheme's port and refuses what would be ignored",
        arguments: [
            ("wss://h", "wss://h:443"), ("ws://h/", "ws://h:80"), ("wss://[::1]:9/x", "wss://[::1]:9/x"),
            ("wss://[::1]", "wss://[::1]:443"), ("https://h", nil), ("wss://h?x", nil), ("wss://h#x", nil),
            ("wss://u:p@h", nil), ("wss:/h", nil), ("h:443", nil), ("wss://h:99999", nil), ("wss://h\n", nil),
        ] as [(String, String?)])
    func urls(text: String, expected: String?) {
        #expect(EndpointURL(text, schemes: ["wss", "ws"])?.description == expected)
    }
}
