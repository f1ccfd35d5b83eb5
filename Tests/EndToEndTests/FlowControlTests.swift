import Crypto
import EdgeGateway
import NIOCore
import TestSupport
import Testing

@Suite("Slow ends and large bodies", .timeLimit(.minutes(1)), .serialized)
struct FlowControlTests {
    private static let chunk = ByteBuffer(
        bytes: (0..<65536).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ ($0 >> 8) &* 17) })

    /// 50 requests, five at a time, on the tunnel that also carries what is stalled.
    private static func quickRequests(_ stack: Stack) async throws {
        let start = ContinuousClock.now
        for _ in 0..<10 {
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<5 { group.addTask { try await stack.request("GET", "/quick").status } }
                for try await status in group { #expect(status == 200) }
            }
        }
        #expect(ContinuousClock.now - start < .seconds(20))
    }

    @Test("a reader that stalls stalls its own download alone, and no more than its window is held for it")
    func stalledDownload() async throws {
        let size = 50 << 20
        let sent = Counter()
        try await withStack { backend in
            while true {
                let head = try await backend.head()
                guard head.target == "/big" else {
                    try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    continue
                }
                try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
                for _ in 0..<(size / Self.chunk.readableBytes) {
                    try await backend.send(Self.chunk)
                    sent.add(Self.chunk.readableBytes)
                }
            }
        } _: { stack in
            let slow = try await RawConnection.connect(port: stack.frontPort, receiveBuffer: 64 * 1024)
            try await slow.send("GET /big HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await slow.head()
            try await Self.quickRequests(stack)
            #expect(stack.tunnels.all.count == 1)
            let held = try await sent.standstill()
            // The stream's window, and what the kernel keeps for three sockets.
            #expect(held < size - (4 << 20), "\(held) bytes are under way")
            var received = 0
            while received < size {
                let bytes = try #require(try await slow.some())
                received += bytes.readableBytes
            }
            #expect(received == size)
            slow.close()
        }
    }

    @Test("a backend that stalls stalls its own upload alone, and no more than its window is held for it")
    func stalledUpload() async throws {
        let size = 50 << 20
        let goOn = Box<Bool>()
        let sent = Counter()
        try await withStack { backend in
            while true {
                let head = try await backend.head()
                if head.target == "/big" {
                    try await eventually("the backend may go on") { goOn.value == true }
                    var hash = SHA256()
                    var left = size
                    while left > 0, let bytes = try await backend.some() {
                        left -= bytes.readableBytes
                        hash.update(data: bytes.readableBytesView)
                    }
                }
                try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("POST /big HTTP/1.1\r\nHost: app.test\r\nContent-Length: \(size)\r\n\r\n")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for _ in 0..<(size / Self.chunk.readableBytes) {
                        try await client.send(Self.chunk)
                        sent.add(Self.chunk.readableBytes)
                    }
                }
                try await Self.quickRequests(stack)
                let held = try await sent.standstill()
                #expect(held < size - (4 << 20), "\(held) bytes are under way")
                goOn.set(true)
                try await group.waitForAll()
            }
            let response = try await client.response()
            #expect(response.text == "ok")
            client.close()
        }
    }

    @Test("many small pieces arrive whole although their reader stood still, down and up", arguments: [false, true])
    func smallPieces(separateLoops: Bool) async throws {
        var options = StackOptions()
        options.separateLoops = separateLoops
        let count = 30_000
        let piece = ByteBuffer(string: "1\r\nx\r\n")
        let goOn = Box<Bool>()
        let sent = Counter()
        try await withStack(options) { backend in
            let head = try await backend.head()
            if head.method == "POST" {
                try await eventually("the backend may go on") { goOn.value == true }
                var left = count
                while left > 0, let bytes = try await backend.some() {
                    left -= bytes.readableBytesView.count { $0 == UInt8(ascii: "x") }
                }
                try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            } else {
                try await backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in 0..<count {
                    try await backend.send(piece)
                    sent.add(1)
                }
                try await backend.send("0\r\n\r\n")
            }
        } _: { stack in
            let reader = try await RawConnection.connect(port: stack.frontPort, receiveBuffer: 4096)
            try await reader.send("GET /events HTTP/1.1\r\nHost: app.test\r\n\r\n")
            try await eventually("all is under way, or stands still") { sent.value >= count / 2 }
            _ = try await sent.standstill()
            let response = try await reader.response()
            #expect(response.text == String(repeating: "x", count: count))
            reader.close()

            let writer = try await stack.connect()
            try await writer.send("POST /events HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in 0..<count { writer.post(piece) }
            writer.post(ByteBuffer(string: "0\r\n\r\n"))
            goOn.set(true)
            #expect(try await writer.response().text == "ok")
            writer.close()
        }
    }

    @Test("64 MiB arrive byte for byte, down and up", arguments: [false, true])
    func large(separateLoops: Bool) async throws {
        var options = StackOptions()
        options.separateLoops = separateLoops
        let size = 64 << 20
        try await withStack(options) { backend in
            while true {
                let head = try await backend.head()
                if head.method == "GET" {
                    try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n")
                    for _ in 0..<(size / Self.chunk.readableBytes) { try await backend.send(Self.chunk) }
                } else {
                    var hash = SHA256()
                    var left = size
                    while left > 0, let bytes = try await backend.some() {
                        left -= bytes.readableBytes
                        hash.update(data: bytes.readableBytesView)
                    }
                    let digest = hash.finalize().map { String($0, radix: 16) }.joined()
                    try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(digest.utf8.count)\r\n\r\n\(digest)")
                }
            }
        } _: { stack in
            var expected = SHA256()
            for _ in 0..<(size / Self.chunk.readableBytes) { expected.update(data: Self.chunk.readableBytesView) }
            let digest = expected.finalize()

            let client = try await stack.connect()
            try await client.send("GET /64 HTTP/1.1\r\nHost: app.test\r\n\r\n")
            _ = try await client.head()
            var hash = SHA256()
            var received = 0
            while received < size, let bytes = try await client.some() {
                received += bytes.readableBytes
                hash.update(data: bytes.readableBytesView)
            }
            #expect(received == size)
            #expect(hash.finalize() == digest)

            try await client.send("POST /64 HTTP/1.1\r\nHost: app.test\r\nContent-Length: \(size)\r\n\r\n")
            for _ in 0..<(size / Self.chunk.readableBytes) { try await client.send(Self.chunk) }
            let response = try await client.response()
            #expect(response.text == digest.map { String($0, radix: 16) }.joined())
            client.close()
        }
    }

    @Test("200 requests at once all get their own answers", arguments: [false, true])
    func concurrent(separateLoops: Bool) async throws {
        var options = StackOptions()
        options.separateLoops = separateLoops
        try await withStack(options) { backend in
            while true {
                let head = try await backend.head()
                let (body, _, _) = try await backend.body(of: head)
                let answer = "\(head.target) \(String(buffer: body))"
                try await backend.send(
                    "HTTP/1.1 200 OK\r\nContent-Length: \(answer.utf8.count)\r\n\r\n\(answer)")
            }
        } _: { stack in
            try await withThrowingTaskGroup(of: (Int, String).self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let body = String(repeating: "\(number),", count: number)
                        let response = try await stack.request(
                            "POST", "/\(number)", fields: ["Content-Length: \(body.utf8.count)"], body: body)
                        return (number, response.text)
                    }
                }
                for try await (number, text) in group {
                    #expect(text == "/\(number) \(String(repeating: "\(number),", count: number))")
                }
            }
        }
    }

    @Test("an answer whose backend closes behind it is whole for a client that reads it late")
    func closesBehindAnswer() async throws {
        let count = 128
        let heads = [
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: \(count << 16)\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n",
        ]
        for head in heads {
            let sent = Counter()
            try await withStack { backend in
                _ = try await backend.head()
                try await backend.send(head)
                for _ in 0..<count {
                    try await backend.send(Self.chunk)
                    sent.add(1)
                }
            } _: { stack in
                let client = try await RawConnection.connect(port: stack.frontPort, receiveBuffer: 64 * 1024)
                try await client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
                _ = try await sent.standstill()
                let response = try await client.response()
                #expect(response.body.readableBytes == count << 16)
                client.close()
            }
        }
    }
}
