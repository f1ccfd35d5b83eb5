import EdgeGateway
import NIOCore
import TestSupport
import Testing
import TunnelProtocol
import TunnelTransport

@Suite("A tunnel whose memory is promised away", .timeLimit(.minutes(1)))
struct MemoryBudgetTests {
    @Test("new requests get 503 with Retry-After while readers stand still, and are served once those are gone")
    func overloaded() async throws {
        var options = StackOptions()
        options.tunnel.flow.budget = 512 * 1024
        try await withStack(options) { backend in
            while true {
                let head = try await backend.head()
                guard head.target == "/endless" else {
                    try await backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    continue
                }
                try await backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                let chunk = ByteBuffer(string: "10000\r\n" + String(repeating: "x", count: 0x10000) + "\r\n")
                while true { try await backend.send(chunk) }
            }
        } _: { stack in
            var readers: [RawConnection] = []
            // None of them reads anything.
            for _ in 0..<64 {
                let reader = try await RawConnection.connect(port: stack.frontPort, receiveBuffer: 4096)
                try await reader.send("GET /endless HTTP/1.1\r\nHost: app.test\r\n\r\n")
                readers.append(reader)
            }
            try await eventually("a new request finds no memory") {
                let answer = try await stack.request()
                guard answer.status == 503 else { return false }
                #expect(answer.text.contains(#""code":"overloaded""#))
                #expect(answer.head["Retry-After"].count == 1)
                return true
            }
            for reader in readers { reader.close() }
            try await eventually("memory is free again") { try await stack.request().status == 200 }
            #expect(stack.tunnels.all.count == 1)
        }
    }
}
