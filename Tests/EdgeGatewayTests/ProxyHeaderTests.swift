import Foundation
import NIOCore
import Testing

@testable import EdgeGateway

/// A header of version 2 around what follows its length.
private func binary(
    _ command: UInt8 = 0x21, _ family: UInt8 = 0x11, _ body: [UInt8] = [192, 0, 2, 7, 10, 0, 0, 1, 0x80, 0, 1, 0xBB],
    length: Int? = nil
) -> ByteBuffer {
    var buffer = ByteBuffer(string: "\r\n\r\n\0\r\nQUIT\n")
    buffer.writeInteger(command)
    buffer.writeInteger(family)
    buffer.writeInteger(UInt16(length ?? body.count))
    buffer.writeBytes(body)
    return buffer
}

private let addresses: [UInt8] = [192, 0, 2, 7, 10, 0, 0, 1, 0x80, 0, 1, 0xBB]

@Suite("The header of the PROXY protocol")
struct ProxyHeaderTests {
    /// What comes of the bytes, which is the same however they arrive; what follows them stays.
    private func take(_ bytes: ByteBuffer) throws(ProxyHeader.Invalid) -> ProxyHeader? {
        var whole = bytes
        whole.writeString("GET ")
        let result = Result { () throws(ProxyHeader.Invalid) in try ProxyHeader.take(from: &whole) }
        if case .success(_?) = result { #expect(String(buffer: whole) == "GET ") }
        var drip = ByteBuffer()
        var last = Result<ProxyHeader?, ProxyHeader.Invalid>.success(nil)
        for byte in bytes.readableBytesView {
            drip.writeInteger(byte)
            last = Result { () throws(ProxyHeader.Invalid) in try ProxyHeader.take(from: &drip) }
            guard case .success(nil) = last else { break }
        }
        #expect(last == result)
        return try result.get()
    }

    private func take(_ text: String) throws(ProxyHeader.Invalid) -> ProxyHeader? {
        try take(ByteBuffer(string: text))
    }

    private func client(_ ip: String, _ port: Int) throws -> ProxyHeader {
        .client(try SocketAddress(ipAddress: ip, port: port))
    }

    @Test("version 1 names a client of either family")
    func text() throws {
        #expect(try take("PROXY TCP4 192.0.2.7 10.0.0.1 32768 443\r\n") == client("192.0.2.7", 32768))
        #expect(try take("PROXY TCP6 2001:db8::7 ::1 0 65535\r\n") == client("2001:db8::7", 0))
        let longest =
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
        #expect(try take(longest) == client("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535))
    }

    @Test("version 1 may know no client, whatever else it says")
    func unknown() throws {
        #expect(try take("PROXY UNKNOWN\r\n") == .peer)
        #expect(try take("PROXY UNKNOWN ffff::1 what ever 1\r\n") == .peer)
        let longest = "PROXY UNKNOWN " + String(repeating: "x", count: 91) + "\r\n"
        #expect(longest.utf8.count == 107)
        #expect(try take(longest) == .peer)
        #expect(throws: ProxyHeader.Invalid.self) { try take("PROXY UNKNOWN x" + longest.dropFirst(14)) }
    }

    @Test(
        "what is no line of version 1 is refused",
        arguments: [
            "GET / HTTP/1.1\r\n", "PUT / HTTP/1.1\r\n", "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY\r\n", "PROXY \r\n",
            "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.400 1 2\r\n", "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
            "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 -2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "PROXY TCP4 1.2.3.4\0x 1.2.3.4 1 2\r\n",
            "PROXY TCP6 fe80::1%lo ::1 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2" + String(repeating: " ", count: 90),
        ])
    func badText(text: String) {
        #expect(throws: ProxyHeader.Invalid.self) { try take(text) }
    }

    @Test("version 2 names a client of either family")
    func binaryClient() throws {
        #expect(try take(binary()) == client("192.0.2.7", 32768))
        let ports: [UInt8] = [0, 80, 1, 0xBB]
        let six = [UInt8](repeating: 0x20, count: 16) + [UInt8](repeating: 0, count: 16) + ports
        #expect(
            try take(binary(0x21, 0x21, six)) == client("2020:2020:2020:2020:2020:2020:2020:2020", 80))
    }

    @Test("version 2 may speak for the proxy, or for what has no address that counts")
    func binaryPeer() throws {
        #expect(try take(binary(0x20, 0x00, [])) == .peer)
        // What LOCAL says of addresses is not looked at, nor anything else that it says.
        #expect(try take(binary(0x20, 0x11, [1, 2, 3])) == .peer)
        #expect(try take(binary(0x20, 0xFF, [0x03, 0, 4, 0, 0, 0, 0])) == .peer)
        #expect(try take(binary(0x21, 0x00, [])) == .peer)
        #expect(try take(binary(0x21, 0x31, [UInt8](repeating: 0x2F, count: 216))) == .peer)
        #expect(try take(binary(0x21, 0x12)) == .peer)
    }

    @Test("further fields are passed over, if they are whole")
    func fields() throws {
        #expect(
            try take(binary(0x21, 0x11, addresses + [0x02, 0, 1, 0x61, 0x04, 0, 0, 0xEA, 0, 2, 1, 2]))
                == client("192.0.2.7", 32768))
        #expect(throws: ProxyHeader.Invalid.self) { try take(binary(0x21, 0x11, addresses + [0x02, 0])) }
        #expect(throws: ProxyHeader.Invalid.self) { try take(binary(0x21, 0x11, addresses + [0x02, 0, 2, 0x61])) }
        let longest: [UInt8] = [0xEA, 0x0F, 0xF1] + [UInt8](repeating: 0, count: 4081)
        let most = addresses + longest
        #expect(try take(binary(0x21, 0x11, most)) == client("192.0.2.7", 32768))
        #expect(throws: ProxyHeader.Invalid.self) { try take(binary(0x21, 0x11, addresses, length: 4097)) }
    }

    @Test("a checksum has to match where there is one")
    func checksum() throws {
        let sent: [UInt8] = addresses + [0x04, 0, 1, 0, 0x03, 0, 4]
        // CRC-32C, by another's code.
        let sum: [UInt8] = [0x32, 0x73, 0xBA, 0x13]
        #expect(try take(binary(0x21, 0x11, sent + sum)) == client("192.0.2.7", 32768))
        #expect(throws: ProxyHeader.Invalid.self) { try take(binary(0x21, 0x11, sent + sum.reversed())) }
        #expect(throws: ProxyHeader.Invalid.self) { try take(binary(0x21, 0x11, addresses + [0x03, 0, 1, 0])) }
    }

    @Test("what is no header of version 2 is refused")
    func badBinary() {
        for (command, family): (UInt8, UInt8) in [(0x11, 0x11), (0x31, 0x11), (0x22, 0x11), (0x21, 0x13), (0x21, 0x41)]
        {
            #expect(throws: ProxyHeader.Invalid.self) { try take(binary(command, family)) }
        }
        #expect(throws: ProxyHeader.Invalid.self) { try take(binary(0x21, 0x21)) }
        #expect(throws: ProxyHeader.Invalid.self) { try take(binary(0x21, 0x11, Array(addresses.dropLast()))) }
        #expect(throws: ProxyHeader.Invalid.self) { try take("\r\n\r\nGET / HTTP/1.1\r\n") }
        #expect(throws: ProxyHeader.Invalid.self) { try take("\u{16}\u{03}\u{01}") }
    }

    @Test("what is cut short waits for the rest")
    func incomplete() throws {
        for whole in [binary(), ByteBuffer(string: "PROXY TCP4 192.0.2.7 10.0.0.1 32768 443\r\n")] {
            for length in 0..<whole.readableBytes {
                var start = try #require(whole.getSlice(at: 0, length: length))
                let header = try ProxyHeader.take(from: &start)
                #expect(header == nil)
                #expect(start.readableBytes == length)
            }
        }
    }

    @Test("Every seed and every past crash of the fuzzer passes")
    func corpus() throws {
        let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fuzz/corpus")
        var count = 0
        for file in try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil) {
            let input = try Data(contentsOf: file)
            guard let first = input.first, first % 7 == FirstBytesFuzzCase.remainder else { continue }
            count += 1
            input.withUnsafeBytes { FirstBytesFuzzCase.run($0) }
        }
        #expect(count >= 4)
    }
}
