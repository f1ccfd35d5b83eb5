package import NIOCore

extension ByteBuffer {
    /// Appends bytes that follow these; where there are none, takes them as they are, uncopied.
    package mutating func join(_ bytes: ByteBuffer) {
        if readableBytes == 0 { self = bytes } else { writeImmutableBuffer(bytes) }
    }

    /// Takes as many bytes from the front as there are, at most `count`; `nil` where there are none.
    package mutating func take(upTo count: Int = .max) -> ByteBuffer? {
        readableBytes > 0 ? readSlice(length: Swift.min(count, readableBytes)) : nil
    }
}
