import NIOCore

/// Finds the end of a head in bytes that arrive a few at a time, looking at each byte once.
struct HTTP1HeadFinder: Hashable, Sendable {
    /// Bytes from the reader index that are looked through.
    private var searched = 0
    /// Where the line begins that is not complete.
    private var lineStart = 0

    /// How many bytes the head has, its empty line included; `nil` until it has arrived whole.
    ///
    /// - Throws: where a line ends otherwise than with CR and LF (RFC 9112 §2.2 lets a recipient take LF alone, and
    ///   so makes two readings of one message).
    mutating func find(in buffer: ByteBuffer) throws(HTTP1Error) -> Int? {
        let start = buffer.readerIndex
        while let view = buffer.viewBytes(at: start + searched, length: buffer.readableBytes - searched),
            let found = view.firstIndex(of: 0x0A)
        {
            let index = found - start
            guard index > 0, buffer.getInteger(at: found - 1, as: UInt8.self) == 0x0D else {
                throw .malformed("a line does not end with CR and LF")
            }
            searched = index + 1
            if index == lineStart + 1 {
                self = Self()
                return index + 1
            }
            lineStart = index + 1
        }
        searched = buffer.readableBytes
        return nil
    }

    /// Takes the head from the front of the buffer as what `parse` makes of it; `nil` until it has arrived whole.
    ///
    /// - Parameters:
    ///   - limit: bytes; a head that is longer, or has no end within them, is what `tooLong` says.
    mutating func takeHead<Head>(
        from buffer: inout ByteBuffer, limit: Int, tooLong: (ByteBuffer) -> HTTP1Error = { _ in .fieldsTooLarge },
        _ parse: (UnsafeRawBufferPointer) throws(HTTP1Error) -> Head
    ) throws(HTTP1Error) -> Head? {
        let size = try find(in: buffer)
        guard size ?? buffer.readableBytes <= limit else { throw tooLong(buffer) }
        guard let size else { return nil }
        let head = buffer.withUnsafeReadableBytes { bytes -> Result<Head, HTTP1Error> in
            do throws(HTTP1Error) {
                return .success(try parse(UnsafeRawBufferPointer(rebasing: bytes[..<size])))
            } catch {
                return .failure(error)
            }
        }
        buffer.moveReaderIndex(forwardBy: size)
        return try head.get()
    }
}
