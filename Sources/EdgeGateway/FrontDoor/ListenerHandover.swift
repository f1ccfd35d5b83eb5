import NIOCore

/// Lets a gateway that ends give its port to another process without losing a connection.
///
/// Closing a listening socket resets what waits in its queue, and a client cannot tell that from a failure. So before
/// that the kernel is told, by a one-line filter of the sockets that share the port (`SO_ATTACH_REUSEPORT_CBPF`, Linux),
/// to give new connections to the second of them: the first is the oldest, which is the one that ends. Where there is no
/// second the filter has no effect, and where the kernel knows no such filter some connections may be reset, as without
/// it. The filter outlives its socket, so whoever opens a listener removes it.
enum ListenerHandover {
    /// Gives new connections to the next process that listens on the port, now or from when it does. To be repeated
    /// until the listener is closed: the next process removes it when it starts.
    static func begin(_ listener: any Channel) async {
        #if os(Linux)
        guard let socket = listener as? any SocketOptionProvider else { return }
        // `struct sock_filter` {code u16, jt u8, jf u8, k u32}: BPF_RET with the constant 1, a socket's index.
        let instruction = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
        defer { instruction.deallocate() }
        instruction.initialize(to: 0x06 | 1 << 32)
        let program = FilterProgram(length: 1, instructions: UInt64(UInt(bitPattern: instruction)))
        try? await socket.unsafeSetSocketOption(level: .socket, name: attachFilter, value: program).get()
        #endif
    }

    /// Takes connections in turn with whoever else listens on the port.
    static func end(_ listener: any Channel) async {
        #if os(Linux)
        guard let socket = listener as? any SocketOptionProvider else { return }
        // There is usually none.
        try? await socket.unsafeSetSocketOption(level: .socket, name: detachFilter, value: CInt(0)).get()
        #endif
    }

    #if os(Linux)
    /// `struct sock_fprog` {len u16, filter pointer} of `linux/filter.h`, as it lies in memory on the 64-bit
    /// little-endian machines that Swift runs on.
    private struct FilterProgram: Sendable {
        var length: UInt64
        var instructions: UInt64
    }

    /// `asm-generic/socket.h`.
    private static let attachFilter = NIOBSDSocket.Option(rawValue: 51)
    private static let detachFilter = NIOBSDSocket.Option(rawValue: 68)
    #endif
}
