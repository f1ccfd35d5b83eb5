package import NIOCore
import NIOFoundationCompat

/// Turns the bytes of a watch response, however they are cut, into events: one JSON document a line.
///
/// A line that cannot be decoded is an event of its own (`.undecodable`) and ends nothing. Only a line longer than the
/// limit is fatal, because what follows it cannot be trusted to be found.
package struct WatchLineDecoder<R: KubernetesResource>: Sendable {
    /// A line exceeded the limit.
    package struct LineTooLong: Error, Hashable, Sendable {
        /// The limit in bytes.
        package var limit: Int
    }

    private let limit: Int
    private var buffer = ByteBuffer()
    /// Bytes at the start of `buffer` known to hold no line end, so that a long line is searched once only.
    private var searched = 0

    /// `limit` is the longest line accepted, in bytes. etcd holds objects of up to 1.5 MiB; their JSON may be several
    /// times that.
    package init(limit: Int = 16 << 20) {
        self.limit = limit
    }

    /// Takes the next bytes of the response, in any cut.
    package mutating func append(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            // Nothing is pending: take the incoming buffer over instead of copying it, and drop a large old one.
            buffer = bytes
            searched = 0
        } else {
            buffer.discardReadBytes()
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// The next complete event, or nil until more bytes come.
    package mutating func next() throws(LineTooLong) -> WatchEvent<R>? {
        while true {
            let view = buffer.readableBytesView
            guard let end = view[view.startIndex.advanced(by: searched)...].firstIndex(of: UInt8(ascii: "\n")) else {
                searched = view.count
                guard searched <= limit else { throw LineTooLong(limit: limit) }
                return nil
            }
            let length = view.startIndex.distance(to: end)
            guard length <= limit else { throw LineTooLong(limit: limit) }
            searched = 0
            let line = buffer.readSlice(length: length)
            buffer.moveReaderIndex(forwardBy: 1)
            if let line, let event = Self.event(of: line) { return event }
        }
    }

    /// The event of a last line without a line end, if one is left when the response is over.
    package mutating func finish() -> WatchEvent<R>? {
        searched = 0
        guard let line = buffer.readSlice(length: buffer.readableBytes) else { return nil }
        // A cut connection leaves half a line; that is no event, the resumed watch brings it again.
        let event = Self.event(of: line)
        if case .undecodable(nil, _) = event { return nil }
        return event
    }

    private static func event(of line: ByteBuffer) -> WatchEvent<R>? {
        guard !line.readableBytesView.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }) else {
            return nil
        }
        do {
            return try KubernetesJSON.decoder.decode(WatchLine<R>.self, from: line).event
        } catch {
            return .undecodable(
                type: nil,
                UndecodableObject(key: nil, resourceVersion: nil, problem: describe(decodingFailure: error)))
        }
    }
}
