package import NIOCore

/// What a proxy says before a connection's own bytes about whom it speaks for: the header of the PROXY protocol,
/// version 1 or 2 (haproxy's `proxy-protocol.txt`).
package enum ProxyHeader: Equatable, Sendable {
    /// The client at the proxy's other side.
    case client(SocketAddress)
    /// The proxy speaks for itself (LOCAL), or for somebody who has no IP address it could name (UNKNOWN, UNSPEC,
    /// sockets of other kinds).
    case peer

    /// Why bytes are no such header; a sentence's end.
    package struct Invalid: Error, Hashable, CustomStringConvertible {
        package let description: String

        init(_ description: String) { self.description = description }
    }

    /// The longest header of version 1 in bytes, its CR and LF included (§2.1).
    private static let longestText = 107
    /// The longest header of version 2 in bytes: what follows its first sixteen may be longer than anybody sends.
    package static let longest = 16 + 4096

    private static let textSignature = Array("PROXY ".utf8)
    private static let binarySignature = Array("\r\n\r\n\0\r\nQUIT\n".utf8)

    /// Takes the header from the front of what has arrived; `nil` until it has arrived whole. What is none is refused at
    /// the first byte that shows it.
    package static func take(from buffer: inout ByteBuffer) throws(Invalid) -> ProxyHeader? {
        switch buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) {
        case nil: return nil
        case textSignature[0]: return try takeText(from: &buffer)
        case binarySignature[0]: return try takeBinary(from: &buffer)
        default: throw Invalid("does not begin with a header of the PROXY protocol")
        }
    }

    /// Whether the whole signature is there; throws where what has arrived is the beginning of another.
    private static func begins(_ buffer: ByteBuffer, with signature: [UInt8]) throws(Invalid) -> Bool {
        let start = buffer.readableBytesView.prefix(signature.count)
        guard start.elementsEqual(signature.prefix(start.count)) else {
            throw Invalid("does not begin with a header of the PROXY protocol")
        }
        return buffer.readableBytes >= signature.count
    }

    // MARK: Version 1

    private static func takeText(from buffer: inout ByteBuffer) throws(Invalid) -> ProxyHeader? {
        guard try begins(buffer, with: textSignature) else { return nil }
        let start = buffer.readableBytesView.prefix(longestText)
        guard let end = start.firstIndex(of: 0x0A) else {
            guard start.count < longestText else { throw Invalid("has a PROXY line that is too long") }
            return nil
        }
        let line = start[..<end]
        guard line.last == 0x0D else { throw Invalid("has a PROXY line that does not end with CR and LF") }
        let header = try text(String(decoding: line.dropLast(), as: UTF8.self))
        buffer.moveReaderIndex(forwardBy: line.count + 1)
        return header
    }

    /// - Parameter line: without its end.
    private static func text(_ line: String) throws(Invalid) -> ProxyHeader {
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        // Whatever follows UNKNOWN is to be ignored.
        if words.count > 1, words[1] == "UNKNOWN" { return .peer }
        guard words.count == 6, words[1] == "TCP4" || words[1] == "TCP6" else {
            throw Invalid("has a PROXY line that is not a family, two addresses and two ports")
        }
        let isIPv6 = words[1] == "TCP6"
        guard let source = address(words[2], words[4], isIPv6: isIPv6),
            address(words[3], words[5], isIPv6: isIPv6) != nil
        else { throw Invalid("has a PROXY line with an address or a port that is none of its family") }
        return .client(source)
    }

    private static func address(_ text: Substring, _ port: Substring, isIPv6: Bool) -> SocketAddress? {
        let digits = port.utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard digits, port == "0" || port.first != "0", let number = UInt16(port),
            // Nothing that a reader of C strings would not see.
            text.utf8.allSatisfy({ $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ":") || isHexadecimal($0) }),
            let address = try? SocketAddress(ipAddress: String(text), port: Int(number))
        else { return nil }
        return isIPv6 == (address.protocol == .inet6) ? address : nil
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
    }

    // MARK: Version 2

    private static func takeBinary(from buffer: inout ByteBuffer) throws(Invalid) -> ProxyHeader? {
        guard try begins(buffer, with: binarySignature) else { return nil }
        var copy = buffer
        copy.moveReaderIndex(forwardBy: binarySignature.count)
        guard let command = copy.readInteger(as: UInt8.self) else { return nil }
        guard command == 0x20 || command == 0x21 else {
            throw Invalid("has a PROXY header of another version than 1 and 2, or with an unknown command")
        }
        guard let family = copy.readInteger(as: UInt8.self), let length = copy.readInteger(as: UInt16.self) else {
            return nil
        }
        guard 16 + Int(length) <= longest else { throw Invalid("has a PROXY header that is too long") }
        guard let body = copy.readSlice(length: Int(length)) else { return nil }
        let header = buffer.getSlice(at: buffer.readerIndex, length: 16 + Int(length)) ?? ByteBuffer()
        buffer = copy
        // Whatever a proxy says of itself is to be discarded.
        return command == 0x20 ? .peer : try binary(family, body, header)
    }

    /// - Parameters:
    ///   - body: what follows the first sixteen bytes.
    ///   - header: all of it.
    private static func binary(
        _ family: UInt8, _ body: ByteBuffer, _ header: ByteBuffer
    ) throws(Invalid) -> ProxyHeader {
        switch family {
        case 0x11: return try binary(addressSize: 4, body, header)
        case 0x21: return try binary(addressSize: 16, body, header)
        // UNSPEC, datagrams and Unix sockets: none of them comes by TCP, and each is valid.
        case 0x00, 0x12, 0x22, 0x31, 0x32: return .peer
        default: throw Invalid("has a PROXY header of an unknown family")
        }
    }

    /// Source, destination, a port for each, and fields that nobody has to know.
    private static func binary(
        addressSize: Int, _ body: ByteBuffer, _ header: ByteBuffer
    ) throws(Invalid) -> ProxyHeader {
        var body = body
        guard let source = body.readSlice(length: addressSize), body.readSlice(length: addressSize) != nil,
            let port = body.readInteger(as: UInt16.self), body.readInteger(as: UInt16.self) != nil,
            let address = try? SocketAddress(packedIPAddress: source, port: Int(port))
        else { throw Invalid("has a PROXY header that is too short for its addresses") }
        while body.readableBytes > 0 {
            guard let type = body.readInteger(as: UInt8.self), let length = body.readInteger(as: UInt16.self) else {
                throw Invalid("has a PROXY header with a field cut short")
            }
            let position = header.readableBytes - body.readableBytes
            guard var value = body.readSlice(length: Int(length)) else {
                throw Invalid("has a PROXY header with a field cut short")
            }
            guard type == 0x03 else { continue }
            guard length == 4, value.readInteger(as: UInt32.self) == checksum(of: header, without: position) else {
                throw Invalid("has a PROXY header whose checksum does not match")
            }
        }
        return .client(address)
    }

    /// CRC-32C of the header, with zeros where the checksum itself stands (§2.2.3; RFC 9260 appendix A).
    private static func checksum(of header: ByteBuffer, without position: Int) -> UInt32 {
        var sum = UInt32.max
        for (index, byte) in header.readableBytesView.enumerated() {
            sum ^= (position..<position + 4).contains(index) ? 0 : UInt32(byte)
            for _ in 0..<8 { sum = sum & 1 == 0 ? sum >> 1 : sum >> 1 ^ 0x82F6_3B78 }
        }
        return ~sum
    }
}
