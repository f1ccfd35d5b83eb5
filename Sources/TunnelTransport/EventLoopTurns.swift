package import Dispatch
package import NIOCore
import Synchronization

/// The event loops of a group, each in its turn among those who share this object and nobody else.
///
/// A group's own `next()` is asked for everything that a program does: two tunnels that an agent dials one after the
/// other may get the same loop, and half of the requests would hop between threads.
package final class EventLoopTurns: EventLoopGroup {
    private let loops: [any EventLoop]
    private let turn = Atomic<Int>(0)

    package init(_ group: any EventLoopGroup) { loops = Array(group.makeIterator()) }

    package func next() -> any EventLoop { loop(turn.wrappingAdd(1, ordering: .relaxed).oldValue) }

    /// The loop of one turn, for whoever counts by itself.
    package func loop(_ turn: Int) -> any EventLoop { loops[Int(UInt(bitPattern: turn) % UInt(loops.count))] }

    package func any() -> any EventLoop { loops[0] }

    package func makeIterator() -> EventLoopIterator { EventLoopIterator(loops) }

    /// The loops belong to somebody else.
    package func shutdownGracefully(queue: DispatchQueue, _ callback: @escaping @Sendable ((any Error)?) -> Void) {
        queue.async { callback(EventLoopError.unsupportedOperation) }
    }
}
