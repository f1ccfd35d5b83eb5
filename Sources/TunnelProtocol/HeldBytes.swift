import DequeModule
package import NIOCore

/// Bytes that wait, in the order in which they came, in little more memory than they need.
///
/// A buffer that comes from a socket may be a small part of a large one, which it keeps in memory as a whole; and a
/// buffer of its own for a byte takes a hundred. What leaves at once (`append`) is not worth a copy; what waits (`hold`)
/// is.
package struct HeldBytes {
    /// Bytes up to this many are joined to what waits before them, however little they keep in memory.
    private static let small = 1024
    /// A buffer is not made longer than this by joining.
    private static let joined = 16 * 1024

    /// None of them is empty.
    private(set) var chunks: Deque<ByteBuffer> = []
    package private(set) var readableBytes = 0

    package init() {}

    /// Takes bytes as they are.
    package mutating func append(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        readableBytes += bytes.readableBytes
        chunks.append(bytes)
    }

    /// Takes bytes that will wait.
    package mutating func hold(_ bytes: ByteBuffer) {
        let size = bytes.readableBytes
        guard size < Self.small || size < bytes.storageCapacity / 2 else { return append(bytes) }
        if let last = chunks.last, last.readableBytes + size <= Self.joined {
            readableBytes += size
            chunks[chunks.count - 1].writeImmutableBuffer(bytes)
        } else {
            append(ByteBuffer(buffer: bytes))
        }
    }

    /// Takes the first buffer out; `nil` where there is none.
    package mutating func takeFirst() -> ByteBuffer? {
        guard let first = chunks.popFirst() else { return nil }
        readableBytes -= first.readableBytes
        return first
    }

    /// Moves that many bytes from the front to the end of `message`.
    mutating func move(_ count: Int, into message: inout ByteBuffer) {
        readableBytes -= count
        var left = count
        while left > 0 {
            guard let slice = chunks[0].readSlice(length: min(left, chunks[0].readableBytes)) else { return }
            left -= slice.readableBytes
            message.writeImmutableBuffer(slice)
            if chunks[0].readableBytes == 0 { chunks.removeFirst() }
        }
    }
}
