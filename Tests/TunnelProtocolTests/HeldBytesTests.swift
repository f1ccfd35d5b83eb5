import NIOCore
import Testing

@testable import TunnelProtocol

@Suite("Bytes that wait take little more memory than they need")
struct HeldBytesTests {
    private func buffers(_ held: HeldBytes) -> [ByteBuffer] { Array(held.chunks) }
    private func capacity(_ held: HeldBytes) -> Int { buffers(held).reduce(0) { $0 + $1.storageCapacity } }

    @Test("Many small pieces are joined")
    func small() {
        var held = HeldBytes()
        for number in 0..<40_000 { held.hold(ByteBuffer(integer: UInt8(truncatingIfNeeded: number))) }
        #expect(held.readableBytes == 40_000)
        #expect(buffers(held).count <= 3)
        #expect(capacity(held) <= 2 * 40_000)
        var all = ByteBuffer()
        held.move(40_000, into: &all)
        #expect(all == ByteBuffer(bytes: (0..<40_000).map { UInt8(truncatingIfNeeded: $0) }))
        #expect(held.readableBytes == 0)
        let none = held.takeFirst()
        #expect(none == nil)
    }

    @Test("A small part of a large buffer does not keep the rest, a large part is not copied")
    func parts() {
        let read = filler(64 * 1024)
        var held = HeldBytes()
        for start in 0..<4 { held.hold(read.getSlice(at: start * 5000, length: 5000) ?? ByteBuffer()) }
        #expect(capacity(held) <= 2 * 20_000)
        held.hold(read)
        let addresses = [read, buffers(held).last].map { $0?.withUnsafeReadableBytes { $0.baseAddress } }
        #expect(addresses[0] == addresses[1])
        var all = ByteBuffer()
        while let bytes = held.takeFirst() { all.writeImmutableBuffer(bytes) }
        #expect(all.getSlice(at: 0, length: 20_000) == read.getSlice(at: 0, length: 20_000))
        #expect(all.readableBytes == 20_000 + 64 * 1024)
        #expect(held.readableBytes == 0)
    }

    @Test("What stands still in a stream's queue is held so")
    func queued() {
        var agent = Multiplexer(role: .agent, maxStreams: 10)
        _ = agent.receive(.headers(StreamID(1), .request(Heads.get(window: 0)), endStream: true))
        agent.respond(StreamID(1), Heads.ok, endStream: false)
        let read = filler(64 * 1024)
        for start in 0..<3000 {
            _ = agent.send(StreamID(1), read.getSlice(at: start, length: 10) ?? ByteBuffer(), endStream: false)
        }
        let held = agent.streams[StreamID(1)]?.outbound.held
        #expect(held?.readableBytes == 30_000)
        #expect(held.map(capacity).map { $0 <= 2 * 30_000 } == true)
    }

    /// What of a stream that stands still is held by its user: the sum of the buffers' memory, each counted once.
    private func memoryOfStalled(_ messages: [ByteBuffer]) throws -> (bytes: Int, memory: Int) {
        var gateway = Multiplexer(role: .gateway, maxStreams: 1000)
        for _ in 0..<10 { _ = gateway.open(Heads.get, endStream: true) }
        for id in 1...10 as ClosedRange<UInt32> {
            _ = gateway.receive(.headers(StreamID(id), .response(Heads.ok), endStream: false))
        }
        var bytes = 0
        var memory = 0
        for message in messages {
            var pinned = false
            var reader = FrameReader(message)
            while let frame = try reader.next() {
                guard case .data(let id, let data, _) = gateway.receive(frame, isShared: reader.isShared) else {
                    continue
                }
                guard id == StreamID(1) else {
                    gateway.consumed(id, data.readableBytes)
                    continue
                }
                bytes += data.readableBytes
                if data.storageCapacity < message.storageCapacity {
                    memory += data.storageCapacity
                } else if !pinned {
                    pinned = true
                    memory += message.storageCapacity
                }
            }
        }
        return (bytes, memory)
    }

    @Test("A stream whose reader stands still does not keep the others' bytes of its messages")
    func mixed() throws {
        let messages = (0..<6).map { _ in
            encoded((1...4).map { .data(StreamID($0), filler(16 * 1024), endStream: false) })
        }
        let (bytes, memory) = try memoryOfStalled(messages)
        #expect(bytes == 6 * 16 * 1024)
        let message = messages[0].storageCapacity
        #expect(memory <= 2 * message + 4 * 16 * 1024)
    }

    @Test("Nor what is no DATA at all")
    func padded() throws {
        let messages = (0..<10).map { _ in
            var message = encoded([.data(StreamID(1), filler(9000), endStream: false)])
            message.writeMultipleIntegers(UInt32(200_000) << 8 | 0xFF, UInt8(0), UInt32(0))
            message.writeImmutableBuffer(filler(200_000))
            return message
        }
        let (bytes, memory) = try memoryOfStalled(messages)
        #expect(bytes == 10 * 9000)
        #expect(memory <= 2 * messages[0].storageCapacity + 8 * 16 * 1024)
    }

    @Test("Messages of one stream, and what its reader keeps pace with, are not copied")
    func uncopied() throws {
        let whole = encoded((0..<4).map { _ in .data(StreamID(1), filler(16 * 1024), endStream: false) })
        let reader = FrameReader(whole)
        #expect(!reader.isShared)
        var gateway = Multiplexer(role: .gateway, maxStreams: 10)
        for id in 1...4 as ClosedRange<UInt32> {
            _ = gateway.open(Heads.get, endStream: true)
            _ = gateway.receive(.headers(StreamID(id), .response(Heads.ok), endStream: false))
        }
        for message in [whole, encoded((1...4).map { .data(StreamID($0), filler(16 * 1024), endStream: false) })] {
            var reader = FrameReader(message)
            while let frame = try reader.next() {
                guard case .data(let id, let bytes, _) = gateway.receive(frame, isShared: reader.isShared) else {
                    Issue.record("no data")
                    return
                }
                #expect(bytes.storageCapacity == message.storageCapacity)
                gateway.consumed(id, bytes.readableBytes)
            }
        }
    }
}
