package import NIOCore

/// The fields of a head or of trailers: in order, with their spelling and repetition.
///
/// They are kept as they lie on the wire of a tunnel (`docs/tunnel-protocol.md`, "HEADERS"): for each field the length
/// of its name (u16), the name, the length of its value (u16), the value. So a head that only passes through is checked
/// and copied and never turned into strings, which is what it would cost most time for.
package struct HeaderFields: Sendable {
    @usableFromInline package private(set) var count = 0
    /// `count` fields, as on the wire.
    @usableFromInline package private(set) var block: ByteBuffer

    /// Whether all names and values are allowed in HTTP: known since they were read, so that nobody need look again.
    package private(set) var isSound = true

    /// Bytes of a field beside its name and value.
    static let overhead = 4

    package init() { block = ByteBuffer() }

    /// - Parameter bytes: to make room for at once.
    package init(reserving bytes: Int) { block = ByteBufferAllocator().buffer(capacity: bytes) }

    /// For a choice of the fields of another, with room for all of them and some more.
    package init(choosingFrom other: HeaderFields) {
        self.init(reserving: other.byteCount + 128)
        isSound = other.isSound
    }

    /// Takes fields from the wire, which `FieldBlockReader` has checked.
    init(checked block: ByteBuffer, count: Int) {
        self.block = block
        self.count = count
    }

    package var isEmpty: Bool { count == 0 }

    /// Bytes of all names and values, each with its length.
    package var byteCount: Int { block.readableBytes }

    /// The longest name or value; readers of HTTP let no longer one through.
    package static let longestValue = 0xFFFF

    /// Appends a field. A name or value of more than `longestValue` bytes is cut there.
    package mutating func add(name: some StringProtocol, value: some StringProtocol) {
        var (name, value) = (String(name), String(value))
        name.withUTF8 { name in
            value.withUTF8 { value in
                let field = HeaderField(name: UnsafeRawBufferPointer(name), value: UnsafeRawBufferPointer(value))
                isSound = isSound && FieldSyntax.isName(field.name) && FieldSyntax.isValue(field.value)
                add(field)
            }
        }
    }

    /// Appends a field from bytes that are known to be sound.
    package mutating func add(_ field: HeaderField) {
        let nameLength = Swift.min(field.name.count, 0xFFFF)
        let valueLength = Swift.min(field.value.count, 0xFFFF)
        block.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.overhead + nameLength + valueLength) { space in
            space.storeBytes(of: UInt16(nameLength).bigEndian, as: UInt16.self)
            space.copy(field.name, nameLength, to: 2)
            space.storeBytes(of: UInt16(valueLength).bigEndian, toByteOffset: 2 + nameLength, as: UInt16.self)
            space.copy(field.value, valueLength, to: Self.overhead + nameLength)
            return Self.overhead + nameLength + valueLength
        }
        count += 1
    }

    /// Calls `body` with each field, in order. The bytes are valid during the call only.
    @inlinable
    package func forEachField(_ body: (HeaderField) -> Void) {
        block.withUnsafeReadableBytes { bytes in
            var position = 0
            for _ in 0..<count {
                let name = Self.text(at: &position, in: bytes)
                let value = Self.text(at: &position, in: bytes)
                body(HeaderField(name: name, value: value))
            }
        }
    }

    @usableFromInline
    package static func text(at position: inout Int, in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let length = Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt16.self)))
        let start = position + 2
        position = start + length
        return UnsafeRawBufferPointer(rebasing: bytes[start..<position])
    }

    /// The values of all fields of this name, in order; case does not count.
    package subscript(name: String) -> [String] {
        var values: [String] = []
        forEachField { field in if field.isNamed(name) { values.append(field.valueText) } }
        return values
    }

    package func first(name: String) -> String? { self[name].first }

    package func contains(name: String) -> Bool {
        var found = false
        forEachField { field in if field.isNamed(name) { found = true } }
        return found
    }

    /// The members of the comma-separated lists that the fields of this name hold (RFC 9110 §5.6.1).
    package func list(_ name: String) -> [String] {
        var members: [String] = []
        forEachField { field in
            guard field.isNamed(name) else { return }
            field.forEachMember { members.append(String(decoding: $0, as: UTF8.self)) }
        }
        return members
    }
}

/// One field, as bytes that somebody else owns.
package struct HeaderField {
    package let name: UnsafeRawBufferPointer
    package let value: UnsafeRawBufferPointer

    @inlinable
    package init(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        self.name = name
        self.value = value
    }

    package var nameText: String { String(decoding: name, as: UTF8.self) }
    /// Bytes that are not UTF-8 become U+FFFD here, and nowhere else: what passes through stays as it is.
    package var valueText: String { String(decoding: value, as: UTF8.self) }

    /// Calls `body` with each member of the comma-separated list that the value is (RFC 9110 §5.6.1), up to white space.
    package func forEachMember(_ body: (UnsafeRawBufferPointer) -> Void) {
        var start = 0
        while start < value.count {
            let byte = value[start]
            guard byte != UInt8(ascii: ","), byte != 0x20, byte != 0x09 else {
                start += 1
                continue
            }
            var end = start
            while end < value.count, value[end] != UInt8(ascii: ","), value[end] != 0x20, value[end] != 0x09 {
                end += 1
            }
            body(UnsafeRawBufferPointer(rebasing: value[start..<end]))
            // Whatever else stands before the next comma belongs to this member.
            while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
            start = end
        }
    }

    /// Whether the name is this one; case does not count (RFC 9110 §5.1).
    package func isNamed(_ other: String) -> Bool {
        var other = other
        return other.withUTF8 { name.equalsIgnoringCase(UnsafeRawBufferPointer($0)) }
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Copies the first `count` bytes of `source` to `offset`.
    package func copy(_ source: UnsafeRawBufferPointer, _ count: Int, to offset: Int) {
        guard count > 0, let source = source.baseAddress, let target = baseAddress else { return }
        precondition(offset + count <= self.count, "bytes are copied behind the end")
        (target + offset).copyMemory(from: source, byteCount: count)
    }
}

extension UnsafeRawBufferPointer {
    package func equalsIgnoringCase(_ text: StaticString) -> Bool {
        equalsIgnoringCase(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Whether these are the same ASCII letters, whatever their case, and otherwise the same bytes.
    package func equalsIgnoringCase(_ other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        for index in 0..<count where self[index] != other[index] {
            let letter = self[index] | 0x20
            guard letter == other[index] | 0x20, letter >= UInt8(ascii: "a"), letter <= UInt8(ascii: "z") else {
                return false
            }
        }
        return true
    }
}

extension HeaderFields: Equatable {
    package static func == (left: Self, right: Self) -> Bool { left.count == right.count && left.block == right.block }
}

extension HeaderFields: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, String)...) {
        self.init()
        for (name, value) in elements { add(name: name, value: value) }
    }
}

extension HeaderFields: Sequence {
    package func makeIterator() -> IndexingIterator<[(name: String, value: String)]> {
        var fields: [(name: String, value: String)] = []
        forEachField { field in fields.append((name: field.nameText, value: field.valueText)) }
        return fields.makeIterator()
    }
}

extension HeaderFields: CustomStringConvertible {
    package var description: String { map { "\($0.name): \($0.value)" }.joined(separator: ", ") }
}
