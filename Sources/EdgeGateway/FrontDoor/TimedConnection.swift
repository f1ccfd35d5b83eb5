import NIOCore

/// One timer for a connection; it is not moved with every request but looks again when it fires.
struct ConnectionTimer {
    fileprivate var scheduled: Scheduled<Void>?
    fileprivate var deadline = NIODeadline.distantFuture

    func cancel() { scheduled?.cancel() }
}

/// A handler of a connection that has such a timer.
protocol TimedConnection: AnyObject {
    var context: ChannelHandlerContext? { get }
    var timer: ConnectionTimer { get set }
    /// To schedule the next time itself.
    func timerFired()
}

extension TimedConnection {
    /// Something has an earlier deadline than the timer.
    func ensureTimer(by deadline: NIODeadline) {
        guard deadline < timer.deadline else { return }
        timer.cancel()
        schedule(at: deadline)
    }

    func schedule(at deadline: NIODeadline) {
        guard let context else { return }
        let handler = NIOLoopBound(self as any TimedConnection, eventLoop: context.eventLoop)
        timer.scheduled = context.eventLoop.scheduleTask(deadline: deadline) { handler.value.timerFired() }
        timer.deadline = deadline
    }
}

extension ChannelHandlerContext {
    /// Closes the connection at that time, unless it is closed before.
    func close(by deadline: NIODeadline) {
        let channel = channel
        let closing = eventLoop.scheduleTask(deadline: deadline) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in closing.cancel() }
    }
}
