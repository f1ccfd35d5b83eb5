import NIOCore

/// The head of a request or response as it stood on the wire.
struct RawHead: Sendable, CustomStringConvertible {
    var startLine: String
    /// In order, names as sent.
    var fields: [(name: String, value: String)]

    subscript(_ name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }

    /// Fields as `name: value` lines, without those the test does not want to see.
    func lines(without names: Set<String> = []) -> [String] {
        fields.filter { !names.contains($0.name.lowercased()) }.map { "\($0.name): \($0.value)" }
    }

    /// Of a response.
    var status: Int { Int(startLine.split(separator: " ").dropFirst().first ?? "") ?? 0 }
    /// Of a request.
    var method: String { String(startLine.split(separator: " ").first ?? "") }
    var target: String { String(startLine.split(separator: " ").dropFirst().first ?? "") }

    var description: String { ([startLine] + lines()).joined(separator: "\n") }
}

/// A whole response.
struct RawResponse: Sendable {
    var head: RawHead
    var body: ByteBuffer
    var trailers: [String] = []
    /// Sizes of the chunks, where it was chunked.
    var chunks: [Int] = []

    var status: Int { head.status }
    var text: String { String(buffer: body) }
}

extension RawConnection {
    func head() async throws -> RawHead {
        let startLine = try await line()
        var fields: [(name: String, value: String)] = []
        while true {
            let line = try await line()
            guard !line.isEmpty else { return RawHead(startLine: startLine, fields: fields) }
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            fields.append((String(parts[0]), parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""))
        }
    }

    /// A body as its head frames it, up to its end.
    func body(of head: RawHead, untilClose: Bool = false) async throws -> (
        ByteBuffer, trailers: [String], chunks: [Int]
    ) {
        if head["Transfer-Encoding"] == ["chunked"] { return try await chunkedBody() }
        if let length = head["Content-Length"].first.flatMap(Int.init) { return (try await bytes(length), [], []) }
        return (untilClose ? try await rest() : ByteBuffer(), [], [])
    }

    private func chunkedBody() async throws -> (ByteBuffer, trailers: [String], chunks: [Int]) {
        var body = ByteBuffer()
        var chunks: [Int] = []
        while true {
            let size = Int(try await line(), radix: 16) ?? -1
            guard size >= 0 else { throw ConnectionEnded() }
            guard size > 0 else { break }
            chunks.append(size)
            body.writeImmutableBuffer(try await bytes(size))
            _ = try await line()
        }
        var trailers: [String] = []
        while case let line = try await line(), !line.isEmpty { trailers.append(line) }
        return (body, trailers, chunks)
    }

    /// A final response.
    func response(toHead isHead: Bool = false) async throws -> RawResponse {
        let head = try await head()
        guard !isHead, head.status >= 200, head.status != 204, head.status != 304 else {
            return RawResponse(head: head, body: ByteBuffer())
        }
        let (body, trailers, chunks) = try await body(of: head, untilClose: true)
        return RawResponse(head: head, body: body, trailers: trailers, chunks: chunks)
    }

    /// At a backend: reads one request whole, notes its head, and answers it.
    func answer(
        _ answer: String = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", noting seen: Box<RawHead>? = nil
    ) async throws {
        let head = try await head()
        _ = try await body(of: head)
        seen?.set(head)
        try await send(answer)
    }

    /// At a backend: reads one request and answers nothing. Notes that it has `started`, and whether its body came
    /// `whole` or was `broken off`.
    func takeRequest(noting seen: Box<String>) async throws {
        let head = try await head()
        seen.set("started")
        do {
            _ = try await body(of: head)
            seen.set("whole")
        } catch {
            seen.set("broken off")
        }
    }

    /// The same where the head of the first is read already.
    func answerAll(behind head: RawHead) async throws {
        _ = try await body(of: head)
        try await send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        try await answerAll()
    }

    /// At a backend: answers every request on this connection alike.
    func answerAll(_ answer: String = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") async throws {
        while true { try await self.answer(answer) }
    }
}
