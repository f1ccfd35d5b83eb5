import AsyncHTTPClient
import NIOCore

/// The events of one watch request, pulled from its response as they are asked for.
///
/// Ends when the server ends the response. Throws `KubernetesError` when the connection breaks or a line exceeds the
/// limit. Iterate once; cancelling the iterating task closes the connection.
package struct WatchEvents<R: KubernetesResource>: AsyncSequence, Sendable {
    package typealias Element = WatchEvent<R>

    let body: HTTPClientResponse.Body
    let path: String
    let lineLimit: Int

    package func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(bytes: body.makeAsyncIterator(), decoder: WatchLineDecoder(limit: lineLimit), path: path)
    }

    package struct AsyncIterator: AsyncIteratorProtocol {
        private var bytes: HTTPClientResponse.Body.AsyncIterator
        private var decoder: WatchLineDecoder<R>
        private let path: String
        private var isOver = false

        init(bytes: HTTPClientResponse.Body.AsyncIterator, decoder: WatchLineDecoder<R>, path: String) {
            self.bytes = bytes
            self.decoder = decoder
            self.path = path
        }

        /// The next event; nil when the server has ended the watch.
        package mutating func next() async throws -> WatchEvent<R>? {
            while true {
                do {
                    if let event = try decoder.next() { return event }
                } catch {
                    isOver = true
                    throw KubernetesError(
                        kind: .responseTooLarge, verb: .watch, path: path,
                        message: "a watch event is longer than \(error.limit) bytes")
                }
                guard !isOver else { return nil }
                do {
                    if let chunk = try await bytes.next(isolation: #isolation) {
                        decoder.append(chunk)
                    } else {
                        isOver = true
                        return decoder.finish()
                    }
                } catch let error as CancellationError {
                    throw error
                } catch {
                    isOver = true
                    try Task.checkCancellation()
                    throw KubernetesError(transport: error, verb: .watch, path: path)
                }
            }
        }
    }
}
