import EdgeGateway
import NIOCore
import NIOHTTP2
import ServiceLifecycleTestKit
import TestSupport
import Testing

@Suite("Many streams of HTTP/2 on one connection", .timeLimit(.minutes(1)))
struct HTTP2FrontFlowTests {
    private static let chunk = ByteBuffer(repeating: 0x78, count: 64 * 1024)

    @Test(
        "a stream that the client takes nothing of stalls its application and no other stream",
        arguments: [false, true])
    func unreadStream(separateLoops: Bool) async throws {
        var options = HTTP2FrontTests.options
        options.separateLoops = separateLoops
        let (sent, total) = (Counter(), 256)
        try await withStack(options, within: .seconds(50)) { backend in
            let head = try await backend.head()
            guard head.target == "/large" else { return try await backend.answerAll(behind: head) }
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(total * Self.chunk.readableBytes)\r\n\r\n")
            for _ in 0..<total {
                try await backend.send(Self.chunk)
                sent.add(1)
            }
        } _: { stack in
            let client = try await stack.http2(returnsCredit: false)
            // The connection has room for others, the stream has not.
            try await client.send(.rootStream, .windowUpdate(windowSizeIncrement: 64 << 20))
            let large = try await client.request("GET", "/large")
            _ = try await large.body(65_535)
            // Sixteen mebibytes; sockets and windows take a few.
            #expect(try await sent.standstill() < total * 3 / 4)
            for _ in 0..<5 {
                let small = try await client.request()
                try await small.end()
                #expect(small.status == 200)
            }
            #expect(large.state.body.readableBytes == 65_535)
            try await client.send(large.id, .windowUpdate(windowSizeIncrement: 64 << 20))
            try await large.end()
            #expect(large.state.body.readableBytes == total * Self.chunk.readableBytes)
            client.close()
        }
    }

    @Test("an upload that its application does not take is held at its window, and others go on")
    func heldUpload() async throws {
        let goOn = Box<Bool>()
        try await withStack(HTTP2FrontTests.options, within: .seconds(50)) { backend in
            let head = try await backend.head()
            if head.target == "/held" { try await eventually("the test goes on") { goOn.value == true } }
            let text = "\(try await backend.body(of: head).0.readableBytes)"
            try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
        } _: { stack in
            let client = try await stack.http2()
            let size = 16 << 20
            let held = try await client.request("POST", "/held", end: false)
            async let sending: Void = held.send(ByteBuffer(repeating: 0x78, count: size), end: true)
            // It goes as far as queues on the way do, and no further.
            var last = -1
            while held.state.credit != last {
                last = held.state.credit
                try await Task.sleep(for: .milliseconds(500))
            }
            #expect(last < size / 2)
            for number in 1...3 {
                let other = try await client.request("POST", "/\(number)", end: false)
                try await other.send(ByteBuffer(repeating: 0x79, count: 4 << 20), end: true)
                try await other.end()
                #expect(other.text == "\(4 << 20)")
            }
            goOn.set(true)
            try await sending
            try await held.end()
            #expect(held.text == "\(size)")
            client.close()
        }
    }

    @Test("a gateway that ends takes what is on its way, says which request was the last, and finishes what is open")
    func drain() async throws {
        var options = HTTP2FrontTests.options
        options.gatewayGrace = .seconds(10)
        options.agentGrace = .seconds(10)
        let (drainingOptions, goOn) = (options, Box<Bool>())
        try await testGracefulShutdown { shutdown in
            try await withStack(drainingOptions) { backend in
                while true {
                    _ = try await backend.head()
                    try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
                    try await eventually("the shutdown began") { goOn.value == true }
                    try await backend.send("half")
                }
            } _: { stack in
                let client = try await stack.http2()
                let idle = try await stack.http2()
                try await eventually("it speaks HTTP/2") { idle.settings != nil }
                let open = try await client.request("GET", "/open")
                _ = try await open.head()
                shutdown.triggerGracefulShutdown()
                try await eventually("the end is announced") { !client.goAways.isEmpty }
                #expect(client.goAways.first?.last == .maxID)
                #expect(client.goAways.first?.code == .noError)
                try await eventually("the last stream is named") { client.goAways.count == 2 }
                #expect(client.goAways.last?.last == open.id)
                try await eventually("the idle connection is closed") { !idle.isOpen }
                #expect(idle.goAways.map(\.last) == [.maxID, .rootStream])
                goOn.set(true)
                try await open.end()
                #expect(open.text == "halfhalf")
                try await eventually("the connection is closed") { !client.isOpen }
            }
        }
    }

    @Test("a connection without a stream is closed, and the client is told which was the last")
    func idle() async throws {
        var options = HTTP2FrontTests.options
        options.limits.keepAlive = .seconds(2)
        try await withStack(options) { backend in
            try await backend.answerAll()
        } _: { stack in
            let client = try await stack.http2()
            let stream = try await client.request()
            try await stream.end()
            try await eventually("the connection is closed") { !client.isOpen }
            #expect(client.goAways.map(\.last) == [stream.id])
            #expect(client.goAways.map(\.code) == [.noError])
        }
    }

    @Test("a client of HTTP/2 that says nothing more than that is closed when its time is over")
    func noSettings() async throws {
        var options = HTTP2FrontTests.options
        options.limits.header = .milliseconds(300)
        try await withStack(options) { _ in
        } _: { stack in
            let client = try await stack.connect()
            try await client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            _ = try await client.rest()
        }
    }

    @Test("a client that opens streams and resets them, or floods otherwise, is cut off; others are not")
    func floods() async throws {
        try await withStack(HTTP2FrontTests.options, within: .seconds(50)) { backend in
            try await backend.answerAll()
        } _: { stack in
            let other = try await stack.http2()
            let resetting = try await stack.http2()
            do {
                while true {
                    let stream = try await resetting.request()
                    try await stream.reset()
                }
            } catch {}
            try await eventually("it is closed") { !resetting.isOpen }
            #expect(resetting.goAways.first?.code == .enhanceYourCalm)
            let pinging = try await stack.http2()
            do {
                while true {
                    for _ in 0..<200 {
                        pinging.channel.write(
                            HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(), ack: false)), promise: nil
                        )
                    }
                    try await pinging.send(.rootStream, .ping(HTTP2PingData(), ack: false))
                }
            } catch {}
            try await eventually("it is closed") { !pinging.isOpen }
            #expect(pinging.goAways.first?.code == .enhanceYourCalm)
            let widening = try await stack.http2()
            do {
                while true { try await widening.send(.rootStream, .windowUpdate(windowSizeIncrement: 1)) }
            } catch {}
            try await eventually("it is closed") { !widening.isOpen }
            #expect(widening.goAways.first?.code == .enhanceYourCalm)
            let stream = try await other.request()
            try await stream.end()
            #expect(stream.status == 200)
            other.close()
        }
    }
}
